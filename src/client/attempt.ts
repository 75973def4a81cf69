import type { Operation, Transport } from './connection.ts';
import type { GatewayError } from './errors.ts';

export interface Attempt {
  readonly reached: boolean;
  /** `final`: as `show` said. `completed`: by the server, before that. */
  readonly end: 'final' | 'completed' | GatewayError;
  /** The shortest pause before a retry, in milliseconds. */
  readonly least: number;
}

/**
 * Runs one subscription until it ends, or until `show` returns true for a result. Rejects with the signal's reason when
 * that aborts.
 */
export async function subscribeOnce<Result, Variables extends object>(
  transport: Transport,
  operation: Operation<Result, Variables>,
  variables: Variables,
  signal: AbortSignal,
  show: (result: Result) => boolean,
): Promise<Attempt> {
  signal.throwIfAborted();
  let onAbort = (): void => {};
  let stop = (): void => {};
  try {
    return await new Promise<Attempt>((resolve, reject) => {
      onAbort = () => {
        stop();
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort);
      const subscription = transport.subscribe(operation, variables, {
        next(result) {
          if (show(result)) resolve({ reached: true, end: 'final', least: 0 });
        },
        end: (error, least = 0) =>
          resolve({ reached: subscription.reached, end: error ?? 'completed', least }),
      });
      stop = subscription.stop;
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    stop();
  }
}

/** Puts a transport that worked first. */
export function prefer(order: Transport[], transport: Transport): void {
  const at = order.indexOf(transport);
  if (at > 0) order.unshift(...order.splice(at, 1));
}
