import type { HeaderSource, TransportName } from './connection.ts';
import type { GatewayError } from './errors.ts';
import type { EditJobStatus } from './generated/operations.ts';

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
  readonly status?: readonly EditJobStatus[] | undefined;
  /** For operators, who otherwise get the jobs of all callers: only their own. */
  readonly mine?: boolean | undefined;
  /** True: also when only the preview changed. False, the default: no job has a preview. */
  readonly previews?: boolean | undefined;
  /** How often a job is yielded per second at most, 0.1 to 60; its end comes at once. Default: each change. */
  readonly maxPerSecond?: number | undefined;
}
