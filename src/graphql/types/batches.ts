import { GraphQLError } from 'graphql';
import type { InlineImages } from '../../images/inline.ts';
import { type Batch, hasEnded, progressOf, removedOf } from '../../jobs/batches/batch.ts';
import { BATCH_PER_SECOND } from '../../jobs/batches/watch.ts';
import { PER_SECOND } from '../../jobs/changes.ts';
import { JOB_STATUSES } from '../../jobs/job.ts';
import { type EditInput, editFields, firstIssue, withField } from '../../jobs/request.ts';
import type { BatchOutcome } from '../../jobs/submit/outcome.ts';
import type { Builder } from '../builder.ts';
import { FAILS_ALONE } from '../nullability.ts';
import { type JobConnectionTypes, readPage } from './connection.ts';
import { type EditImageInputType, readEdit } from './edit-input.ts';
import {
  batchNotFound,
  type ErrorTypes,
  invalidInput,
  type Problem,
  problemOf,
  type SubmitProblem,
} from './errors.ts';
import type { JobTypes } from './job.ts';
import { readRate } from './jobs.ts';

/** What the types of batches are built with. */
export interface BatchParts {
  readonly jobTypes: JobTypes;
  readonly connection: JobConnectionTypes;
  readonly EditImageInput: EditImageInputType;
  readonly errors: ErrorTypes;
}

export type BatchType = ReturnType<typeof addBatches>;

/** Adds `editImages`, `batch`, `batchProgress`, `cancelBatch` and `retryFailed`; returns the type of a batch. */
export function addBatches(
  builder: Builder,
  {
    jobTypes: { Node, JobStatus },
    connection: { JobConnection, pageArgs },
    EditImageInput,
    errors,
  }: BatchParts,
) {
  const BatchType = builder.objectRef<Batch>('EditBatch').implement({
    description:
      'Jobs that were submitted together. Each is also a job of its own; the batch is gone when the last of them is.',
    interfaces: [Node],
    directives: { key: { fields: 'id' } },
    fields: t => ({
      id: t.exposeID('id'),
      total: t.exposeInt('total', { description: 'How many jobs it was submitted with.' }),
      queued: t.int({ resolve: ({ counts }) => counts.QUEUED }),
      processing: t.int({ resolve: ({ counts }) => counts.PROCESSING }),
      completed: t.int({ resolve: ({ counts }) => counts.COMPLETED }),
      failed: t.int({ description: 'Jobs with the status ERROR.', resolve: ({ counts }) => counts.ERROR }),
      canceled: t.int({ resolve: ({ counts }) => counts.CANCELED }),
      removed: t.int({
        description: 'Jobs that were deleted or have expired. With the others they make `total`.',
        resolve: removedOf,
      }),
      ended: t.boolean({ description: 'Whether all jobs have ended.', resolve: hasEnded }),
      progress: t.float({
        description:
          'The mean progress of the jobs in percent, where one that has ended counts as 100. Never falls.',
        resolve: progressOf,
      }),
      etaSeconds: t.float({
        nullable: true,
        description:
          'Seconds until all jobs have ended, at the pace of the batch so far; null before there is one, and at the end.',
        resolve: (batch, _, { jobs }) => jobs.batches.etaOf(batch),
      }),
      createdAt: t.field({ type: 'DateTime', resolve: ({ createdAt }) => new Date(createdAt) }),
      jobs: t.field({
        type: JobConnection,
        description: 'The jobs, in the order of the edits and their variations.',
        args: {
          ...pageArgs,
          status: t.arg({ type: [JobStatus], description: 'Only jobs with one of these statuses.' }),
        },
        resolve: ({ id, counts }, { status, ...page }, { jobs }) => {
          const statuses = status ?? null;
          return readPage(page, {
            list: range => jobs.batches.jobs({ batch: id, statuses, ...range }),
            async total() {
              return [...new Set(statuses ?? JOB_STATUSES)].reduce((sum, name) => sum + counts[name], 0);
            },
          });
        },
      }),
    }),
  });

  const EditImagesInput = builder.inputType('EditImagesInput', {
    fields: t => ({
      edits: t.field({
        type: [EditImageInput],
        required: true,
        description:
          'At most 1000 jobs in all, each variation counted. An image of several edits is loaded once.',
      }),
      idempotencyKey: t.string({
        description:
          'A repeated key with the same edits returns the same batch; with others it is an error. The edits have none.',
      }),
    }),
  });

  const nameOf = (value: Batch | Problem): string => ('kind' in value ? value.kind : 'EditBatch');
  const EditImagesResult = builder.unionType('EditImagesResult', {
    types: [
      BatchType,
      errors.InvalidInput,
      errors.ImageRejected,
      errors.QueueFull,
      errors.LimitReached,
      errors.NotAllowed,
    ],
    resolveType: nameOf,
  });
  const CancelBatchResult = builder.unionType('EditCancelBatchResult', {
    types: [BatchType, errors.BatchNotFound],
    resolveType: nameOf,
  });
  const RetryFailedResult = builder.unionType('EditRetryFailedResult', {
    types: [
      BatchType,
      errors.BatchNotFound,
      errors.ImageRejected,
      errors.InvalidInput,
      errors.QueueFull,
      errors.LimitReached,
      errors.NotAllowed,
    ],
    resolveType: nameOf,
  });

  builder.queryField('batch', t =>
    t.field({
      type: BatchType,
      nullable: true,
      args: { id: t.arg.id({ required: true }) },
      resolve: (_root, { id }, { jobs, caller }) => jobs.batches.get(id, caller),
    }),
  );

  builder.mutationFields(t => ({
    editImages: t.field({
      type: EditImagesResult,
      ...FAILS_ALONE,
      description:
        'Submits many edits as one batch: all of them are stored and will run, or none. An error names the edit by its index ' +
        'in `field`: `edits.3.steps`.',
      args: { input: t.arg({ type: EditImagesInput, required: true }) },
      resolve: async (_root, { input }, { jobs, caller, signal, traceparent, images }) => {
        const read = readEdits(input.edits, input.idempotencyKey, images);
        if (!read.ok) return invalidInput(read.field, read.message);
        return answer(await jobs.batches.submit(read.edits, read.key, caller, { signal, traceparent }));
      },
    }),
    cancelBatch: t.field({
      type: CancelBatchResult,
      ...FAILS_ALONE,
      description:
        'Cancels the jobs of a batch that have not ended. Returns once the engines have stopped working on them.',
      args: { batchId: t.arg.id({ required: true }) },
      resolve: async (_root, { batchId }, { jobs, caller }) => {
        const outcome = await jobs.batches.cancel(batchId, caller);
        return outcome.kind === 'not-found' ? batchNotFound(batchId) : outcome.batch;
      },
    }),
    retryFailed: t.field({
      type: RetryFailedResult,
      ...FAILS_ALONE,
      description:
        'Submits the jobs of a batch that have failed so far as a new batch, with the same requests. Canceled jobs are not ' +
        'among them.',
      args: { batchId: t.arg.id({ required: true }) },
      resolve: async (_root, { batchId }, { jobs, caller, traceparent }) => {
        const outcome = await jobs.batches.retryFailed(batchId, caller, { traceparent });
        if (outcome.ok || outcome.failure !== null) return answer(outcome);
        if (outcome.reason === 'not-found') return batchNotFound(batchId);
        return invalidInput(
          'batchId',
          'batchId takes a batch with a failed job, and none of this one has failed',
        );
      },
    }),
  }));

  builder.subscriptionField('batchProgress', t =>
    t.field({
      type: BatchType,
      description:
        'The present state of the batch, then newer ones, then the one in which all jobs have ended; then the stream ' +
        'completes.',
      args: {
        batchId: t.arg.id({ required: true }),
        maxPerSecond: t.arg.float({
          defaultValue: BATCH_PER_SECOND,
          description: `${PER_SECOND.minimum} to ${PER_SECOND.maximum}: the state is sent at most this often, and the last one at once.`,
        }),
      },
      subscribe: async (_root, { batchId, maxPerSecond }, { jobs, caller }) => {
        const stream = await jobs.batches.watch(batchId, caller, readRate(maxPerSecond));
        if (stream === null)
          throw new GraphQLError('Batch not found', { extensions: { code: 'BATCH_NOT_FOUND' } });
        return stream;
      },
      resolve: batch => batch,
    }),
  );

  return BatchType;
}

function readEdits(
  inputs: readonly unknown[],
  givenKey: string | null | undefined,
  images: InlineImages | undefined,
):
  | { ok: true; edits: readonly EditInput[]; key: string | null }
  | { ok: false; field: string; message: string } {
  const key = editFields.idempotencyKey.nullish().safeParse(givenKey);
  if (!key.success) {
    const { message } = firstIssue(key.error);
    return { ok: false, field: 'idempotencyKey', message: `idempotencyKey ${message}` };
  }
  const edits: EditInput[] = [];
  for (const [index, input] of inputs.entries()) {
    const read = readEdit(input, images);
    if (!read.ok)
      return { ok: false, field: `edits.${index}.${read.field}`, message: `edits.${index}.${read.message}` };
    if (read.edit.idempotencyKey !== null) {
      const field = `edits.${index}.idempotencyKey`;
      return { ok: false, field, message: `${field} takes no value: the batch has one key for all edits` };
    }
    edits.push(read.edit);
  }
  return { ok: true, edits, key: key.data ?? null };
}

function answer(outcome: BatchOutcome): Batch | SubmitProblem {
  if (outcome.ok) return outcome.batch;
  const problem = problemOf(outcome.failure);
  const { field } = outcome.failure;
  // Of a single edit the caller knows which image it is.
  if (problem.kind !== 'EditImageRejected' || field === null) return problem;
  return { ...problem, message: withField(field, problem.message) };
}
