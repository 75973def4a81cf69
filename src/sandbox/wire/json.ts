/** Prefix that marks a number inside a string while JavaScript's own JSON functions handle the text. */
const MARK = '\u0000int:';
/** What may be a token that JavaScript reads otherwise. */
const UNUSUAL = /\d{16}|NaN|Infinity/;
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])|\bNaN\b|-?\bInfinity\b/g;

/**
 * Parses JSON as Python does: an integer above 2^53 keeps its digits (as a bigint), and NaN and Infinity are numbers.
 * Throws a SyntaxError.
 */
export function parseJson(text: string): unknown {
  if (!UNUSUAL.test(text)) return JSON.parse(text);
  const marked = text.replace(TOKENS, token => {
    if (token.startsWith('"')) return token;
    if (token === 'NaN' || token.endsWith('Infinity')) return JSON.stringify(`${MARK}${token}`);
    return Number.isSafeInteger(Number(token)) ? token : JSON.stringify(`${MARK}${token}`);
  });
  return JSON.parse(marked, (_key, value: unknown) =>
    typeof value === 'string' && value.startsWith(MARK) ? unmark(value) : value,
  );
}

function unmark(value: string): string | number | bigint {
  const token = value.slice(MARK.length);
  if (/^(NaN|-?Infinity)$/.test(token)) return Number(token);
  return /^-?\d+$/.test(token) ? BigInt(token) : value;
}

/** Writes JSON as Python does: with every digit of a bigint, and with NaN and Infinity. */
export function toJson(value: unknown): string {
  if (!hasUnusual(value)) return JSON.stringify(value);
  const text = JSON.stringify(value, (_key, item: unknown) => {
    const isMarked = typeof item === 'bigint' || (typeof item === 'number' && !Number.isFinite(item));
    return isMarked ? `${MARK}${item}` : item;
  });
  return text.replace(/"\\u0000int:(-?\d+|NaN|-?Infinity)"/g, '$1');
}

/** Whether a bigint, NaN or Infinity is somewhere in it. A replacer, which JSON.stringify calls for each value, takes longer. */
function hasUnusual(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint';
  return Array.isArray(value) ? value.some(hasUnusual) : Object.values(value).some(hasUnusual);
}

export type JsonObject = { [key: string]: unknown };

/** True for a JSON object: neither null nor an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
