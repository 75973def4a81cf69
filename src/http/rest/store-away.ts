import { StoreAway } from '../../jobs/store-away.ts';

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

/** Whether an error says that the store of jobs or bytes is out of reach, and not that we made a mistake. */
export function isStoreAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof StoreAway) return true;
  if (!('code' in error) || typeof error.code !== 'string' || !AWAY.has(error.code)) return false;
  // Extended result codes keep the primary one in their lowest byte.
  return !(
    'errcode' in error &&
    typeof error.errcode === 'number' &&
    SQLITE_OWN_FAULTS.has(error.errcode & 0xff)
  );
}
