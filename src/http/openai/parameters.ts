import { z } from 'zod';
import type { ImageMimeType } from '../../images/formats.ts';
import { editFields, firstIssue, takes } from '../../jobs/request.ts';
import { PIXELS_PER_MEGAPIXEL } from '../../workflows/bind/size.ts';
import type { Workflow } from '../../workflows/workflow.ts';
import { asNumber } from '../rest/contract/numbers.ts';
import type { OpenAIFault } from './errors.ts';

function oneOf<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, takes(words.join(', ')));
}

function wholeFrom(minimum: number, maximum: number) {
  const rule = takes(`an integer from ${minimum} to ${maximum}`);
  return z.number(rule).int(rule).min(minimum, rule).max(maximum, rule);
}

const sizeRule = takes('auto or WIDTHxHEIGHT, such as 1024x1024');

/** Accepted without effect: the workflow decides. */
const ignored = z.string().optional();

const USER_MAX = 512;

/** The fields of a form besides its images. The last four are not OpenAI's. */
const fields = z.object({
  prompt: editFields.prompt,
  model: z.string().optional(),
  n: wholeFrom(1, 10).default(1),
  size: z
    .string()
    .regex(/^(auto|[1-9]\d{0,4}x[1-9]\d{0,4})$/, sizeRule)
    .default('auto'),
  response_format: oneOf(['b64_json', 'url']).default('b64_json'),
  output_format: oneOf(['png', 'jpeg', 'webp']).default('png'),
  output_compression: wholeFrom(0, 100).default(100),
  stream: oneOf(['true', 'false']).default('false'),
  partial_images: wholeFrom(0, 3).default(0),
  user: z
    .string()
    .max(USER_MAX, takes(`a text of at most ${USER_MAX} characters`))
    .optional(),
  quality: ignored,
  background: ignored,
  input_fidelity: ignored,
  moderation: ignored,
  safety_identifier: ignored,
  seed: editFields.seed.optional(),
  steps: editFields.steps.optional(),
  cfg: editFields.cfg.optional(),
  negative_prompt: editFields.negativePrompt.optional(),
});

/** The parameters of an edit, with OpenAI's defaults. */
export type Parameters = z.output<typeof fields>;

/** The names of all parameters. */
export const PARAMETERS = Object.keys(fields.shape);

const NUMBERS: Readonly<Record<string, 'integer' | 'number'>> = {
  n: 'integer',
  output_compression: 'integer',
  partial_images: 'integer',
  steps: 'integer',
  cfg: 'number',
};

/** Reads the text fields of a form. An empty field counts as unset. */
export function readParameters(
  texts: Readonly<Record<string, string>>,
): { ok: true; value: Parameters } | { ok: false; fault: OpenAIFault } {
  const given = Object.entries(texts).filter(([name, text]) => text !== '' || name === 'prompt');
  const values = given.map(([name, text]) => {
    const type = NUMBERS[name];
    // Python spells it True.
    if (name === 'stream') return [name, text.toLowerCase()] as const;
    return [name, type === undefined ? text : asNumber(type, text)] as const;
  });
  const parsed = fields.safeParse(Object.fromEntries(values));
  if (parsed.success) return { ok: true, value: parsed.data };
  const { field, message } = firstIssue(parsed.error);
  return { ok: false, fault: { status: 400, message, param: field, code: 'invalid_value' } };
}

/** The area of a size, in units of 1024 × 1024 pixels; null for `auto`. */
export function megapixelsOf(size: string): number | null {
  if (size === 'auto') return null;
  const [width = 0, height = 0] = size.split('x').map(Number);
  return (width * height) / PIXELS_PER_MEGAPIXEL;
}

/** Why a workflow does not take a size; null: it does, or has no sizes to choose from. */
export function sizeFault(size: string, { name, manifest }: Workflow): OpenAIFault | null {
  const rule = manifest.parameters.megapixels;
  const megapixels = megapixelsOf(size);
  if (rule === undefined || megapixels === null) return null;
  const { minimum, maximum } = rule;
  if (megapixels >= minimum && megapixels <= maximum) return null;
  const smallest = Math.ceil(Math.sqrt(minimum * PIXELS_PER_MEGAPIXEL));
  const largest = Math.floor(Math.sqrt(maximum * PIXELS_PER_MEGAPIXEL));
  const message = `size takes an area from ${smallest}x${smallest} to ${largest}x${largest} (${minimum} to ${maximum} megapixels) in the workflow ${name}, got ${size}`;
  return { status: 400, message, param: 'size', code: 'invalid_input' };
}

/** How an image is sent. */
export interface Encoding {
  readonly mimeType: ImageMimeType;
  /** 1 to 100, without effect on PNG. */
  readonly quality: number;
}

/** The encoding that the parameters ask for. */
export function encodingOf({ output_format, output_compression }: Parameters): Encoding {
  return { mimeType: `image/${output_format}`, quality: Math.max(1, output_compression) };
}
