/**
 * The closed list of errors of jobs and requests. Callers decide by `code`; `retryable` says whether the same request
 * may succeed later.
 */
const ERROR_CODES = {
  INVALID_INPUT: { retryable: false },
  INPUT_UNREACHABLE: { retryable: true },
  INPUT_BLOCKED: { retryable: false },
  INPUT_TOO_LARGE: { retryable: false },
  INPUT_NOT_AN_IMAGE: { retryable: false },
  WORKFLOW_INVALID: { retryable: false },
  MODEL_MISSING: { retryable: false },
  NODE_MISSING: { retryable: false },
  OUT_OF_MEMORY: { retryable: true },
  EXECUTION_FAILED: { retryable: false },
  ENGINE_LOST: { retryable: true },
  TIMED_OUT: { retryable: true },
  OUTPUT_MISSING: { retryable: true },
  QUEUE_FULL: { retryable: true },
  JOB_NOT_FOUND: { retryable: false },
  JOB_NOT_FINAL: { retryable: true },
  CANCELED: { retryable: true },
  EXPIRED: { retryable: false },
  UNAUTHORIZED: { retryable: false },
  RATE_LIMITED: { retryable: true },
  INTERNAL: { retryable: true },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Every code, in the order of the list. */
export const errorCodes = Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]];

/** An error of a job, in words for its caller: without engine paths and tracebacks. */
export interface JobError {
  readonly code: ErrorCode;
  readonly message: string;
  /** Id of the graph node that failed, if one did. */
  readonly node: string | null;
}

/** Whether repeating the same request later may help. */
export function isRetryable(code: ErrorCode): boolean {
  return ERROR_CODES[code].retryable;
}

/** Builds a JobError; `node` is the failing graph node, if any. */
export function jobError(code: ErrorCode, message: string, node: string | null = null): JobError {
  return { code, message, node };
}

/** Seconds until a retry when nothing better is known. */
const RETRY_AFTER_SECONDS = 5;

/**
 * The store of jobs cannot be reached: a call was not made, or its response was lost. A failed write may therefore have
 * happened. Thrown by the ports of `ports.ts`; callers are told to retry.
 */
export class StoreUnavailable extends Error {
  override name = 'StoreUnavailable';
  /** A code of Node's socket errors (`ECONNREFUSED`, `ETIMEDOUT`, …), so that no other codes need to be known. */
  readonly code: string;
  /** When to retry, in seconds. */
  readonly retryAfterSeconds: number;

  constructor(message: string, code: string, retryAfterSeconds: number = RETRY_AFTER_SECONDS) {
    super(message);
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
