import type { Batch } from '../batches/batch.ts';
import type { ErrorCode } from '../errors.ts';
import type { Job } from '../job.ts';
import type { LimitReached } from '../limits.ts';

/** Why a submit was rejected; nothing of it is kept. */
export interface SubmitFailure {
  readonly code: ErrorCode;
  readonly message: string;
  /** The invalid field, by its name in REST or GraphQL; that of an edit of a batch begins with `edits.<index>.`. */
  readonly field: string | null;
  readonly retryAfterSeconds: number | null;
  /** The limit of the caller that is reached. */
  readonly limit?: LimitReached;
}

export interface Rejected {
  readonly ok: false;
  readonly failure: SubmitFailure;
}

export type SubmitOutcome = { ok: true; job: Job; repeated: boolean } | Rejected;

export type BatchOutcome = { ok: true; batch: Batch; repeated: boolean } | Rejected;

/** A submit that would be rejected again. */
export function reject(code: ErrorCode, message: string, field: string | null): Rejected {
  return { ok: false, failure: { code, message, field, retryAfterSeconds: null } };
}

/** The same failure of the edit with this index of a batch. */
export function ofEdit(index: number, { failure }: Rejected): Rejected {
  const field = failure.field === null ? `edits.${index}` : `edits.${index}.${failure.field}`;
  return { ok: false, failure: { ...failure, field } };
}
