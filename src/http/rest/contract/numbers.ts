import { z } from 'zod';
import { firstIssue } from '../../../jobs/request.ts';
import type { ParameterRule } from '../../../workflows/bind/parameters.ts';

/** Longer texts are rejected: no field has such numbers. */
const LONGEST_NUMBER = 100;

const DIGITS = '\\d+(_\\d+)*';
const INTEGER = `^\\s*[+-]?${DIGITS}(\\.0+)?\\s*$`;
const DECIMAL = `^\\s*[+-]?(${DIGITS}(\\.(${DIGITS})?)?|\\.${DIGITS})([eE][+-]?${DIGITS})?\\s*$`;
const INTEGER_TEXT = new RegExp(INTEGER);
const DECIMAL_TEXT = new RegExp(DECIMAL);

/**
 * The integer that a text spells, or null. FastAPI, for which the first clients were written, takes a text in place of a
 * number: `30`, ` 30 `, `+30`, `1_000` and `30.0`, but not `3e1` (pydantic's conversion of JSON in lax mode).
 */
export function integerIn(text: string): bigint | null {
  if (text.length > LONGEST_NUMBER || !INTEGER_TEXT.test(text)) return null;
  const [whole = ''] = text.trim().replace('+', '').replaceAll('_', '').split('.');
  return BigInt(whole);
}

/** The number that a text spells, or null. The same as for integers, and also `0.5`, `.5`, `5.` and `3e1`. */
export function decimalIn(text: string): number | null {
  if (text.length > LONGEST_NUMBER || !DECIMAL_TEXT.test(text)) return null;
  return Number(text.replaceAll('_', ''));
}

/** The number that a text spells, where a parameter of this type takes one; any other value as it is. */
export function asNumber(type: ParameterRule['type'], given: unknown): unknown {
  if (typeof given !== 'string') return given;
  if (type === 'integer') return toNumber(integerIn(given)) ?? given;
  return type === 'number' ? (decimalIn(given) ?? given) : given;
}

/** The schema of a field that also takes its number as a text. Its errors show the value as it came. */
function orText<Schema extends z.ZodType>(schema: Schema, read: (text: string) => unknown) {
  return z
    .unknown()
    .transform((given, context): z.output<Schema> => {
      const parsed = schema.safeParse(typeof given === 'string' ? (read(given) ?? given) : given);
      if (parsed.success) return parsed.data;
      // The field's message for the value as it came. A text in the field's own form can only be out of range.
      const fault = schema.safeParse(given).error ?? parsed.error;
      context.addIssue({ code: 'custom', message: firstIssue(fault).message });
      return z.NEVER;
    })
    .nullish();
}

/** The schema of an integer that may be a text, null or unset. */
export function laxInteger<Schema extends z.ZodType>(schema: Schema, minimum: number, maximum: number) {
  return orText(schema, text => toNumber(integerIn(text))).meta({
    override: { anyOf: [{ type: 'integer', minimum, maximum }, { type: 'string', pattern: INTEGER }, NULL] },
  });
}

/** The schema of a number that may be a text, null or unset. */
export function laxNumber<Schema extends z.ZodType>(schema: Schema, minimum: number, maximum: number) {
  return orText(schema, decimalIn).meta({
    override: { anyOf: [{ type: 'number', minimum, maximum }, { type: 'string', pattern: DECIMAL }, NULL] },
  });
}

/** The schema of a seed, of which no digit is lost. */
export function laxSeed<Schema extends z.ZodType>(schema: Schema) {
  return orText(schema, integerIn).meta({
    override: { anyOf: [{ type: 'integer', minimum: 0 }, { type: 'string', pattern: INTEGER }, NULL] },
  });
}

const NULL = { type: 'null' } as const;

function toNumber(integer: bigint | null): number | null {
  return integer === null ? null : Number(integer);
}
