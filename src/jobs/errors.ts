/**
 * The closed list of faults a job or a request can have. A caller decides by `code`; `retryable` says whether
 * the same request may succeed later without being changed.
 */
export const ERROR_CODES = {
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
  CANCELED: { retryable: true },
  EXPIRED: { retryable: false },
  UNAUTHORIZED: { retryable: false },
  RATE_LIMITED: { retryable: true },
  INTERNAL: { retryable: true },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Every code, in the order of the catalogue. */
export const errorCodes = Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]];

/** What went wrong with a job, in words for its caller: no engine paths, no traceback. */
export interface JobError {
  readonly code: ErrorCode;
  readonly message: string;
  /** Id of the graph node that failed, when one did. */
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
