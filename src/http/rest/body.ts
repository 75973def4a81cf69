/** A body as an object, or what is wrong with it in words for the caller. */
export type Body = { ok: true; value: Record<string, unknown> } | { ok: false; fault: string };

/** More digits than any field takes, and few enough to be read at once. */
const MAX_INTEGER_DIGITS = 40;

/** A fault of the body itself; thrown by the reviver to leave the parse. */
class BodyFault extends Error {}

/**
 * Reads a JSON object from UTF-8 bytes. Integers of its fields that a number cannot hold become bigints, so that
 * every digit is kept; deeper ones stay numbers, as no field is that deep. Nothing at all counts as an object
 * without fields.
 */
export function parseBody(bytes: Uint8Array): Body {
  if (bytes.byteLength === 0) return { ok: true, value: {} };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return { ok: false, fault: 'The body is not UTF-8' };
  }
  try {
    return parseText(text);
  } catch (error) {
    if (error instanceof BodyFault) return { ok: false, fault: error.message };
    if (error instanceof SyntaxError)
      return { ok: false, fault: `The body is not valid JSON: ${error.message}` };
    // JSON.parse is recursive with a reviver: this is its stack that ran out.
    if (error instanceof RangeError) return { ok: false, fault: 'The body is nested too deeply' };
    throw error;
  }
}

function parseText(text: string): Body {
  const large = new Map<object, Map<string, bigint>>();
  const parsed: unknown = JSON.parse(
    text,
    function revive(
      this: object,
      key,
      value: unknown,
      context?: {
        source?: string;
      },
    ) {
      if (key === '__proto__') throw new BodyFault('The body has a key __proto__, which no field is called');
      const digits = context?.source;
      if (typeof value !== 'number' || Number.isSafeInteger(value) || digits === undefined) return value;
      if (!/^-?\d+$/.test(digits)) return value;
      if (digits.length > MAX_INTEGER_DIGITS) {
        throw new BodyFault(`${key} holds an integer of ${digits.length} digits, which no field takes`);
      }
      const siblings = large.get(this) ?? new Map<string, bigint>();
      large.set(this, siblings.set(key, BigInt(digits)));
      return value;
    },
  );
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return { ok: false, fault: `The body takes a JSON object, got ${kindOf(parsed)}` };
  }
  return { ok: true, value: { ...parsed, ...Object.fromEntries(large.get(parsed) ?? []) } };
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return `a ${typeof value}`;
}
