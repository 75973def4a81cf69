/** Python's conversions and texts, as far as ComfyUI's validation shows them. */

export type Coerced = { ok: true; value: unknown } | { ok: false; message: string };

/** Converts a value to the type of an input, as Python's `int`, `float`, `str` and `bool` do. */
export function coerce(type: string, value: unknown): Coerced {
  switch (type) {
    case 'INT':
      return toInt(value);
    case 'FLOAT':
      return toFloat(value);
    case 'STRING':
      return { ok: true, value: pythonText(value) };
    case 'BOOLEAN':
      // "false" is true: a string that is not empty.
      return { ok: true, value: isTruthy(value) };
    default:
      return { ok: true, value };
  }
}

function toInt(value: unknown): Coerced {
  if (typeof value === 'bigint') return { ok: true, value };
  if (typeof value === 'boolean') return { ok: true, value: value ? 1 : 0 };
  if (typeof value === 'number') {
    if (Number.isNaN(value)) return { ok: false, message: 'cannot convert float NaN to integer' };
    if (!Number.isFinite(value)) return { ok: false, message: 'cannot convert float infinity to integer' };
    return { ok: true, value: Math.trunc(value) };
  }
  if (typeof value !== 'string')
    return notANumber('int', 'a string, a bytes-like object or a real number', value);
  const digits = value.trim().replace(/(?<=\d)_(?=\d)/g, '');
  if (!/^[+-]?\d+$/.test(digits)) {
    return { ok: false, message: `invalid literal for int() with base 10: '${value}'` };
  }
  const integer = BigInt(digits.replace(/^\+/, ''));
  const small = Number(integer);
  return { ok: true, value: Number.isSafeInteger(small) ? small : integer };
}

function toFloat(value: unknown): Coerced {
  if (typeof value === 'number') return { ok: true, value };
  if (typeof value === 'bigint' || typeof value === 'boolean') return { ok: true, value: Number(value) };
  if (typeof value !== 'string') return notANumber('float', 'a string or a real number', value);
  const text = value.trim().toLowerCase();
  if (text === 'nan') return { ok: true, value: Number.NaN };
  if (/^[+-]?inf(inity)?$/.test(text)) {
    return { ok: true, value: text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY };
  }
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(text)) return { ok: true, value: Number(text) };
  return { ok: false, message: `could not convert string to float: '${value}'` };
}

function notANumber(type: string, accepted: string, value: unknown): Coerced {
  const given = value == null ? 'NoneType' : Array.isArray(value) ? 'list' : 'dict';
  return { ok: false, message: `${type}() argument must be ${accepted}, not '${given}'` };
}

function isTruthy(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** A value as Python's `str` writes it, close enough for messages. */
export function pythonText(value: unknown): string {
  return typeof value === 'string' ? value : repr(value);
}

function repr(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'string') return `'${value}'`;
  if (Array.isArray(value)) return `[${value.map(repr).join(', ')}]`;
  if (typeof value !== 'object') return String(value);
  const entries = Object.entries(value).map(([key, item]) => `'${key}': ${repr(item)}`);
  return `{${entries.join(', ')}}`;
}

/** A number as Python writes it: a float has a decimal point. */
export function pythonNumber(value: number | bigint, float: boolean): string {
  const text = String(value);
  return float && /^-?\d+$/.test(text) ? `${text}.0` : text;
}
