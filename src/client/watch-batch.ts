import { subscribePersistently } from './attempt.ts';
import type { Transport } from './connection.ts';
import { GatewayError, notFound, unreachable } from './errors.ts';
import {
  BatchProgressDocument,
  type BatchProgressSubscriptionVariables,
  type BatchSnapshotFragment as BatchSnapshot,
} from './generated/operations.ts';
import { iterate } from './iterate.ts';

/** States of a batch. `return()` settles at once, even while `next()` waits, and releases the connection. */
export type BatchWatch = AsyncIterableIterator<BatchSnapshot, undefined>;

export interface BatchWatching {
  /** In order of preference. */
  readonly transports: readonly Transport[];
  /** How long a watch without a connection retries, in milliseconds. */
  readonly patience: number;
  /** The current state of the batch; null when it is unknown. */
  fetchBatch(id: string, signal: AbortSignal): Promise<BatchSnapshot | null>;
}

/** `signal` ends the watch with its reason; `onRetry` is called before each retry, with its reason. */
export type WatchBatch = (
  wanted: BatchProgressSubscriptionVariables & { readonly batchId: string },
  signal: AbortSignal,
  onRetry: ((failure: GatewayError) => void) | undefined,
) => BatchWatch;

/** Makes the function behind `Client.watchBatch`. A transport that worked is tried first from then on. */
export function createWatchBatch({ transports, patience, fetchBatch }: BatchWatching): WatchBatch {
  const order = [...transports];

  /** The batch was deleted, or a router in between lost its connection to the gateway. */
  async function whyCompleted(id: string, signal: AbortSignal): Promise<GatewayError> {
    try {
      if ((await fetchBatch(id, signal)) === null) return notFound(`The batch ${id} was deleted`);
      return unreachable('The subscription ended before the batch');
    } catch (error) {
      if (signal.aborted || !(error instanceof GatewayError)) throw error;
      return error;
    }
  }

  return (wanted, signal, onRetry) =>
    iterate<BatchSnapshot>(signal, (either, take) =>
      subscribePersistently({
        order,
        patience,
        operation: BatchProgressDocument,
        variables: () => wanted,
        // Each state says all, and none is older than one before it.
        show({ batchProgress: batch }) {
          take(batch);
          return batch.ended ? 'final' : 'new';
        },
        whyCompleted: stop => whyCompleted(wanted.batchId, stop),
        missing: 'No state of the batch arrived in time',
        signal: either,
        onRetry,
      }),
    );
}
