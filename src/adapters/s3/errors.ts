import { StoreUnavailable } from '../../jobs/errors.ts';

/** Whether an object is missing. A reply to HEAD has no body, so it cannot tell a missing object from a missing bucket. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && (error.name === 'NoSuchKey' || error.name === 'NotFound');
}

/** Whether a range starts after the end of an object. */
export function isOutOfRange(error: unknown): boolean {
  return error instanceof Error && error.name === 'InvalidRange';
}

/** The cause of a failure for the operator. Messages of the service may contain access key ids, never secrets. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'CredentialsProviderError') {
    return 'no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
  }
  const detail = error.message === '' || error.message === error.name ? codeOf(error) : error.message;
  return detail === '' ? error.name : `${error.name}: ${detail}`;
}

/** A refused connection is an AggregateError, which has a code and no message. */
function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : '';
}

/** Statuses below 500 that mean: not now, or not with these credentials, which only the operator can change. */
const UNABLE = new Set([403, 408, 429]);

/**
 * Waits for a call to the service. Rejects with `StoreUnavailable` when the service is unreachable or cannot serve us, and with
 * the error itself when the object is missing or the error is ours.
 */
export async function reach<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw asStoreFault(error);
  }
}

/** Turns an error of the service or of the connection into a `StoreUnavailable`; returns any other error unchanged. */
export function asStoreFault(error: unknown): unknown {
  return asStoreAway(error) ?? error;
}

/** Errors of the service have an HTTP status; errors of the connection have a code of Node or are a timeout. */
function asStoreAway(error: unknown): StoreUnavailable | null {
  if (!(error instanceof Error)) return null;
  const status = statusOf(error);
  const code = codeOf(error);
  const away =
    status === null
      ? /^E(?!RR_)[A-Z_]+$/.test(code) || /^(TimeoutError|CredentialsProviderError)$/.test(error.name)
      : status >= 500 || UNABLE.has(status) || error.name === 'NoSuchBucket';
  if (!away) return null;
  const byName = error.name === 'TimeoutError' ? 'ETIMEDOUT' : 'ECONNREFUSED';
  return new StoreUnavailable(`S3 is unreachable: ${reasonOf(error)}`, code === '' ? byName : code);
}

function statusOf(error: Error): number | null {
  if (!('$metadata' in error) || typeof error.$metadata !== 'object' || error.$metadata === null) return null;
  const { httpStatusCode } = { httpStatusCode: null, ...error.$metadata };
  return typeof httpStatusCode === 'number' ? httpStatusCode : null;
}
