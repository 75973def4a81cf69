import { StoreAway } from '../../jobs/store-away.ts';

/** Whether an object is not there. A HEAD has no body that could say whether it is the bucket that is not. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && (error.name === 'NoSuchKey' || error.name === 'NotFound');
}

/** Whether a range begins behind the end of an object. */
export function isOutOfRange(error: unknown): boolean {
  return error instanceof Error && error.name === 'InvalidRange';
}

/** What an operator needs to know of a failure. The service's own words hold access keys at most, never secrets. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'CredentialsProviderError') {
    return 'no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
  }
  const told = error.message === '' || error.message === error.name ? codeOf(error) : error.message;
  return told === '' ? error.name : `${error.name}: ${told}`;
}

/** A refused connection is an error without words that holds others. */
function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : '';
}

/** Answers that say: not now, or not with these credentials, which only the operator can change. */
const REFUSING = new Set([403, 408, 429]);

/**
 * Waits for a call to the service. Rejects with `StoreAway` when it is out of reach or does not serve us, with the error
 * itself when the object is missing or the fault is ours.
 */
export async function reach<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw asStoreFault(error);
  }
}

/** The `StoreAway` that an error of the service or of the way to it means; any other error itself. */
export function asStoreFault(error: unknown): unknown {
  return asStoreAway(error) ?? error;
}

/** Each error of the service carries the status of its answer; each of the connection a code of Node, or that it was late. */
function asStoreAway(error: unknown): StoreAway | null {
  if (!(error instanceof Error)) return null;
  const status = statusOf(error);
  const code = codeOf(error);
  const away =
    status === null
      ? /^E(?!RR_)[A-Z_]+$/.test(code) || /^(TimeoutError|CredentialsProviderError)$/.test(error.name)
      : status >= 500 || REFUSING.has(status) || error.name === 'NoSuchBucket';
  if (!away) return null;
  const told = error.name === 'TimeoutError' ? 'ETIMEDOUT' : 'ECONNREFUSED';
  return new StoreAway(`S3 is out of reach: ${reasonOf(error)}`, code === '' ? told : code);
}

function statusOf(error: Error): number | null {
  if (!('$metadata' in error) || typeof error.$metadata !== 'object' || error.$metadata === null) return null;
  const { httpStatusCode } = { httpStatusCode: null, ...error.$metadata };
  return typeof httpStatusCode === 'number' ? httpStatusCode : null;
}
