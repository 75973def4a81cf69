import { z } from 'zod';
import type { InlineImage } from '../images/inline.ts';
import { defaultsFor, ownSizeMessage, validateParameters } from '../workflows/bind/parameters.ts';
import { SEED_MAX } from '../workflows/bind/seed.ts';
import { show } from '../workflows/messages.ts';
import type { Workflow } from '../workflows/workflow.ts';
import { BATCH_LIMIT } from './batches/batch.ts';
import { randomSeed } from './batches/variations.ts';
import {
  DEFAULT_WEBHOOK_EVENTS,
  type EditRequest,
  JOB_PRIORITIES,
  type JobPriority,
  type Labels,
  WEBHOOK_EVENTS,
  type Webhook,
  type WebhookEvent,
} from './job.ts';

const PROMPT_MAX = 10_000;

export function takes(what: string): { error: (issue: { input?: unknown }) => string } {
  return { error: issue => `takes ${what}, got ${show(issue.input)}` };
}

/** To be checked before a text is trimmed, so that the message quotes what came. */
export function isNotBlank(text: string): boolean {
  return text.trim() !== '';
}

function numberFrom(minimum: number, maximum: number) {
  const rule = takes(`a number from ${minimum} to ${maximum}`);
  return z.number(rule).min(minimum, rule).max(maximum, rule);
}

function integerFrom(minimum: number, maximum: number) {
  const rule = takes(`an integer from ${minimum} to ${maximum}`);
  return z.number(rule).int(rule).min(minimum, rule).max(maximum, rule);
}

/** A webhook whose events have the names that `nameOf` gives them; other cases of letters are accepted. */
export function webhookField(nameOf: (event: WebhookEvent) => string) {
  const names = WEBHOOK_EVENTS.map(nameOf).join(', ');
  const listRule = takes(`a list of ${names}`);
  const nameRule = takes(`one of ${names}`);
  const event = z.string(nameRule).transform((text, context) => {
    const found = WEBHOOK_EVENTS.find(candidate => candidate === text.toUpperCase());
    if (found !== undefined) return found;
    context.addIssue({ code: 'custom', message: nameRule.error({ input: text }) });
    return z.NEVER;
  });
  return z.strictObject(
    {
      url: z.string(takes('an http(s) URL')),
      events: z
        .array(event, listRule)
        .min(1, listRule)
        .nullish()
        .transform(events => [...new Set(events ?? DEFAULT_WEBHOOK_EVENTS)]),
    },
    { error: issue => `takes an object of url and events, got ${show(issue.input)}` },
  );
}

const seedForms = takes(`an integer from 0 to ${SEED_MAX}, as a number or a decimal string`);
const seedRule = {
  error: (issue: { input?: unknown }) =>
    Number.isInteger(issue.input) && Number(issue.input) > Number.MAX_SAFE_INTEGER
      ? `got ${show(issue.input)}, too large for a JSON number: send it as a string`
      : seedForms.error(issue),
};

/** The lowest and the highest value of each number of an edit. A workflow may allow less. */
export const RANGES = { steps: [1, 100], cfg: [1, 20], megapixels: [0.1, 4] } as const;

/** The fields of an edit that REST and GraphQL share; each message says what the field takes and what it got. */
export const editFields = {
  prompt: z
    .string(takes('a text'))
    .min(1, takes('a text that is not empty'))
    .refine(isNotBlank, takes('a text that is not empty'))
    .trim()
    .max(PROMPT_MAX, takes(`a text of at most ${PROMPT_MAX} characters`)),
  negativePrompt: z
    .string(takes('a text'))
    .max(PROMPT_MAX, takes(`a text of at most ${PROMPT_MAX} characters`)),
  seed: z
    .union([z.int(seedRule), z.bigint(seedRule), z.string(seedRule).regex(/^\d{1,20}$/, seedRule)], seedRule)
    .transform(value => BigInt(value))
    .refine(value => value >= 0n && value <= SEED_MAX, seedRule)
    .transform(value => value.toString()),
  steps: integerFrom(...RANGES.steps),
  cfg: numberFrom(...RANGES.cfg),
  megapixels: numberFrom(...RANGES.megapixels),
  workflow: z.string(takes('the name of a workflow')).min(1, takes('the name of a workflow')),
  priority: z.enum(JOB_PRIORITIES, takes(JOB_PRIORITIES.join(', '))),
  parameters: z.record(z.string(), z.unknown(), takes('an object')),
  webhook: webhookField(event => event),
  idempotencyKey: z
    .string(takes('a text'))
    .min(1, takes('a text of 1 to 200 characters'))
    .max(200, takes('a text of 1 to 200 characters')),
  variations: integerFrom(1, BATCH_LIMIT),
};

/** Where an image comes from. */
export type ImageSource =
  | { kind: 'url'; url: string }
  | { kind: 'dataUri'; dataUri: string }
  /** A data URI that was decoded while it arrived. */
  | { kind: 'inline'; image: InlineImage }
  /** An upload of the caller. */
  | { kind: 'upload'; id: string }
  /** A file that came with the request itself: an upload that lasts until the submit is over. */
  | { kind: 'form'; uploadId: string; sha256: string }
  /** The first output image of a job of the caller. */
  | { kind: 'job'; id: string };

/** An edit as submitted; unset settings are filled in from the workflow. */
export interface EditInput extends Labels {
  readonly images: readonly { slot: 1 | 2 | 3; source: ImageSource; field: string }[];
  /** The mask of what to change; null or unset: there is none. */
  readonly mask?: ImageSource | null;
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly seed: string | null;
  readonly steps: number | null;
  readonly cfg: number | null;
  readonly megapixels: number | null;
  readonly workflow: string | null;
  readonly priority: JobPriority;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly webhook: Webhook | null;
  readonly idempotencyKey: string | null;
  /** Of an edit of a batch: how many jobs it makes, each with another seed. Unset: one. */
  readonly variations?: number | undefined;
  /** What of the request was ignored, one sentence each. They are kept with the job. */
  readonly warnings?: readonly string[] | undefined;
}

/** The first error of a parse, by the field's own name: `steps takes an integer from 1 to 100, got 0`. */
export function firstIssue(error: z.ZodError): { field: string; message: string } {
  const issue = error.issues[0];
  const field = issue?.path.map(String).join('.') ?? '';
  const message = issue?.message ?? 'not valid';
  return { field, message: field === '' ? message : `${field} ${message}` };
}

/** A message behind the name of its field. Some messages about images are sentences; any other continues the name. */
export function withField(field: string, message: string): string {
  const separator = /(^|\.)(image|mask)/.test(field) && !/^(takes|is|changes) /.test(message) ? ': ' : ' ';
  return `${field}${separator}${message}`;
}

/** A request without its images. */
export type Settings = Omit<EditRequest, 'images' | 'mask'>;

/** Fills in unset settings from the workflow, and checks the others against its ranges. */
export function fillIn(
  input: EditInput,
  workflow: Workflow,
): { ok: true; values: Settings } | { ok: false; field: string; message: string } {
  const parameters = validateParameters(workflow.manifest, input.parameters);
  if (!parameters.ok) return { ok: false, field: parameters.field, message: parameters.message };
  const defaults = defaultsFor(workflow.manifest, parameters.values);
  const numbers = { steps: input.steps, cfg: input.cfg, megapixels: input.megapixels };
  const filled: { steps: number; cfg: number; megapixels: number | null } = {
    steps: 0,
    cfg: 0,
    megapixels: null,
  };
  for (const name of ['steps', 'cfg', 'megapixels'] as const) {
    const rule = workflow.manifest.parameters[name];
    const value = numbers[name] ?? defaults[name];
    if (rule === undefined || value === null) {
      if (numbers[name] === null) continue;
      return { ok: false, field: name, message: ownSizeMessage(workflow.name) };
    }
    if (value < rule.minimum || value > rule.maximum) {
      const message = `takes ${rule.minimum} to ${rule.maximum} in the workflow ${workflow.name}, got ${show(value)}`;
      return { ok: false, field: name, message };
    }
    filled[name] = value;
  }
  return {
    ok: true,
    values: {
      ...filled,
      prompt: input.prompt,
      negativePrompt: input.negativePrompt,
      seed: input.seed ?? randomSeed(),
      workflow: workflow.name,
      workflowVersion: workflow.version,
      parameters: parameters.values,
      webhook: input.webhook,
      label: input.label,
      metadata: input.metadata,
      ...(input.warnings === undefined || input.warnings.length === 0 ? {} : { warnings: input.warnings }),
    },
  };
}
