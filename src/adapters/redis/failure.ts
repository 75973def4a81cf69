import { StoreAway } from '../../jobs/store-away.ts';

/**
 * What Redis answers when it cannot serve now although it is reached: it loads its file, was made a replica, lost
 * its master or its quorum, is full, cannot write, or does not let us in (redis.io/docs/latest, "Errors" of each).
 */
const REFUSALS =
  /\b(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|OOM|MISCONF|NOREPLICAS|NOAUTH|WRONGPASS|UNKILLABLE)\b/;

/** Waits for a call to Redis. Rejects with `StoreAway` when Redis is out of reach, with the error itself otherwise. */
export async function reach<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw asStoreAway(error) ?? error;
  }
}

/**
 * The `StoreAway` that an error of ioredis means; null when it is a fault of ours. ioredis tells errors of the
 * connection apart by text only, but an answer of the server is always a `ReplyError`. The error itself is not kept:
 * it carries the command with the caller's prompt.
 */
export function asStoreAway(error: unknown): StoreAway | null {
  if (error instanceof StoreAway) return error;
  if (!(error instanceof Error) || error instanceof TypeError || error instanceof RangeError) return null;
  if (error.name === 'ReplyError') {
    const refusal = REFUSALS.exec(error.message)?.[1];
    return refusal === undefined ? null : new StoreAway(`Redis refuses: ${refusal}`, 'ECONNREFUSED');
  }
  return new StoreAway(`Redis is out of reach: ${error.message}`, codeOf(error));
}

function codeOf(error: Error): string {
  if ('code' in error && typeof error.code === 'string' && /^E(?!RR_)[A-Z_]+$/.test(error.code))
    return error.code;
  return /timed? ?out/i.test(error.message) ? 'ETIMEDOUT' : 'ECONNREFUSED';
}
