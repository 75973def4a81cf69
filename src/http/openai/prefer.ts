/** What `Prefer` says about waiting (RFC 7240). */
export interface Preference {
  /** The client may leave, and the edits go on. */
  readonly async: boolean;
  /** How long to wait for the edits before 202 is sent. Null: to their end. */
  readonly waitMs: number | null;
}

/** A day: no response stays open longer by default. */
const WAIT_MAX_S = 86_400;

/** Reads `respond-async` and `wait=<seconds>` (RFC 7240, 4.1 and 4.3). Without `wait` the response is sent at once. */
export function preferenceOf(header: string | string[] | undefined): Preference {
  const preferences = [header ?? []]
    .flat()
    .join(',')
    .split(',')
    .map(part => part.trim().toLowerCase());
  if (!preferences.includes('respond-async')) return { async: false, waitMs: null };
  const seconds = preferences.map(part => /^wait=(\d{1,6})$/.exec(part)?.[1]).find(Boolean) ?? '0';
  return { async: true, waitMs: Math.min(Number(seconds), WAIT_MAX_S) * 1000 };
}
