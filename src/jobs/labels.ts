import { hash } from 'node:crypto';
import { z } from 'zod';
import { show } from '../workflows/messages.ts';
import type { Labels } from './job.ts';
import { isNotBlank, takes } from './request.ts';

const LABEL_MAX = 200;
const ENTRIES_MAX = 16;
const KEY_MAX = 64;
const VALUE_MAX = 512;

/** Neither control characters nor the line separators of Unicode. */
const ONE_LINE = /^[^\p{Cc}\u2028\u2029]*$/u;
/** Safe in query strings and in `key=value`. No name of an object's own, such as `__proto__`, begins like this. */
const KEY = new RegExp(`^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,${KEY_MAX - 1}}$`);

/** What the fields take, in words. */
export const LABEL_RULE = `one line of 1 to ${LABEL_MAX} characters`;
export const KEY_RULE = `1 to ${KEY_MAX} of A-Z a-z 0-9 _ . : / -, with a letter or digit first`;
export const VALUE_RULE = `a text of at most ${VALUE_MAX} characters`;
export const ENTRIES_RULE = `at most ${ENTRIES_MAX} entries`;

const value = z.string(takes(VALUE_RULE)).max(VALUE_MAX, takes(VALUE_RULE));
const entry = z.object({ key: z.string().regex(KEY, takes(KEY_RULE)), value });

/** A label and metadata as a caller gives them, at submit and as a filter. */
export const labelFields = {
  label: z
    .string(takes(LABEL_RULE))
    .min(1, takes(LABEL_RULE))
    .refine(isNotBlank, takes(LABEL_RULE))
    .trim()
    .max(LABEL_MAX, takes(LABEL_RULE))
    .regex(ONE_LINE, takes(LABEL_RULE)),
  /** An object, as in JSON. A fault of a key is one of the whole object: the key may be too long for a field's path. */
  metadata: z
    // The keys are checked before z.record, which drops a key `__proto__`, and with it a filter.
    .unknown()
    .superRefine((given, context) => {
      const report = (message: string): void => context.addIssue({ code: 'custom', message });
      if (!isObject(given)) return report(`takes an object of texts, got ${show(given)}`);
      const keys = Object.keys(given);
      if (keys.length > ENTRIES_MAX) report(`takes ${ENTRIES_RULE}, got ${keys.length}`);
      const wrong = keys.find(key => !KEY.test(key));
      if (wrong !== undefined) report(`takes keys of ${KEY_RULE}, got ${show(wrong)}`);
    })
    .pipe(z.record(z.string(), value)),
  /** A list of entries, as in GraphQL; becomes the same object. */
  entries: z
    .array(entry)
    .max(ENTRIES_MAX, {
      error: ({ input }) => `takes ${ENTRIES_RULE}, got ${Array.isArray(input) ? input.length : 'more'}`,
    })
    .superRefine((given, context) => {
      const seen = new Set<string>();
      for (const [index, { key }] of given.entries()) {
        if (seen.has(key)) {
          const message = `takes each key once, got ${show(key)} again`;
          context.addIssue({ code: 'custom', message, path: [index, 'key'] });
        }
        seen.add(key);
      }
    })
    .transform(given => Object.fromEntries(given.map(({ key, value: text }) => [key, text]))),
};

function isObject(given: unknown): given is object {
  return typeof given === 'object' && given !== null && !Array.isArray(given);
}

/** Base64 characters of a tag: 132 bits, so that no two of a store are the same by chance. */
const TAG_LENGTH = 22;

/**
 * One short tag for the label and for each entry: stores find jobs by them. A hash, so that an index has the same size
 * whatever callers send.
 */
export function tagsOf({ label, metadata }: Labels): string[] {
  const terms: string[][] = Object.entries(metadata);
  if (label !== null) terms.push([label]);
  // JSON keeps key and value apart, and a label apart from both.
  return terms.map(term => hash('sha256', JSON.stringify(term), 'base64url').slice(0, TAG_LENGTH));
}
