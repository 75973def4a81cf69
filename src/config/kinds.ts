import { accessSync, constants, statSync } from 'node:fs';
import { z } from 'zod';
import type { Rate } from '../rate.ts';

/**
 * The kinds of values that settings take. Each carries what `docs/configuration.md` says about it: `takes` names the kind,
 * `range` its limits.
 */

declare module 'zod' {
  interface GlobalMeta {
    takes?: string;
    range?: string;
  }
}

/** `1`, `true`, `yes`, `on` and their opposites. */
export const flag = z.stringbool().meta({ takes: 'flag', range: '`1` or `0`' });

/** A text that is not empty. */
export const text = z.string().min(1).meta({ takes: 'text' });

/** The path of a folder, which may be missing. */
export const folder = z.string().min(1).meta({ takes: 'path' });

/** An http or https URL. */
export function webUrl(error = 'takes an http:// or https:// URL') {
  return z.url({ protocol: /^https?$/, error }).meta({ takes: 'URL' });
}

/** One of these words. */
export function oneOf<const T extends readonly [string, ...string[]]>(words: T) {
  return z
    .enum(words, { error: `takes ${words.join(', ')}` })
    .meta({ takes: 'word', range: words.map(word => `\`${word}\``).join(', ') });
}

/** A setting whose text `parse` reads. */
export function parsed<T>(parse: (text: string) => { ok: true; value: T } | { ok: false; fault: string }) {
  return z.string().transform((text, context) => {
    const result = parse(text);
    if (result.ok) return result.value;
    context.addIssue({ code: 'custom', message: result.fault });
    return z.NEVER;
  });
}

/** As `parsed`, of a function that throws an Error whose message is the fault. */
export function parsedOrThrown<T>(parse: (text: string) => T) {
  return parsed(text => {
    try {
      return { ok: true, value: parse(text) };
    } catch (error) {
      if (error instanceof Error) return { ok: false, fault: error.message };
      throw error;
    }
  });
}

/** An integer in a range, both ends included. */
export function whole(minimum: number, maximum: number) {
  return parsed(text => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    return value >= minimum && value <= maximum
      ? { ok: true, value }
      : { ok: false, fault: `takes an integer from ${minimum} to ${maximum}` };
  }).meta({ takes: 'integer', range: `${minimum} to ${maximum}` });
}

/** An integer with a unit, as a multiple of the smallest unit. */
function amount(units: Readonly<Record<string, number>>, fault: string) {
  const factors = new Map(Object.entries(units));
  return parsed(text => {
    const [, digits, unit = ''] = /^(\d+)([a-z]+)$/i.exec(text) ?? [];
    const factor = factors.get(unit);
    return factor === undefined ? { ok: false, fault } : { ok: true, value: Number(digits) * factor };
  });
}

const DURATION_UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration such as `500ms`, `30s`, `10m`, `24h`, `7d` or `0`, in milliseconds; at most what a timer of Node takes. */
export const duration = z
  .string()
  .transform(text => (text === '0' ? '0ms' : text))
  .pipe(amount(DURATION_UNITS, 'takes a duration such as 500ms, 30s, 10m, 24h or 7d'))
  .refine(value => value <= 2 ** 31 - 1, 'takes at most 24d')
  .meta({ takes: 'duration', range: 'up to `24d`' });

/** As `duration`, where less than `least` would do harm, as a time limit of 0 that every job exceeds. */
export function durationFrom(least: string) {
  const minimum = duration.parse(least);
  return duration
    .refine(value => value >= minimum, `takes at least ${least}`)
    .meta({ takes: 'duration', range: `\`${least}\` to \`24d\`` });
}

/** A size such as `10MiB`, in bytes. */
export const bytes = z
  .string()
  .toLowerCase()
  .pipe(amount({ b: 1, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3 }, 'takes a size such as 512KiB or 10MiB'))
  .meta({ takes: 'size' });

/** Comma-separated parts. */
export const list = z
  .string()
  .transform(text =>
    text
      .split(',')
      .map(part => part.trim())
      .filter(part => part !== ''),
  )
  .meta({ takes: 'list' });

/** `100/1m`, or `off`. */
export const rate = parsed<Rate | 'off'>(text => {
  if (text.toLowerCase() === 'off') return { ok: true, value: 'off' };
  const [, limit, window] = /^([1-9]\d{0,6})\/(\w+)$/.exec(text) ?? [];
  const windowMs = duration.safeParse(window);
  return windowMs.success && windowMs.data > 0
    ? { ok: true, value: { limit: Number(limit), windowMs: windowMs.data } }
    : { ok: false, fault: 'takes requests per time such as 100/1m, or off' };
}).meta({ takes: 'rate' });

/** The path of a file that can be read now. */
export const readableFile = parsed(path => {
  try {
    accessSync(path, constants.R_OK);
    if (statSync(path).isDirectory()) return { ok: false, fault: `cannot read ${path}: it is a folder` };
    return { ok: true, value: path };
  } catch (error) {
    return { ok: false, fault: `cannot read ${path}: ${reasonOf(error)}` };
  }
}).meta({ takes: 'path' });

/** Why a file could not be read, without its path. */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'there is no such file';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'EISDIR':
      return 'it is a folder';
    default:
      return code;
  }
}
