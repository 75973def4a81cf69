import { type ErrorCode, isRetryable } from '../../jobs/errors.ts';
import type { Job } from '../../jobs/job.ts';
import type { LimitReached } from '../../jobs/limits.ts';
import { withField } from '../../jobs/request.ts';
import type { SubmitFailure } from '../../jobs/submit/outcome.ts';
import type { Builder } from '../builder.ts';
import type { JobTypes } from './job.ts';

/**
 * An error that a caller can act on, as a member of a result union. None has a field `id`: Relay stores objects by `id`
 * alone, so an error with the id of a job would take the place of the job.
 */
export type Problem =
  | { kind: 'EditInvalidInput'; code: ErrorCode; message: string; field: string | null }
  | { kind: 'EditImageRejected'; code: ErrorCode; message: string; field: string | null }
  | { kind: 'EditQueueFull'; code: 'QUEUE_FULL'; message: string; retryAfterSeconds: number }
  | ({
      kind: 'EditLimitReached';
      code: 'LIMIT_REACHED';
      message: string;
      retryAfterSeconds: number;
    } & LimitReached)
  | { kind: 'EditNotAllowed'; code: 'NOT_ALLOWED'; message: string; field: string | null }
  | { kind: 'EditJobNotFound'; code: 'JOB_NOT_FOUND'; message: string; jobId: string }
  | { kind: 'EditBatchNotFound'; code: 'BATCH_NOT_FOUND'; message: string; batchId: string }
  | { kind: 'EditJobNotFinal'; code: 'JOB_NOT_FINAL'; message: string; job: Job }
  | { kind: 'EditEngineNotFound'; code: 'ENGINE_NOT_FOUND'; message: string; engineId: string };

/** The problems of one kind. */
export type ProblemOf<K extends Problem['kind']> = Extract<Problem, { kind: K }>;

/** Why a submit was rejected. */
export type SubmitProblem = ProblemOf<
  'EditInvalidInput' | 'EditImageRejected' | 'EditQueueFull' | 'EditLimitReached' | 'EditNotAllowed'
>;

/** The problem of a rejected submit. */
export function problemOf(failure: SubmitFailure): SubmitProblem {
  const { code, message, field, limit } = failure;
  if (code === 'LIMIT_REACHED' && limit !== undefined) {
    return {
      kind: 'EditLimitReached',
      code,
      message,
      ...limit,
      retryAfterSeconds: failure.retryAfterSeconds ?? 10,
    };
  }
  switch (code) {
    case 'NOT_ALLOWED':
      return {
        kind: 'EditNotAllowed',
        code,
        message: field === null ? message : withField(field, message),
        field,
      };
    case 'QUEUE_FULL':
      return { kind: 'EditQueueFull', code, message, retryAfterSeconds: failure.retryAfterSeconds ?? 10 };
    case 'INPUT_UNREACHABLE':
    case 'INPUT_BLOCKED':
    case 'INPUT_TOO_LARGE':
    case 'INPUT_NOT_AN_IMAGE':
    case 'EXPIRED':
      return { kind: 'EditImageRejected', code, message, field };
    default:
      return {
        kind: 'EditInvalidInput',
        code,
        message: field === null ? message : withField(field, message),
        field,
      };
  }
}

/** The problem of an input with an invalid field. */
export function invalidInput(field: string | null, message: string): ProblemOf<'EditInvalidInput'> {
  return { kind: 'EditInvalidInput', code: 'INVALID_INPUT', message, field };
}

/** The problem of a batch that does not exist, or not for this caller. */
export function batchNotFound(batchId: string): ProblemOf<'EditBatchNotFound'> {
  return { kind: 'EditBatchNotFound', code: 'BATCH_NOT_FOUND', message: 'Batch not found', batchId };
}

/** The problem of an id that does not exist, or not for this caller. */
export function jobNotFound(jobId: string): ProblemOf<'EditJobNotFound'> {
  return { kind: 'EditJobNotFound', code: 'JOB_NOT_FOUND', message: 'Job not found', jobId };
}

/** Adds the error types. Returns references to them. */
export function addErrors(builder: Builder, { JobType, ErrorCode: ErrorCodeEnum }: JobTypes) {
  const ErrorInterface = builder.interfaceRef<Problem>('EditError').implement({
    description: 'An error that the caller can act on.',
    fields: t => ({
      message: t.string({ resolve: problem => problem.message }),
      code: t.field({ type: ErrorCodeEnum, resolve: problem => problem.code }),
      retryable: t.boolean({
        description: 'Whether the same request may succeed later: the same for each error of a code.',
        resolve: problem => isRetryable(problem.code),
      }),
    }),
  });

  const field = { nullable: true, description: 'The input field with the error.' } as const;

  const InvalidInput = builder.objectRef<ProblemOf<'EditInvalidInput'>>('EditInvalidInput').implement({
    description: 'The input is invalid.',
    interfaces: [ErrorInterface],
    fields: t => ({ field: t.exposeString('field', field) }),
  });
  const ImageRejected = builder.objectRef<ProblemOf<'EditImageRejected'>>('EditImageRejected').implement({
    description: 'An image could not be fetched, or cannot be used.',
    interfaces: [ErrorInterface],
    fields: t => ({ field: t.exposeString('field', field) }),
  });
  const QueueFull = builder.objectRef<ProblemOf<'EditQueueFull'>>('EditQueueFull').implement({
    description: 'Too many jobs are waiting.',
    interfaces: [ErrorInterface],
    fields: t => ({ retryAfterSeconds: t.exposeFloat('retryAfterSeconds') }),
  });
  const LimitName = builder.enumType('EditLimit', {
    description: 'A limit of a caller.',
    values: {
      WAITING_JOBS: { description: 'Jobs that have not started.' },
      MEGAPIXEL_STEPS_PER_DAY: {
        description:
          'Megapixels (1024 × 1024 pixels) of each submitted edit times its steps, from 00:00 UTC on.',
      },
    },
  });
  const LimitReached = builder.objectRef<ProblemOf<'EditLimitReached'>>('EditLimitReached').implement({
    description: 'The edit would exceed a limit of the caller.',
    interfaces: [ErrorInterface],
    fields: t => ({
      limit: t.expose('limit', { type: LimitName }),
      allowed: t.exposeFloat('allowed'),
      used: t.exposeFloat('used', { description: 'Without this edit.' }),
      freeAt: t.field({
        type: 'DateTime',
        description: 'When an edit may be accepted again: estimated for jobs, exact for megapixel-steps.',
        resolve: problem => new Date(problem.freeAt),
      }),
      retryAfterSeconds: t.exposeFloat('retryAfterSeconds'),
    }),
  });
  const NotAllowed = builder.objectRef<ProblemOf<'EditNotAllowed'>>('EditNotAllowed').implement({
    description: 'The policy of the caller does not allow the edit.',
    interfaces: [ErrorInterface],
    fields: t => ({ field: t.exposeString('field', field) }),
  });
  const JobNotFound = builder.objectRef<ProblemOf<'EditJobNotFound'>>('EditJobNotFound').implement({
    description: 'The job does not exist, or belongs to another caller.',
    interfaces: [ErrorInterface],
    fields: t => ({ jobId: t.exposeID('jobId') }),
  });
  const BatchNotFound = builder.objectRef<ProblemOf<'EditBatchNotFound'>>('EditBatchNotFound').implement({
    description:
      'The batch does not exist, belongs to another caller, or its last job was deleted or has expired.',
    interfaces: [ErrorInterface],
    fields: t => ({ batchId: t.exposeID('batchId') }),
  });
  const JobNotFinal = builder.objectRef<ProblemOf<'EditJobNotFinal'>>('EditJobNotFinal').implement({
    description: 'The job has not ended yet.',
    interfaces: [ErrorInterface],
    fields: t => ({ job: t.field({ type: JobType, resolve: problem => problem.job }) }),
  });
  const EngineNotFound = builder.objectRef<ProblemOf<'EditEngineNotFound'>>('EditEngineNotFound').implement({
    description: 'There is no engine with this id.',
    interfaces: [ErrorInterface],
    fields: t => ({ engineId: t.exposeID('engineId') }),
  });
  return {
    InvalidInput,
    ImageRejected,
    QueueFull,
    LimitReached,
    NotAllowed,
    JobNotFound,
    BatchNotFound,
    JobNotFinal,
    EngineNotFound,
  };
}

export type ErrorTypes = ReturnType<typeof addErrors>;
