import type { Job } from '../../jobs/job.ts';
import type { SubmitOutcome } from '../../jobs/submit/outcome.ts';
import type { Builder } from '../builder.ts';
import { FAILS_ALONE } from '../nullability.ts';
import { type EditImageInputType, readEdit } from './edit-input.ts';
import {
  type ErrorTypes,
  invalidInput,
  jobNotFound,
  type Problem,
  type ProblemOf,
  problemOf,
  type SubmitProblem,
} from './errors.ts';
import type { JobTypes } from './job.ts';

type EditResult = Job | SubmitProblem;

/** Adds `editImage`, `cancelJob`, `deleteJob` and `retryJob`. */
export function addEdits(
  builder: Builder,
  { JobType }: JobTypes,
  EditImageInput: EditImageInputType,
  errors: ErrorTypes,
): void {
  const nameOf = (value: Job | Problem): string => ('kind' in value ? value.kind : 'EditJob');
  const EditImageResult = builder.unionType('EditImageResult', {
    types: [
      JobType,
      errors.InvalidInput,
      errors.ImageRejected,
      errors.QueueFull,
      errors.LimitReached,
      errors.NotAllowed,
    ],
    resolveType: nameOf,
  });
  const RetryJobResult = builder.unionType('EditRetryJobResult', {
    types: [
      JobType,
      errors.JobNotFound,
      errors.JobNotFinal,
      errors.ImageRejected,
      errors.InvalidInput,
      errors.QueueFull,
      errors.LimitReached,
      errors.NotAllowed,
    ],
    resolveType: nameOf,
  });
  const CancelJobResult = builder.unionType('EditCancelJobResult', {
    types: [JobType, errors.JobNotFound],
    resolveType: nameOf,
  });
  const DeletedJob = builder.objectRef<{ jobId: string }>('EditDeletedJob').implement({
    description: 'The job was deleted, with its images.',
    fields: t => ({ jobId: t.exposeID('jobId') }),
  });
  const DeleteJobResult = builder.unionType('EditDeleteJobResult', {
    types: [DeletedJob, errors.JobNotFound],
    resolveType: (value: { jobId: string } | Problem) => ('kind' in value ? value.kind : 'EditDeletedJob'),
  });

  builder.mutationFields(t => ({
    editImage: t.field({
      type: EditImageResult,
      ...FAILS_ALONE,
      description: 'Submits one edit. A returned job is stored and will run.',
      args: { input: t.arg({ type: EditImageInput, required: true }) },
      resolve: async (_root, { input }, { jobs, caller, signal, traceparent, images }) => {
        const read = readEdit(input, images);
        if (!read.ok) return invalidInput(read.field, read.message);
        const { edit } = read;
        if ((edit.variations ?? 1) !== 1) {
          const message = `variations takes 1 in editImage, got ${edit.variations}: editImages answers several jobs`;
          return invalidInput('variations', message);
        }
        return answer(await jobs.submit(edit, caller, { signal, traceparent }));
      },
    }),
    cancelJob: t.field({
      type: CancelJobResult,
      ...FAILS_ALONE,
      description:
        'Cancels a job. Returns once the engine has stopped working on it; a job that has ended stays as it is.',
      args: { id: t.arg.id({ required: true }) },
      resolve: async (_root, { id }, { jobs, caller }) => {
        const outcome = await jobs.cancel(id, caller);
        return outcome.kind === 'not-found' ? jobNotFound(id) : outcome.job;
      },
    }),
    deleteJob: t.field({
      type: DeleteJobResult,
      ...FAILS_ALONE,
      description: 'Cancels the job if it runs, then deletes it with its images.',
      args: { id: t.arg.id({ required: true }) },
      resolve: async (_root, { id }, { jobs, caller }) =>
        (await jobs.remove(id, caller)) ? { jobId: id } : jobNotFound(id),
    }),
    retryJob: t.field({
      type: RetryJobResult,
      ...FAILS_ALONE,
      description: 'Submits a new job with the same request as one that has ended.',
      args: { id: t.arg.id({ required: true }) },
      resolve: async (_root, { id }, { jobs, caller, traceparent }) => {
        const outcome = await jobs.retry(id, caller, { traceparent });
        if (outcome.ok || outcome.failure !== null) return answer(outcome);
        const job = outcome.reason === 'not-final' ? await jobs.get(id, caller) : null;
        if (job === null) return jobNotFound(id);
        const message = 'The job has not ended yet';
        return {
          kind: 'EditJobNotFinal',
          code: 'JOB_NOT_FINAL',
          message,
          job,
        } satisfies ProblemOf<'EditJobNotFinal'>;
      },
    }),
  }));
}

function answer(outcome: SubmitOutcome): EditResult {
  return outcome.ok ? outcome.job : problemOf(outcome.failure);
}
