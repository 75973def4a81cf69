/** What a repeated request resolved to. `late`: it failed each time, and the time is over. */
export type Persisted<T, E extends Error> =
  | { kind: 'done'; value: T }
  | { kind: 'late'; error: E }
  | { kind: 'stopped' };

export interface Patience<E extends Error> {
  /** Milliseconds from the first failure until it is given up. */
  readonly forMs: number;
  readonly now: () => number;
  /** Whether another try may help after this error; others are thrown. */
  mayHelp(error: unknown): error is E;
  /** Checked before each try. */
  stopped(): boolean;
  /** Waits, at most this long. */
  wait(ms: number): Promise<void>;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Repeats a request that fails, with pauses that double from 0.1 s to 5 s, until it succeeds, the time is over, or it is
 * no longer wanted. Tries at least twice.
 */
export async function persist<T, E extends Error>(
  request: () => Promise<T>,
  patience: Patience<E>,
): Promise<Persisted<T, E>> {
  let failedAt: number | null = null;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(LONGEST_PAUSE_MS, pause * 2)) {
    if (patience.stopped()) return { kind: 'stopped' };
    try {
      return { kind: 'done', value: await request() };
    } catch (error) {
      if (!patience.mayHelp(error)) throw error;
      const at = patience.now();
      if (failedAt !== null && at - failedAt >= patience.forMs) return { kind: 'late', error };
      failedAt ??= at;
      const until = at + Math.min(pause, Math.max(0, failedAt + patience.forMs - at));
      // A wait may end early, for a reason that is none of ours.
      for (let left = until - at; left > 0 && !patience.stopped(); left = until - patience.now()) {
        await patience.wait(left);
      }
    }
  }
}
