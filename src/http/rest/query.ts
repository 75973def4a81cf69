import type { z } from 'zod';
import { firstIssue } from '../../jobs/request.ts';
import { nearest } from '../../workflows/messages.ts';

/** The longest name that is compared with the known ones, in characters. */
const MAX_COMPARED = 60;

/**
 * Reads a query string. A parameter that resembles one of the route's is a mistake and rejected; any other unknown one is
 * ignored, since clients and proxies add their own (`?_=1732630000`).
 */
export function readQuery<Schema extends z.ZodObject>(
  schema: Schema,
  query: unknown,
): { ok: true; value: z.output<Schema> } | { ok: false; fault: string } {
  const known = Object.keys(schema.shape);
  for (const name of Object.keys(query ?? {})) {
    if (known.includes(name) || name.length > MAX_COMPARED) continue;
    const meant = nearest(name, known);
    if (meant !== null) {
      return { ok: false, fault: `The query parameter "${name}" is unknown; did you mean "${meant}"?` };
    }
  }
  const parsed = schema.safeParse(query);
  return parsed.success
    ? { ok: true, value: parsed.data }
    : { ok: false, fault: firstIssue(parsed.error).message };
}
