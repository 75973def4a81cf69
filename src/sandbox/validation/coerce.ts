import { pythonText } from './python.ts';

export type Coerced = { ok: true; value: unknown } | { ok: false; message: string };

/** Turns a value into what an input of this type stores, as Python's `int`, `float`, `str` and `bool` do. */
export function coerce(type: string, value: unknown): Coerced {
  switch (type) {
    case 'INT':
      return toInt(value);
    case 'FLOAT':
      return toFloat(value);
    case 'STRING':
      return { ok: true, value: pythonText(value) };
    case 'BOOLEAN':
      // "false" is true: a text that is not empty.
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
  if (typeof value !== 'string') return notANumber('int', value);
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
  if (typeof value === 'bigint') return { ok: true, value: Number(value) };
  if (typeof value === 'boolean') return { ok: true, value: value ? 1 : 0 };
  if (typeof value !== 'string') return notANumber('float', value);
  const text = value.trim().toLowerCase();
  if (text === 'nan') return { ok: true, value: Number.NaN };
  if (/^[+-]?inf(inity)?$/.test(text)) {
    return { ok: true, value: text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY };
  }
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(text)) return { ok: true, value: Number(text) };
  return { ok: false, message: `could not convert string to float: '${value}'` };
}

function notANumber(type: 'int' | 'float', value: unknown): Coerced {
  const name = value == null ? 'NoneType' : Array.isArray(value) ? 'list' : 'dict';
  const takes =
    type === 'int' ? 'a string, a bytes-like object or a real number' : 'a string or a real number';
  const message = `${type}() argument must be ${takes}, not '${name}'`;
  return { ok: false, message };
}

function isTruthy(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}
