import { GatewayError } from './errors.ts';

/** Settles as the promise does, or rejects with the signal's reason when that aborts first. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Resolves after the given milliseconds; rejects with the signal's reason when that aborts. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>(resolve => {
    timer = setTimeout(resolve, milliseconds);
  });
  try {
    await orAborted(over, signal);
  } finally {
    clearTimeout(timer);
  }
}

const PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

/** The pause after a number of failures in a row, in milliseconds: 0.1 to 0.2 s after the first, at most 5 s. */
export function backoff(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}

export interface Persistence {
  /** How long to retry after the first failure, in milliseconds. */
  readonly patience: number;
  readonly signal: AbortSignal;
  /** Called before each retry, with its reason. */
  readonly onRetry: ((failure: GatewayError) => void) | undefined;
}

/** HTTP statuses by which a proxy reports that the gateway behind it is down. */
const DOWN_STATUSES = new Set([502, 503, 504]);

/** Retries with backoff while the gateway is down. Only for idempotent requests. */
export async function persist<T>(
  attempt: () => Promise<T>,
  { patience, signal, onRetry }: Persistence,
): Promise<T> {
  let until = Number.POSITIVE_INFINITY;
  for (let failures = 1; ; failures += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof GatewayError) || !isDown(error)) throw error;
      until = Math.min(until, performance.now() + patience);
      const wait = backoff(failures);
      if (performance.now() + wait > until) throw error;
      onRetry?.(error);
      await pause(wait, signal);
    }
  }
}

function isDown({ kind, status }: GatewayError): boolean {
  return kind === 'unreachable' || (kind === 'refused' && status !== null && DOWN_STATUSES.has(status));
}

/** A timeout that runs only while something is missing. */
export interface Patience {
  /** Aborts with the last failure when the time is up. */
  readonly signal: AbortSignal;
  /** Starts the timer unless it is running, and keeps the failure as the reason. */
  miss(failure: Error): void;
  /** Stops the timer. */
  find(): void;
}

/** The longest delay of `setTimeout`, in milliseconds: 24 days. A longer timeout never ends. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Makes a timeout of the given milliseconds, not running yet. `find` leaves no timer behind. */
export function createPatience(milliseconds: number): Patience {
  const over = new AbortController();
  let timer: ReturnType<typeof setTimeout> | null = null;
  let last: Error;
  return {
    signal: over.signal,
    miss(failure) {
      last = failure;
      if (timer !== null || milliseconds > LONGEST_TIMER_MS) return;
      timer = setTimeout(() => over.abort(last), milliseconds);
    },
    find() {
      if (timer !== null) clearTimeout(timer);
      timer = null;
    },
  };
}
