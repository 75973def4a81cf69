import { pause } from './abort.ts';
import { GatewayError } from './errors.ts';

const PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

/** How long to wait after so many failures in a row, in milliseconds: 0.1 to 0.2 s after one, at most 5 s. */
export function backoff(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
}

export interface Persistence {
  /** How long after the first failure it is still tried again, in milliseconds. */
  readonly patience: number;
  readonly signal: AbortSignal;
  /** Told why, each time before it is tried again. */
  readonly onRetry: ((failure: GatewayError) => void) | undefined;
}

/** Statuses of HTTP by which a proxy says that the gateway behind it is away. */
const AWAY = new Set([502, 503, 504]);

/** Does it again, with pauses, while the gateway is away. Only for what may be done twice. */
export async function persist<T>(
  attempt: () => Promise<T>,
  { patience, signal, onRetry }: Persistence,
): Promise<T> {
  let until = Number.POSITIVE_INFINITY;
  for (let failures = 1; ; failures += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof GatewayError) || !isAway(error)) throw error;
      until = Math.min(until, performance.now() + patience);
      const wait = backoff(failures);
      if (performance.now() + wait > until) throw error;
      onRetry?.(error);
      await pause(wait, signal);
    }
  }
}

function isAway({ kind, status }: GatewayError): boolean {
  return kind === 'unreachable' || (kind === 'refused' && status !== null && AWAY.has(status));
}
