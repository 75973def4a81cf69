import { StoreUnavailable } from '../jobs/errors.ts';

/** The message of every API while jobs or images cannot be read or written. */
export const STORE_UNAVAILABLE = 'The store of jobs and images is unavailable, try again later';

/** Seconds until a retry where the error does not say. */
const RETRY_SECONDS = 5;

/** Codes of socket and disk errors that are temporary. */
const TEMPORARY = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOSPC',
  'EIO',
  'ERR_SQLITE_ERROR',
]);

/** SQLITE_ERROR, _INTERNAL, _SCHEMA, _CONSTRAINT, _MISMATCH and _MISUSE (sqlite.org/rescode.html): bugs, not the disk. */
const SQLITE_BUGS = new Set([1, 2, 17, 19, 20, 21]);

/** Seconds until a retry if an error means that the store of jobs or bytes is unavailable; null for any other error. */
export function storeRetryAfter(error: unknown): number | null {
  if (!(error instanceof Error)) return null;
  if (error instanceof StoreUnavailable) return error.retryAfterSeconds;
  if (!('code' in error) || typeof error.code !== 'string' || !TEMPORARY.has(error.code)) return null;
  // The lowest byte of an extended result code is the primary one.
  const bug =
    'errcode' in error && typeof error.errcode === 'number' && SQLITE_BUGS.has(error.errcode & 0xff);
  return bug ? null : RETRY_SECONDS;
}
