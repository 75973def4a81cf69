import { type InlineImages, NO_IMAGES } from '../../images/inline.ts';
import type { ReadBody } from '../inline-images.ts';

/** A body as an object. */
export interface BodyObject {
  readonly value: Readonly<Record<string, unknown>>;
  /** The images whose names stand in the fields for images in place of their base64. */
  readonly images: InlineImages;
}

/** A body as an object, or what is wrong with it. */
export type Body = ({ readonly ok: true } & BodyObject) | { readonly ok: false; readonly fault: string };

/** More digits than any field accepts, and few enough to parse quickly. */
const MAX_INTEGER_DIGITS = 40;

/** More values than a batch of a thousand edits has. A reviver is called for each, which takes a microsecond. */
const MAX_VALUES = 200_000;

/** How many of these images are the whole value of a field for images. */
export type CountImages = (body: BodyObject['value'], images: InlineImages) => number;

/** A fault of the body. The reviver throws it to stop the parser. */
class BodyFault extends Error {}

/**
 * Parses a JSON object from UTF-8 bytes. Integers that a number cannot represent become bigints, so that no digit is lost: those
 * at the top, and those of the edits of a batch; deeper ones stay numbers, since no field is there. No bytes count as an empty object.
 */
export function parseBody(bytes: Uint8Array): Body {
  return parse(bytes, NO_IMAGES);
}

/** Like `parseBody`, for a body whose images were decoded. If one is anywhere but in a field for images, parses the body as it came. */
export function parseBodyWithImages({ text, images, original }: ReadBody, countImages: CountImages): Body {
  const body = parse(text, images);
  if (images.size === 0 || (body.ok && countImages(body.value, images) === images.size)) return body;
  return parse(original(), NO_IMAGES);
}

function parse(bytes: Uint8Array, images: InlineImages): Body {
  if (bytes.byteLength === 0) return { ok: true, value: {}, images };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return { ok: false, fault: 'The body is not UTF-8' };
  }
  try {
    return { ok: true, value: parseText(text), images };
  } catch (error) {
    if (error instanceof BodyFault) return { ok: false, fault: error.message };
    if (error instanceof SyntaxError)
      return { ok: false, fault: `The body is not valid JSON: ${error.message}` };
    // JSON.parse recurses when it has a reviver, and has used up the stack.
    if (error instanceof RangeError) return { ok: false, fault: 'The body is nested too deeply' };
    throw error;
  }
}

/** Throws a BodyFault, or what JSON.parse throws. */
function parseText(text: string): Record<string, unknown> {
  const large = new Map<object, Map<string, bigint>>();
  let values = 0;
  const parsed: unknown = JSON.parse(
    text,
    function revive(this: object, key, value: unknown, context?: { source?: string }) {
      values += 1;
      if (values > MAX_VALUES) throw new BodyFault(`The body has more than ${MAX_VALUES} values`);
      if (key === '__proto__') throw new BodyFault('The body has a key __proto__, which is not allowed');
      const digits = context?.source;
      if (typeof value !== 'number' || Number.isSafeInteger(value) || digits === undefined) return value;
      if (!/^-?\d+$/.test(digits)) return value;
      if (digits.length > MAX_INTEGER_DIGITS) {
        throw new BodyFault(`${key} is an integer of ${digits.length} digits, which no field takes`);
      }
      const siblings = large.get(this) ?? new Map<string, bigint>();
      large.set(this, siblings.set(key, BigInt(digits)));
      return value;
    },
  );
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new BodyFault(`The body takes a JSON object, got ${kindOf(parsed)}`);
  }
  const exact = (holder: object): Record<string, unknown> => ({
    ...holder,
    ...Object.fromEntries(large.get(holder) ?? []),
  });
  const value = exact(parsed);
  const { edits } = value;
  if (!Array.isArray(edits) || large.size === 0) return value;
  const exactEdits = edits.map((edit: unknown) => (isObject(edit) ? exact(edit) : edit));
  return { ...value, edits: exactEdits };
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return `a ${typeof value}`;
}
