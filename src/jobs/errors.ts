/**
 * The closed list of errors of jobs and requests. Callers decide by `code`; `retryable` says whether the same request
 * may succeed later, without a change by its caller or an operator; `meaning` is its description in the graph.
 */
const ERROR_CODES = {
  INVALID_INPUT: { retryable: false, meaning: 'A field of the input is not valid.' },
  INPUT_UNREACHABLE: { retryable: true, meaning: 'The server of an image did not send it.' },
  INPUT_BLOCKED: { retryable: false, meaning: 'The URL of an image may not be fetched.' },
  INPUT_TOO_LARGE: { retryable: false, meaning: 'An image has too many bytes or pixels.' },
  INPUT_NOT_AN_IMAGE: { retryable: false, meaning: 'It is not a JPEG, PNG or WebP image.' },
  WORKFLOW_INVALID: { retryable: false, meaning: 'The workflow is unknown, or its graph is not valid.' },
  MODEL_MISSING: { retryable: false, meaning: 'The engine lacks a model of the workflow.' },
  NODE_MISSING: { retryable: false, meaning: 'The engine lacks a node of the workflow.' },
  OUT_OF_MEMORY: { retryable: true, meaning: 'The engine ran out of memory.' },
  EXECUTION_FAILED: { retryable: false, meaning: 'A node of the graph failed.' },
  ENGINE_LOST: { retryable: true, meaning: 'The engine went away in each attempt.' },
  TIMED_OUT: { retryable: true, meaning: 'The job took longer than the operator allows.' },
  OUTPUT_MISSING: { retryable: true, meaning: 'The engine completed each attempt, and had no output image.' },
  QUEUE_FULL: { retryable: true, meaning: 'Too many jobs are waiting.' },
  LIMIT_REACHED: { retryable: true, meaning: 'The caller has reached one of its limits.' },
  NOT_ALLOWED: { retryable: false, meaning: 'The policy of the caller does not allow it.' },
  // A job is stored before its submit returns, and an id is never used again: one that is unknown stays unknown.
  JOB_NOT_FOUND: { retryable: false, meaning: 'The job is unknown, expired, deleted, or another caller’s.' },
  BATCH_NOT_FOUND: {
    retryable: false,
    meaning: 'The batch is unknown, or another caller’s, or its last job expired or was deleted.',
  },
  JOB_NOT_FINAL: { retryable: true, meaning: 'The job has not ended yet.' },
  // Engines are set when the gateway starts.
  ENGINE_NOT_FOUND: { retryable: false, meaning: 'There is no engine with this id.' },
  CANCELED: { retryable: true, meaning: 'The job was canceled.' },
  EXPIRED: { retryable: false, meaning: 'The images of the job were deleted.' },
  UNAUTHORIZED: { retryable: false, meaning: 'The caller may not do this.' },
  RATE_LIMITED: { retryable: true, meaning: 'The caller sent too many requests.' },
  INTERNAL: { retryable: true, meaning: 'An error of the gateway.' },
} as const satisfies Record<string, { readonly retryable: boolean; readonly meaning: string }>;

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

/** What a code means, in a sentence, and whether it is retryable. */
export function describeCode(code: ErrorCode): string {
  const { meaning, retryable } = ERROR_CODES[code];
  return `${meaning} ${retryable ? 'Retryable.' : 'Not retryable.'}`;
}

/** Builds a JobError; `node` is the failing graph node, if any. */
export function jobError(code: ErrorCode, message: string, node: string | null = null): JobError {
  return { code, message, node };
}

/** Seconds until a retry when nothing better is known. */
const RETRY_AFTER_SECONDS = 5;

/**
 * The store of jobs cannot be reached: a call was not made, or its response was lost. A failed write may therefore have
 * happened. Thrown by the ports of `ports.ts`; the answer asks callers to retry.
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
