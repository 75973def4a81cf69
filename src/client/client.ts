import { createConnection, execute, type HeaderSource } from './connection.ts';
import { type Download, type DownloadOptions, download } from './download.ts';
import { closedError, GatewayError, notFound } from './errors.ts';
import {
  CancelJobDocument,
  type CancelJobMutation,
  DeleteJobDocument,
  type DeleteJobMutation,
  EditImageDocument,
  type EditImageInput,
  type EditImageMutation,
  type ImageSource,
  JobDocument,
  type JobSnapshotFragment,
  JobsDocument,
  type JobsQuery,
  type JobsQueryVariables,
  RetryJobDocument,
  type RetryJobMutation,
} from './generated/operations.ts';
import { asDataUri, type ImageInput, toImageSource, upload } from './images.ts';
import type { Operation } from './operation.ts';
import { persist } from './persist.ts';
import { createSse } from './sse.ts';
import type { Transport, TransportName } from './transport.ts';
import { createWatch, isFinal, type JobWatch } from './watch.ts';
import { createWebSocket } from './websocket.ts';

export type { HeaderSource } from './connection.ts';
export type { Download, DownloadOptions } from './download.ts';
export { GatewayError, type GatewayErrorKind } from './errors.ts';
export type {
  EditImageInput,
  ErrorCode,
  JobPriority,
  JobSnapshotFragment as JobSnapshot,
  JobStage,
  JobStatus,
} from './generated/operations.ts';
export type { ImageInput } from './images.ts';
export type { TransportName } from './transport.ts';
export { isFinal, JOB_STATUSES, type JobWatch } from './watch.ts';

type JobSnapshot = JobSnapshotFragment;

/** What to edit, and how. */
export type EditInput = Omit<EditImageInput, 'images'> & { readonly images: readonly ImageInput[] };

/** What `edit` answers: a job, or an error that says what to change. `__typename` tells which. */
export type EditResult = EditImageMutation['editImage'];
export type CancelResult = CancelJobMutation['cancelJob'];
export type DeleteResult = DeleteJobMutation['deleteJob'];
export type RetryResult = RetryJobMutation['retryJob'];
/** A page of jobs, newest first: `pageInfo.endCursor` is the next page's `after`. */
export type JobPage = JobsQuery['jobs'];

export interface ClientOptions {
  /** Where the gateway is, e.g. `http://localhost:8189`. */
  readonly url: string | URL;
  /** Sent as `Authorization: Bearer …`. */
  readonly apiKey?: string;
  /** Sent with each request, and in `connection_init` of a WebSocket. A function is called for each anew. */
  readonly headers?: HeaderSource;
  /** How to watch, the first choice first. Left out: by WebSocket, and by server-sent events where none can be opened. */
  readonly transports?: readonly TransportName[];
  /**
   * How long a watch without a connection goes on trying before it rejects, in milliseconds: opening one counts as well.
   * Left out: a minute. Edits and uploads that nobody answers are tried again for so long too, but at most 10 seconds.
   */
  readonly patience?: number;
  /** Instead of the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
  /**
   * Instead of the global `WebSocket`, which Node has since version 22. Node's own cannot be cut: where the network drops
   * its connection without a word, it keeps the program alive until the system gives that up, for minutes. One of the
   * `ws` package waits 30 seconds.
   */
  readonly webSocket?: unknown;
}

export interface CallOptions {
  /** Aborting rejects the call with the signal's reason. It does not cancel a job: `cancel` does. */
  readonly signal?: AbortSignal;
}

export interface RetryOptions extends CallOptions {
  /** Called with the reason, each time before the gateway is tried again because it could not be reached. */
  readonly onRetry?: (failure: GatewayError) => void;
}

/**
 * A gateway, seen from Node or a browser. Every method rejects with a GatewayError when there is no answer, and with the
 * signal's reason when that aborts.
 */
export interface Client {
  /**
   * Submits an edit. Safe to repeat: an answer that was lost on its way is asked for again under the same idempotency
   * key, which is made up when the input has none.
   */
  edit(input: EditInput, options?: RetryOptions): Promise<EditResult>;
  /**
   * Sends a picture ahead. Resolves with the `uploadId` that any number of edits can name. `edit` does it by itself for
   * large pictures.
   */
  upload(picture: Blob, options?: RetryOptions): Promise<string>;
  /** The job as it is; null when there is none. */
  job(id: string, options?: CallOptions): Promise<JobSnapshot | null>;
  jobs(page?: JobsQueryVariables, options?: CallOptions): Promise<JobPage>;
  /**
   * The job as it is, then its changes, to its final state, which is the last. Connections that break are made anew
   * without a revision twice. A reader that is slower than the job gets the newest state, not every one.
   */
  watch(id: string, options?: RetryOptions): JobWatch;
  /** Resolves with the job's final state, which may be ERROR or CANCELED. */
  wait(id: string, options?: RetryOptions): Promise<JobSnapshot>;
  /** A picture of a completed job. */
  download(id: string, options?: DownloadOptions): Promise<Download>;
  /** Stops the job. A job that has ended stays as it is. */
  cancel(id: string, options?: CallOptions): Promise<CancelResult>;
  /** Stops the job, then removes it and its pictures. */
  delete(id: string, options?: CallOptions): Promise<DeleteResult>;
  /** A new job with the request of one that has ended. */
  retry(id: string, options?: CallOptions): Promise<RetryResult>;
  /** Closes the client: all that is under way, and every later call, rejects with a GatewayError of the kind `closed`. */
  close(): Promise<void>;
}

/** Pictures larger than this go ahead of the operation, a third smaller than within it. */
const UPLOAD_FROM_BYTES = 256 * 1024;

/** How long an edit or an upload is tried that nobody answers, in milliseconds: a gateway restarts in less. */
const SUBMIT_MS = 10_000;

/** How long a WebSocket may take to be there, in milliseconds, before another way is tried. */
const OPEN_MS = 5_000;

/** Makes a client. It connects when it is first used. */
export function createClient(options: ClientOptions): Client {
  const { patience = 60_000, transports: names = ['websocket', 'sse'] } = options;
  if (!(patience > 0)) throw new RangeError(`patience takes milliseconds, more than 0, got ${patience}`);
  const connection = createConnection(options);
  const transports = names.flatMap((name): Transport[] => {
    switch (name) {
      case 'sse':
        return [createSse(connection)];
      case 'websocket': {
        const implementation = options.webSocket ?? globalThis.WebSocket;
        // With little patience each way has its share of it, and there is some left.
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

  const look = async (id: string, signal?: AbortSignal): Promise<JobSnapshot | null> =>
    (await run(JobDocument, { id }, signal)).job;
  const follow = createWatch({ transports, look, patience });
  const watch = (id: string, { signal, onRetry }: RetryOptions = {}): JobWatch =>
    follow(id, untilClosed(signal), onRetry);

  function submit<T>(send: (signal: AbortSignal) => Promise<T>, given: RetryOptions = {}): Promise<T> {
    const signal = untilClosed(given.signal);
    const persistence = { patience: Math.min(SUBMIT_MS, patience), signal, onRetry: given.onRetry };
    return persist(() => send(signal), persistence);
  }

  const sendAhead = (picture: Blob, given?: RetryOptions): Promise<string> =>
    submit(signal => upload(connection, picture, signal), given);

  async function edit(input: EditInput, given?: RetryOptions): Promise<EditResult> {
    const send = async (picture: Blob): Promise<ImageSource> => {
      // A caller's own key goes with the same input each time, and an upload has another id each time.
      if (picture.size < UPLOAD_FROM_BYTES || input.idempotencyKey != null) return asDataUri(picture);
      try {
        return { uploadId: await sendAhead(picture, given) };
      } catch (error) {
        // What answers at `url` may be a router: it passes operations on and nothing else.
        if (error instanceof GatewayError && (error.status === 404 || error.status === 405)) {
          return asDataUri(picture);
        }
        throw error;
      }
    };
    const images = await Promise.all(input.images.map(image => toImageSource(image, send)));
    const idempotencyKey = input.idempotencyKey ?? randomKey();
    const variables = { input: { ...input, images, idempotencyKey } };
    return (await submit(signal => execute(connection, EditImageDocument, variables, signal), given))
      .editImage;
  }

  return {
    edit,
    upload: sendAhead,
    job: (id, { signal } = {}) => look(id, signal),
    jobs: async (page = {}, { signal } = {}) => (await run(JobsDocument, page, signal)).jobs,
    watch,
    async wait(id, given) {
      let last: JobSnapshot | null = null;
      for await (const job of watch(id, given)) last = job;
      if (last === null || !isFinal(last)) throw notFound(`The job ${id} is gone`);
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

/** `crypto.randomUUID` is not there for pages that came over plain HTTP from elsewhere. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}
