import { createConnection, execute, type Operation, type Transport } from './connection.ts';
import { closedError, notFound } from './errors.ts';
import {
  AddEngineDocument,
  BatchDocument,
  BatchJobsDocument,
  type BatchJobsQueryVariables,
  type BatchSnapshotFragment as BatchSnapshot,
  CancelBatchDocument,
  CancelJobDocument,
  DeleteJobDocument,
  EnginesDocument,
  JobDocument,
  JobRequestDocument,
  type JobSnapshotFragment as JobSnapshot,
  JobsDocument,
  type JobsQueryVariables,
  MeDocument,
  QueueDocument,
  RemoveEngineDocument,
  ResultSizesDocument,
  type ResultSizesQueryVariables,
  RetryFailedDocument,
  RetryJobDocument,
  SetEngineStateDocument,
  WorkflowsDocument,
} from './generated/operations.ts';
import { type Download, type DownloadOptions, download } from './images.ts';
import type {
  CallOptions,
  ClientOptions,
  RetryOptions,
  WatchBatchOptions,
  WatchJobsOptions,
  WatchOptions,
} from './options.ts';
import type {
  AddEngineResult,
  BatchJobPage,
  Caller,
  CancelBatchResult,
  CancelResult,
  DeleteResult,
  EditManyResult,
  EditResult,
  Engine,
  JobPage,
  JobRequest,
  QueuePage,
  RemoveEngineResult,
  RetryFailedResult,
  RetryResult,
  SetEngineStateResult,
  Workflow,
} from './results.ts';
import { createSse } from './sse.ts';
import { createSubmitter, type EditInput, type EditManyInput } from './submit.ts';
import { createWatch, isFinal, type JobWatch } from './watch.ts';
import { type BatchWatch, createWatchBatch } from './watch-batch.ts';
import { createWatchJobs, type JobsWatch } from './watch-jobs.ts';
import { createWebSocket } from './websocket.ts';

export type { HeaderSource, TransportName } from './connection.ts';
export { GatewayError, type GatewayErrorKind } from './errors.ts';
export type {
  BatchSnapshotFragment as BatchSnapshot,
  EditErrorCode as ErrorCode,
  EditImageInput,
  EditJobPriority as JobPriority,
  EditJobStage as JobStage,
  EditJobStatus as JobStatus,
  JobSnapshotFragment as JobSnapshot,
} from './generated/operations.ts';
export type { Download, DownloadOptions, ImageInput } from './images.ts';
export type * from './options.ts';
export type * from './results.ts';
export type { EditInput, EditManyInput } from './submit.ts';
export { isFinal, JOB_STATUSES, type JobWatch } from './watch.ts';
export type { BatchWatch } from './watch-batch.ts';
export type { JobsWatch, JobUpdates } from './watch-jobs.ts';

/**
 * A client of a gateway, for Node and browsers. Every method rejects with a GatewayError when there is no result, and with
 * the signal's reason when that aborts.
 */
export interface Client {
  /**
   * Submits an edit. Retried while the gateway is unreachable, without a second job: every attempt has the same idempotency
   * key, a random one if the input has none.
   */
  edit(input: EditInput, options?: RetryOptions): Promise<EditResult>;
  /**
   * Submits edits as one batch: all of them or none. Retried as `edit` is. Images are uploaded first, one that several edits
   * have only once; with an idempotency key of your own all of them are sent within the operation.
   */
  editMany(input: EditManyInput, options?: RetryOptions): Promise<EditManyResult>;
  /** The current state of the batch; null when it is unknown. */
  batch(id: string, options?: CallOptions): Promise<BatchSnapshot | null>;
  /** The jobs of the batch, in the order of the edits; null when it is unknown. */
  batchJobs(
    id: string,
    page?: Omit<BatchJobsQueryVariables, 'id'>,
    options?: CallOptions,
  ): Promise<BatchJobPage | null>;
  /** Yields the current state of the batch, then newer ones up to that in which all jobs have ended. Reconnects. */
  watchBatch(id: string, options?: WatchBatchOptions): BatchWatch;
  /** Stops the jobs of the batch that have not ended. */
  cancelBatch(id: string, options?: CallOptions): Promise<CancelBatchResult>;
  /** Submits the failed jobs of the batch again, as a new batch. */
  retryFailed(id: string, options?: CallOptions): Promise<RetryFailedResult>;
  /**
   * Uploads an image. Resolves with its `uploadId`, which any number of edits can use. `edit` itself uploads large images.
   */
  upload(image: Blob, options?: RetryOptions): Promise<string>;
  /** The current state of the job; null when it is unknown. */
  job(id: string, options?: CallOptions): Promise<JobSnapshot | null>;
  jobs(page?: JobsQueryVariables, options?: CallOptions): Promise<JobPage>;
  /** The request of the job, with its input images; null when the job is unknown. */
  request(id: string, options?: CallOptions): Promise<JobRequest | null>;
  /** The workflows with their parameters, most preferred first. */
  workflows(options?: CallOptions): Promise<readonly Workflow[]>;
  /**
   * The size of the result of an edit whose image 1 has the given size. Null: the graph of the workflow decides it, or there
   * is no such workflow.
   */
  resultSize(
    workflow: string,
    image: ResultSizesQueryVariables,
    options?: CallOptions,
  ): Promise<{ readonly width: number; readonly height: number } | null>;
  /** How the gateway has identified the client, what it may do, and what of that it uses. */
  me(options?: CallOptions): Promise<Caller>;
  /** @deprecated Use `me`. */
  caller(options?: CallOptions): Promise<Caller>;
  /** The engines, as far as the caller may see them. */
  engines(options?: CallOptions): Promise<readonly Engine[]>;
  /** Adds an engine by its URL, also one that was removed. For operators. */
  addEngine(url: string, options?: CallOptions): Promise<AddEngineResult>;
  /** Removes an engine once it has finished its jobs. For operators. */
  removeEngine(id: string, options?: CallOptions): Promise<RemoveEngineResult>;
  /** Lets an engine finish its jobs and take no more, or take jobs again. For operators, who see the reason. */
  setEngineState(
    id: string,
    drained: boolean,
    options?: CallOptions & { readonly reason?: string | undefined },
  ): Promise<SetEngineStateResult>;
  /** Up to 100 jobs that have not ended, newest first, after the `endCursor` of the previous page: an operator's are those of all callers. */
  queue(after?: string | null, options?: CallOptions): Promise<QueuePage>;
  /**
   * Yields the current state of the job, then its changes up to the final state. Reconnects without repeating a revision. A
   * slow reader gets the newest state and misses others.
   */
  watch(id: string, options?: WatchOptions): JobWatch;
  /**
   * Yields the newest jobs, or what changed since a cursor, then each change of any job. Reconnects and continues where it
   * was; where that cannot be, the next updates have `reset`. A slow reader gets each changed job once, in its newest state.
   */
  watchJobs(options?: WatchJobsOptions): JobsWatch;
  /** Resolves with the job's final state, which may be ERROR or CANCELED. */
  wait(id: string, options?: RetryOptions): Promise<JobSnapshot>;
  /** Downloads an output image of a completed job. */
  download(id: string, options?: DownloadOptions): Promise<Download>;
  /** Stops the job. Has no effect on a job that has ended. */
  cancel(id: string, options?: CallOptions): Promise<CancelResult>;
  /** Stops the job, then deletes it and its images. */
  delete(id: string, options?: CallOptions): Promise<DeleteResult>;
  /** Submits the request of a job that has ended as a new job. */
  retry(id: string, options?: CallOptions): Promise<RetryResult>;
  /** Closes the client: calls in flight and later calls reject with a GatewayError of the kind `closed`. */
  close(): Promise<void>;
}

/** How long a WebSocket may take to open, in milliseconds, before another transport is tried. */
const OPEN_MS = 5_000;

/** Makes a client, which connects on first use. Throws RangeError for a `patience` that is not positive. */
export function createClient(options: ClientOptions): Client {
  const { patience = 60_000, transports: names = ['websocket', 'sse'] } = options;
  if (!(patience > 0)) throw new RangeError(`patience must be more than 0 milliseconds, got ${patience}`);
  const connection = createConnection(options);
  const transports = names.flatMap((name): Transport[] => {
    switch (name) {
      case 'sse':
        return [createSse(connection)];
      case 'websocket': {
        const implementation = options.webSocket ?? globalThis.WebSocket;
        // A short patience is shared between the transports, with some left over.
        const openWithin = Math.min(OPEN_MS, patience / (names.length + 1));
        return implementation === undefined ? [] : [createWebSocket(connection, implementation, openWithin)];
      }
      default:
        return name satisfies never;
    }
  });

  const closing = new AbortController();
  const untilClosed = (signal?: AbortSignal): AbortSignal =>
    AbortSignal.any(signal === undefined ? [closing.signal] : [signal, closing.signal]);

  const run = async <Result, Variables>(
    operation: Operation<Result, Variables>,
    variables: Variables,
    signal?: AbortSignal,
  ): Promise<Result> => execute(connection, operation, variables, untilClosed(signal));

  const fetchJob = async (id: string, signal?: AbortSignal): Promise<JobSnapshot | null> =>
    (await run(JobDocument, { id }, signal)).job;
  const follow = createWatch({ transports, fetchJob, patience });
  const watch = (id: string, { signal, onRetry, ...how }: WatchOptions = {}): JobWatch =>
    follow({ jobId: id, ...how }, untilClosed(signal), onRetry);

  const fetchBatch = async (id: string, signal?: AbortSignal): Promise<BatchSnapshot | null> =>
    (await run(BatchDocument, { id }, signal)).batch;
  const followBatch = createWatchBatch({ transports, fetchBatch, patience });

  const me = async ({ signal }: CallOptions = {}) => (await run(MeDocument, {}, signal)).me;

  const followAll = createWatchJobs(transports, patience);
  const submitter = createSubmitter({ connection, patience, untilClosed });

  return {
    edit: submitter.edit,
    editMany: submitter.editMany,
    batch: (id, { signal } = {}) => fetchBatch(id, signal),
    batchJobs: async (id, page = {}, { signal } = {}) =>
      (await run(BatchJobsDocument, { ...page, id }, signal)).batch?.jobs ?? null,
    watchBatch: (id, { signal, onRetry, ...how } = {}) =>
      followBatch({ batchId: id, ...how }, untilClosed(signal), onRetry),
    cancelBatch: async (batchId, { signal } = {}) =>
      (await run(CancelBatchDocument, { batchId }, signal)).cancelBatch,
    retryFailed: async (batchId, { signal } = {}) =>
      (await run(RetryFailedDocument, { batchId }, signal)).retryFailed,
    upload: submitter.upload,
    job: (id, { signal } = {}) => fetchJob(id, signal),
    jobs: async (page = {}, { signal } = {}) => (await run(JobsDocument, page, signal)).jobs,
    request: async (id, { signal } = {}) =>
      (await run(JobRequestDocument, { id }, signal)).job?.request ?? null,
    workflows: async ({ signal } = {}) => (await run(WorkflowsDocument, {}, signal)).workflows,
    async resultSize(workflow, image, { signal } = {}) {
      const { workflows } = await run(ResultSizesDocument, image, signal);
      return workflows.find(({ name }) => name === workflow)?.resultSize ?? null;
    },
    me,
    caller: me,
    addEngine: async (url, { signal } = {}) => (await run(AddEngineDocument, { url }, signal)).addEngine,
    removeEngine: async (id, { signal } = {}) =>
      (await run(RemoveEngineDocument, { id }, signal)).removeEngine,
    setEngineState: async (id, drained, { signal, reason } = {}) =>
      (await run(SetEngineStateDocument, { id, drained, reason: reason ?? null }, signal)).setEngineState,
    queue: async (after = null, { signal } = {}) => (await run(QueueDocument, { after }, signal)).jobs,
    engines: async ({ signal } = {}) => (await run(EnginesDocument, {}, signal)).engines,
    watch,
    watchJobs: ({ signal, onRetry, status, ...how } = {}) =>
      followAll(
        { ...how, ...(status === undefined ? {} : { status: [...status] }) },
        untilClosed(signal),
        onRetry,
      ),
    async wait(id, given) {
      let last: JobSnapshot | null = null;
      for await (const job of watch(id, { ...given, previews: false })) last = job;
      if (last === null || !isFinal(last)) throw notFound(`The job ${id} no longer exists`);
      return last;
    },
    download: (id, { signal, ...what } = {}) => download(connection, id, what, untilClosed(signal)),
    cancel: async (id, { signal } = {}) => (await run(CancelJobDocument, { id }, signal)).cancelJob,
    delete: async (id, { signal } = {}) => (await run(DeleteJobDocument, { id }, signal)).deleteJob,
    retry: async (id, { signal } = {}) => (await run(RetryJobDocument, { id }, signal)).retryJob,
    async close() {
      closing.abort(closedError());
    },
  };
}
