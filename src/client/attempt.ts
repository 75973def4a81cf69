import type { Operation, Transport } from './connection.ts';
import { type GatewayError, unreachable } from './errors.ts';
import { backoff, createPatience, pause } from './retry.ts';

interface Attempt {
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
async function subscribeOnce<Result, Variables extends object>(
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
function prefer(order: Transport[], transport: Transport): void {
  const at = order.indexOf(transport);
  if (at > 0) order.unshift(...order.splice(at, 1));
}

/** What a result of a subscription is: `stale`, if a connection before has shown it, and `final`, if it is the last. */
export type Shown = 'stale' | 'new' | 'final';

/** A subscription that outlives its connections. */
export interface Persistent<Result, Variables extends object> {
  /** The transports, most preferred first. One that works is moved to the front. */
  readonly order: Transport[];
  /** How long to retry without a result, in milliseconds. */
  readonly patience: number;
  readonly operation: Operation<Result, Variables>;
  /** Those of the next attempt. */
  readonly variables: () => Variables;
  readonly show: (result: Result) => Shown;
  /** Why the server completed the subscription before a final result. */
  readonly whyCompleted: (signal: AbortSignal) => Promise<GatewayError>;
  /** Says what was waited for, when nothing arrives in time. */
  readonly missing: string;
  /** Ends the subscription with its reason. */
  readonly signal: AbortSignal;
  /** Called before each retry, with its reason. */
  readonly onRetry: ((failure: GatewayError) => void) | undefined;
}

/**
 * Subscribes, and again whenever the connection was lost, over one transport after the other. Resolves after the final
 * result; rejects with a failure that no retry helps against. Releases everything, however it ends.
 */
export async function subscribePersistently<Result, Variables extends object>(
  persistent: Persistent<Result, Variables>,
): Promise<void> {
  const { order, operation, show, signal, onRetry } = persistent;
  const patience = createPatience(persistent.patience);
  const either = AbortSignal.any([signal, patience.signal]);
  let seen = false;
  let failures = 0;
  let place = 0;
  try {
    patience.miss(unreachable(persistent.missing));
    for (;;) {
      const transport = order[place % order.length];
      if (transport === undefined) throw new TypeError('There is no transport for a watch');
      const { reached, end, least } = await subscribeOnce(
        transport,
        operation,
        persistent.variables(),
        either,
        result => {
          patience.find();
          prefer(order, transport);
          place = 0;
          const shown = show(result);
          if (shown === 'stale') return false;
          seen = true;
          failures = 0;
          return shown === 'final';
        },
      );
      if (end === 'final') return;
      const failure = end === 'completed' ? await persistent.whyCompleted(either) : end;
      if (!failure.retryable) throw failure;
      // A retry does not help at first: the caller's own watches fill the limit. Later the gateway may still be
      // counting this watch's lost connection.
      if (failure.code === 'TOO_MANY_SUBSCRIPTIONS' && !seen) throw failure;
      patience.miss(failure);
      if (!reached) {
        place += 1;
        // The other transports are tried at once, and a pause follows when all have failed.
        if (place % order.length !== 0) continue;
      }
      failures += 1;
      onRetry?.(failure);
      await pause(Math.max(least, backoff(failures)), either);
    }
  } finally {
    patience.find();
  }
}
