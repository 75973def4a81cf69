import { StoreAway } from '../jobs/store-away.ts';

/** What every face tells a caller while the jobs or the pictures cannot be had. */
export const STORE_AWAY = 'The store of jobs and pictures is out of reach, try again later';

/** How long a caller is told to wait when the store does not say, in seconds. */
const RETRY_SECONDS = 5;

/** Errors of sockets and disks that say: not here, not now. */
const AWAY = new Set([
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

/** SQLITE_ERROR, _INTERNAL, _SCHEMA, _MISMATCH and _MISUSE (sqlite.org/rescode.html): our fault, not the disk's. */
const SQLITE_OWN_FAULTS = new Set([1, 2, 17, 19, 20, 21]);

/**
 * When to try again, in seconds, if an error says that the store of jobs or bytes is out of reach; null when it says
 * that we made a mistake.
 */
export function storeAwaySeconds(error: unknown): number | null {
  if (!(error instanceof Error)) return null;
  if (error instanceof StoreAway) return error.retryAfterSeconds;
  if (!('code' in error) || typeof error.code !== 'string' || !AWAY.has(error.code)) return null;
  // Extended result codes keep the primary one in their lowest byte.
  const ours =
    'errcode' in error && typeof error.errcode === 'number' && SQLITE_OWN_FAULTS.has(error.errcode & 0xff);
  return ours ? null : RETRY_SECONDS;
}
