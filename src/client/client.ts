import { createConnection, execute, type HeaderSource } from './connection.ts';
import { type Download, type DownloadOptions, download } from './download.ts';
import { GatewayError } from './errors.ts';
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
   * How long a watch whose connection broke goes on trying before it rejects, in milliseconds. Left out: a minute.
   */
  readonly patience?: number;
  /** Instead of the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
  /** Instead of the global `WebSocket`, which Node has since version 22. */
  readonly webSocket?: unknown;
}

export interface CallOptions {
  /** Aborting rejects the call with the signal's reason. It does not cancel a job: `cancel` does. */
  readonly signal?: AbortSignal;
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
  edit(input: EditInput, options?: CallOptions): Promise<EditResult>;
  /**
   * Sends a picture ahead. Resolves with the `uploadId` that any number of edits can name. `edit` does it by itself for
   * large pictures.
   */
  upload(picture: Blob, options?: CallOptions): Promise<string>;
  /** The job as it is; null when there is none. */
  job(id: string, options?: CallOptions): Promise<JobSnapshot | null>;
  jobs(page?: JobsQueryVariables, options?: CallOptions): Promise<JobPage>;
  /**
   * The job as it is, then its changes, to its final state, which is the last. Connections that break are made anew
   * without a revision twice. A reader that is slower than the job gets the newest state, not every one.
   */
  watch(id: string, options?: CallOptions): JobWatch;
  /** Resolves with the job's final state, which may be ERROR or CANCELED. */
  wait(id: string, options?: CallOptions): Promise<JobSnapshot>;
  /** A picture of a completed job. */
  download(id: string, options?: DownloadOptions): Promise<Download>;
  /** Stops the job. A job that has ended stays as it is. */
  cancel(id: string, options?: CallOptions): Promise<CancelResult>;
  /** Stops the job, then removes it and its pictures. */
  delete(id: string, options?: CallOptions): Promise<DeleteResult>;
  /** A new job with the request of one that has ended. */
  retry(id: string, options?: CallOptions): Promise<RetryResult>;
  /** Closes the socket. Whatever is watched ends with an error. */
  close(): Promise<void>;
}

/** Pictures larger than this go ahead of the operation, a third smaller than within it. */
const UPLOAD_FROM_BYTES = 256 * 1024;

/** How often an edit is sent whose answer does not come. */
const SUBMITS = 3;

/** Makes a client. It connects when it is first used. */
export function createClient(options: ClientOptions): Client {
  const connection = createConnection(options);
  const transports = (options.transports ?? ['websocket', 'sse']).flatMap((name): Transport[] => {
    switch (name) {
      case 'sse':
        return [createSse(connection)];
      case 'websocket': {
        const implementation = options.webSocket ?? globalThis.WebSocket;
        return implementation === undefined ? [] : [createWebSocket(connection, implementation)];
      }
      default:
        return name satisfies never;
    }
  });

  const look = async (id: string, signal?: AbortSignal): Promise<JobSnapshot | null> =>
    (await execute(connection, JobDocument, { id }, signal)).job;
  const watch = createWatch({ transports, look, patience: options.patience ?? 60_000 });

  async function edit(input: EditInput, { signal }: CallOptions = {}): Promise<EditResult> {
    const send = async (picture: Blob): Promise<ImageSource> => {
      // A caller's own key goes with the same input each time, and an upload has another id each time.
      if (picture.size < UPLOAD_FROM_BYTES || input.idempotencyKey != null) return asDataUri(picture);
      try {
        return { uploadId: await upload(connection, picture, signal) };
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
    for (let attempt = 1; ; attempt += 1) {
      try {
        const variables = { input: { ...input, images, idempotencyKey } };
        return (await execute(connection, EditImageDocument, variables, signal)).editImage;
      } catch (error) {
        const lost = error instanceof GatewayError && error.kind === 'unreachable';
        if (!lost || attempt >= SUBMITS) throw error;
      }
    }
  }

  return {
    edit,
    upload: (picture, { signal } = {}) => upload(connection, picture, signal),
    job: (id, { signal } = {}) => look(id, signal),
    jobs: async (page = {}, { signal } = {}) => (await execute(connection, JobsDocument, page, signal)).jobs,
    watch: (id, { signal } = {}) => watch(id, signal),
    async wait(id, { signal } = {}) {
      let last: JobSnapshot | null = null;
      for await (const job of watch(id, signal)) last = job;
      if (last === null || !isFinal(last)) throw new GatewayError('not-found', `The job ${id} is gone`);
      return last;
    },
    download: (id, given = {}) => download(connection, id, given),
    cancel: async (id, { signal } = {}) =>
      (await execute(connection, CancelJobDocument, { id }, signal)).cancelJob,
    delete: async (id, { signal } = {}) =>
      (await execute(connection, DeleteJobDocument, { id }, signal)).deleteJob,
    retry: async (id, { signal } = {}) =>
      (await execute(connection, RetryJobDocument, { id }, signal)).retryJob,
    async close() {
      await Promise.all(transports.map(transport => transport.close()));
    },
  };
}

/** `crypto.randomUUID` is not there for pages that came over plain HTTP from elsewhere. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}
