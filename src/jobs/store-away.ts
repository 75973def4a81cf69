/** Seconds after which a caller may try again when nothing better is known. */
const RETRY_AFTER_SECONDS = 5;

/**
 * The store of jobs is out of reach: a call was not made, or its answer was lost. A write that failed so may have
 * happened nevertheless. Thrown by the ports of `ports.ts`; a face tells its caller to try again.
 */
export class StoreAway extends Error {
  /**
   * In the words of Node's socket errors (`ECONNREFUSED`, `ETIMEDOUT`, …), so that whoever tells faults apart by
   * code needs to know no other.
   */
  readonly code: string;
  /** When to try again, in seconds. */
  readonly retryAfterSeconds: number;

  constructor(message: string, code: string, retryAfterSeconds: number = RETRY_AFTER_SECONDS) {
    super(message);
    this.name = 'StoreAway';
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
