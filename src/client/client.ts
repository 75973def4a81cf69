import {
  createConnection,
  execute,
  type HeaderSource,
  type Operation,
  type Transport,
  type TransportName,
} from './connection.ts';
import { closedError, GatewayError, notFound } from './errors.ts';
import {
  AddEngineDocument,
  type AddEngineMutation,
  BatchDocument,
  BatchJobsDocument,
  type BatchJobsQuery,
  type BatchJobsQueryVariables,
  type BatchSnapshotFragment,
  CallerDocument,
  type CallerQuery,
  CancelBatchDocument,
  type CancelBatchMutation,
  CancelJobDocument,
  type CancelJobMutation,
  DeleteJobDocument,
  type DeleteJobMutation,
  EditImageDocument,
  type EditImageInput,
  type EditImageMutation,
  type EditImageSource,
  EditImagesDocument,
  type EditImagesInput,
  type EditImagesMutation,
  EnginesDocument,
  type EnginesQuery,
  JobDocument,
  JobRequestDocument,
  type JobRequestQuery,
  type JobSnapshotFragment,
  JobsDocument,
  type JobsQuery,
  type JobsQueryVariables,
  QueueDocument,
  type QueueQuery,
  RemoveEngineDocument,
  type RemoveEngineMutation,
  ResultSizesDocument,
  type ResultSizesQueryVariables,
  RetryFailedDocument,
  type RetryFailedMutation,
  RetryJobDocument,
  type RetryJobMutation,
  SetEngineStateDocument,
  type SetEngineStateMutation,
  WorkflowsDocument,
  type WorkflowsQuery,
} from './generated/operations.ts';
import {
  asDataUri,
  type Download,
  type DownloadOptions,
  download,
  type ImageInput,
  toImageSource,
  upload,
} from './images.ts';
import { persist } from './retry.ts';
import { createSse } from './sse.ts';
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
export { isFinal, JOB_STATUSES, type JobWatch } from './watch.ts';
export type { BatchWatch } from './watch-batch.ts';
export type { JobsWatch, JobUpdates } from './watch-jobs.ts';

type JobSnapshot = JobSnapshotFragment;

/** The input of an edit; images and the mask may also be URLs or bytes. */
export type EditInput = Omit<EditImageInput, 'images' | 'mask'> & {
  readonly images: readonly ImageInput[];
  readonly mask?: ImageInput | null;
};

/** Edits that are submitted together. `variations` makes several jobs of an edit. */
export type EditManyInput = Omit<EditImagesInput, 'edits'> & { readonly edits: readonly EditInput[] };

/** The result of `editMany`, discriminated by `__typename`: a batch, or an error whose `field` names the edit by its index. */
export type EditManyResult = EditImagesMutation['editImages'];
export type CancelBatchResult = CancelBatchMutation['cancelBatch'];
export type RetryFailedResult = RetryFailedMutation['retryFailed'];
/** A page of the jobs of a batch, in the order of its edits. */
export type BatchJobPage = NonNullable<BatchJobsQuery['batch']>['jobs'];

/** The result of `edit`, discriminated by `__typename`: a job, or an error that says what to change. */
export type EditResult = EditImageMutation['editImage'];
export type CancelResult = CancelJobMutation['cancelJob'];
export type DeleteResult = DeleteJobMutation['deleteJob'];
export type RetryResult = RetryJobMutation['retryJob'];
/** What a job was submitted with, with all defaults and the seed filled in. */
export type JobRequest = NonNullable<JobRequestQuery['job']>['request'];
export type Workflow = WorkflowsQuery['workflows'][number];
export type Engine = EnginesQuery['engines'][number];
/** How the gateway has identified the client. */
export type Caller = CallerQuery['caller'];
export type AddEngineResult = AddEngineMutation['addEngine'];
export type RemoveEngineResult = RemoveEngineMutation['removeEngine'];
export type SetEngineStateResult = SetEngineStateMutation['setEngineState'];
/** A job that has not ended, as `queue` lists it. */
export type QueuedJob = QueueQuery['jobs']['nodes'][number];
/** A page of jobs, newest first. `pageInfo.endCursor` is the `after` of the next page. */
export type JobPage = JobsQuery['jobs'];

export interface ClientOptions {
  /** The URL of the gateway, e.g. `http://localhost:8189`. */
  readonly url: string | URL;
  /** Sent as `Authorization: Bearer …`. */
  readonly apiKey?: string | undefined;
  /** Sent with each request, and in `connection_init` of a WebSocket. A function is called each time. */
  readonly headers?: HeaderSource;
  /** The transports of a watch, most preferred first. Default: WebSocket, then server-sent events. */
  readonly transports?: readonly TransportName[];
  /**
   * How long a watch without a connection retries before it rejects, in milliseconds, including the time to open one.
   * Default: 60,000. Edits and uploads without a response are retried as long, but for at most 10 seconds.
   */
  readonly patience?: number;
  /** Replaces the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
  /**
   * Replaces the global `WebSocket`, which Node has since version 22. Node's own cannot be terminated: after the network
   * dropped its connection silently, it keeps the process alive for minutes, until the system gives up. One of the `ws`
   * package waits 30 seconds.
   */
  readonly webSocket?: unknown;
}

export interface CallOptions {
  /** Aborting it rejects the call with the signal's reason. Only `cancel` cancels the job. */
  readonly signal?: AbortSignal | undefined;
}

export interface RetryOptions extends CallOptions {
  /** Called before each retry of an unreachable gateway, with its reason. */
  readonly onRetry?: (failure: GatewayError) => void;
}

export interface WatchOptions extends RetryOptions {
  /** False: no snapshot when only the preview changed, and none has a preview. Default: true. */
  readonly previews?: boolean | undefined;
  /** Snapshots per second at most, 0.1 to 60; the final one comes at once. Default: each change. */
  readonly maxPerSecond?: number | undefined;
}

export interface WatchBatchOptions extends RetryOptions {
  /** States per second at most, 0.1 to 60; the last one comes at once. Default: 4. */
  readonly maxPerSecond?: number | undefined;
}

export interface WatchJobsOptions extends RetryOptions {
  /** `cursor` of the last updates that were handled. Unset: begins with the newest jobs. */
  readonly since?: string | undefined;
  /** Number of jobs of a reset, 0 to 100. Default: 20. */
  readonly first?: number | undefined;
  /** Only jobs with one of these statuses. A job that leaves them is yielded once more. */
  readonly status?: readonly JobSnapshot['status'][] | undefined;
  /** For operators, who otherwise get the jobs of all callers: only their own. */
  readonly mine?: boolean | undefined;
  /** True: also when only the preview changed. False, the default: no job has a preview. */
  readonly previews?: boolean | undefined;
  /** How often a job is yielded per second at most, 0.1 to 60; its end comes at once. Default: each change. */
  readonly maxPerSecond?: number | undefined;
}

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
  batch(id: string, options?: CallOptions): Promise<BatchSnapshotFragment | null>;
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
  queue(after?: string | null, options?: CallOptions): Promise<QueueQuery['jobs']>;
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

/** Images of this size and more are uploaded first: within the operation, base64 makes them a third larger. */
const UPLOAD_FROM_BYTES = 256 * 1024;

/** The same of an image of a batch, whose operation has up to a thousand edits. */
const UPLOAD_MANY_FROM_BYTES = 16 * 1024;

/** Edits of a batch whose images are uploaded at once. */
const UPLOADS_AT_ONCE = 4;

/** How long to retry an edit or an upload, in milliseconds: a gateway restarts in less. */
const SUBMIT_MS = 10_000;

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

  const fetchBatch = async (id: string, signal?: AbortSignal): Promise<BatchSnapshotFragment | null> =>
    (await run(BatchDocument, { id }, signal)).batch;
  const followBatch = createWatchBatch({ transports, fetchBatch, patience });

  const followAll = createWatchJobs(transports, patience);

  function submit<T>(send: (signal: AbortSignal) => Promise<T>, given: RetryOptions = {}): Promise<T> {
    const signal = untilClosed(given.signal);
    const persistence = { patience: Math.min(SUBMIT_MS, patience), signal, onRetry: given.onRetry };
    return persist(() => send(signal), persistence);
  }

  const uploadImage = (image: Blob, given?: RetryOptions): Promise<string> =>
    submit(signal => upload(connection, image, signal), given);

  /** Sends the bytes of images; those below `uploadFrom` bytes within the operation. */
  function sender(uploadFrom: number, given: RetryOptions | undefined) {
    return async (image: Blob): Promise<EditImageSource> => {
      if (image.size < uploadFrom) return asDataUri(image);
      try {
        return { uploadId: await uploadImage(image, given) };
      } catch (error) {
        // `url` may be that of a GraphQL router, which has no /upload.
        if (error instanceof GatewayError && (error.status === 404 || error.status === 405)) {
          return asDataUri(image);
        }
        throw error;
      }
    };
  }

  async function edit(input: EditInput, given?: RetryOptions): Promise<EditResult> {
    // With the caller's own key the input must stay the same, and each upload has a new id.
    const uploadFrom = input.idempotencyKey == null ? UPLOAD_FROM_BYTES : Number.POSITIVE_INFINITY;
    const send = sender(uploadFrom, given);
    const prepared = await withSources(input, image => toImageSource(image, send));
    const variables = { input: { ...prepared, idempotencyKey: input.idempotencyKey ?? randomKey() } };
    return (await submit(signal => execute(connection, EditImageDocument, variables, signal), given))
      .editImage;
  }

  async function editMany(input: EditManyInput, given?: RetryOptions): Promise<EditManyResult> {
    const uploadFrom = input.idempotencyKey == null ? UPLOAD_MANY_FROM_BYTES : Number.POSITIVE_INFINITY;
    const send = sender(uploadFrom, given);
    const sent = new Map<ImageInput, Promise<EditImageSource>>();
    const sendOnce = (image: ImageInput): Promise<EditImageSource> => {
      const source = sent.get(image) ?? toImageSource(image, send);
      sent.set(image, source);
      return source;
    };
    const edits: EditImageInput[] = [];
    for (let from = 0; from < input.edits.length; from += UPLOADS_AT_ONCE) {
      given?.signal?.throwIfAborted();
      const some = input.edits.slice(from, from + UPLOADS_AT_ONCE);
      edits.push(...(await Promise.all(some.map(one => withSources(one, sendOnce)))));
    }
    const variables = { input: { ...input, edits, idempotencyKey: input.idempotencyKey ?? randomKey() } };
    return (await submit(signal => execute(connection, EditImagesDocument, variables, signal), given))
      .editImages;
  }

  return {
    edit,
    editMany,
    batch: (id, { signal } = {}) => fetchBatch(id, signal),
    batchJobs: async (id, page = {}, { signal } = {}) =>
      (await run(BatchJobsDocument, { ...page, id }, signal)).batch?.jobs ?? null,
    watchBatch: (id, { signal, onRetry, ...how } = {}) =>
      followBatch({ batchId: id, ...how }, untilClosed(signal), onRetry),
    cancelBatch: async (batchId, { signal } = {}) =>
      (await run(CancelBatchDocument, { batchId }, signal)).cancelBatch,
    retryFailed: async (batchId, { signal } = {}) =>
      (await run(RetryFailedDocument, { batchId }, signal)).retryFailed,
    upload: uploadImage,
    job: (id, { signal } = {}) => fetchJob(id, signal),
    jobs: async (page = {}, { signal } = {}) => (await run(JobsDocument, page, signal)).jobs,
    request: async (id, { signal } = {}) =>
      (await run(JobRequestDocument, { id }, signal)).job?.request ?? null,
    workflows: async ({ signal } = {}) => (await run(WorkflowsDocument, {}, signal)).workflows,
    async resultSize(workflow, image, { signal } = {}) {
      const { workflows } = await run(ResultSizesDocument, image, signal);
      return workflows.find(({ name }) => name === workflow)?.resultSize ?? null;
    },
    caller: async ({ signal } = {}) => (await run(CallerDocument, {}, signal)).caller,
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

/** The edit with its images and mask as the schema takes them. */
async function withSources(
  { mask: painted, ...input }: EditInput,
  toSource: (image: ImageInput) => Promise<EditImageSource>,
): Promise<EditImageInput> {
  const [mask, ...images] = await Promise.all([
    painted == null ? undefined : toSource(painted),
    ...input.images.map(toSource),
  ]);
  return { ...input, images, ...(mask === undefined ? {} : { mask }) };
}

/** Browsers have `crypto.randomUUID` only in secure contexts. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}
