import type { Readable, Writable } from 'node:stream';
import type { ImageMimeType, Job, JobStatus } from './job.ts';
import type { Delivery } from './webhook.ts';

/** Milliseconds since 1970. A port, so that tests can move it. */
export type Clock = () => number;

/** What a lane's holder shows to write: a lease that was taken over has another token. */
export interface Lease {
  readonly lane: string;
  /** Rises each time the lane changes hands (fencing). */
  readonly token: number;
}

/** Same key and same fingerprint: the same job. Same key, other fingerprint: a conflict. */
export interface Idempotency {
  readonly key: string;
  /** A hash of the input. */
  readonly fingerprint: string;
}

export interface SubmitOptions {
  /** Jobs that may wait at once. */
  readonly maxQueue: number;
  readonly idempotency: Idempotency | null;
}

export type SubmitResult =
  | { kind: 'stored' }
  /** The same key with the same input came before: this is its job. */
  | { kind: 'repeated'; job: Job }
  | { kind: 'idempotency-conflict' }
  | { kind: 'queue-full'; waiting: number };

/**
 * `stale`: the record is no longer at the revision that the change was made from: read and decide again.
 * `gone`: it was deleted. `fenced`: the lease was taken over by somebody else.
 */
export type CommitResult = 'ok' | 'stale' | 'gone' | 'fenced';

export interface JobQuery {
  /** Only this caller's jobs; null: everybody's. */
  readonly owner: string | null;
  readonly statuses: readonly JobStatus[] | null;
  readonly first: number;
  /** Give what comes after this one in the order newest first. */
  readonly after: { readonly createdAt: number; readonly id: string } | null;
}

export interface JobPage {
  readonly jobs: readonly Job[];
  readonly hasNextPage: boolean;
}

export interface Watcher {
  /** Called with each change that is announced after `watch` resolved. Never throws. */
  changed(job: Job): void;
  /** The job was deleted. */
  gone(): void;
}

/**
 * Durable truth. Each call is atomic; once it resolves the change outlives this process. A change of a job is
 * announced to its watchers as part of the commit. Every call may reject when the store is out of reach.
 */
export interface Ledger {
  submit(job: Job, options: SubmitOptions): Promise<SubmitResult>;
  /** What a submit with this key would answer if it was used before; null when it was not. */
  findRepeated(owner: string | null, idempotency: Idempotency): Promise<SubmitResult | null>;
  get(id: string): Promise<Job | null>;
  /** In the order asked; null where there is none. One read, however many ids. */
  getMany(ids: readonly string[]): Promise<(Job | null)[]>;
  /** Newest first. */
  list(query: JobQuery): Promise<JobPage>;
  /**
   * Stores `next` if the record is still at `fromRevision` and, with a lease, if the lease still stands. The
   * queue follows from the record: a job is in it while it is QUEUED without a lane. With it, or not at all, the
   * deliveries go into the outbox, due at once.
   */
  commit(
    next: Job,
    fromRevision: number,
    lease: Lease | null,
    deliveries?: readonly Delivery[],
  ): Promise<CommitResult>;
  /** Deletes the record with its deliveries and tells its watchers; false when there was none. */
  remove(id: string): Promise<boolean>;
  /** The jobs that should run next, best first. */
  waiting(limit: number): Promise<Job[]>;
  /** How many jobs would be taken before this one, 0 for the next; null when it does not wait. */
  ahead(job: Job): Promise<number | null>;
  count(): Promise<{ waiting: number; running: number }>;
  /** Takes a lane that nobody holds, with the job that its last holder left, if any. */
  acquireLane(lane: string, ttlMs: number): Promise<{ lease: Lease; job: Job | null } | null>;
  /** False when somebody else has the lane now. */
  renewLane(lease: Lease, ttlMs: number): Promise<boolean>;
  releaseLane(lease: Lease): Promise<void>;
  /** Jobs whose lane nobody has held for `graceMs`: their engine was taken out of the configuration. */
  stranded(graceMs: number): Promise<Job[]>;
  /** Jobs that wait since before `createdBefore`, oldest first. */
  overdue(createdBefore: number, limit: number): Promise<Job[]>;
  /** Finished jobs whose time is over, oldest first. */
  expired(now: number, limit: number): Promise<Job[]>;
  /** Calls back when a job begins to wait. Returns the way to stop that. */
  onWaiting(listener: () => void): () => void;
  /** What is to be told to webhooks. */
  readonly outbox: Outbox;
  close(): Promise<void>;
}

/** A delivery that one process may try now. */
export interface ClaimedDelivery {
  readonly delivery: Delivery;
  /** Names this claim: another of the same delivery has another one. */
  readonly token: number;
}

/** Deliveries to webhooks until their jobs are gone. Each call is atomic and may reject when the store is out of reach. */
export interface Outbox {
  /**
   * Up to `limit` deliveries that are due, the longest due first. Nobody else is given them for `leaseMs`; when they are
   * not settled by then, because this process died, they are due again.
   */
  claim(limit: number, leaseMs: number): Promise<readonly ClaimedDelivery[]>;
  /**
   * Stores what became of a claimed delivery; it is due again after `delayMs`, or never (null). False, and nothing is
   * stored, when somebody else has claimed it since or its job was deleted.
   */
  settle(claimed: ClaimedDelivery, next: Delivery, delayMs: number | null): Promise<boolean>;
  /** Those of a job, oldest first. */
  of(jobId: string): Promise<readonly Delivery[]>;
  /** Calls back when this process stored a delivery. Returns the way to stop that. */
  onAdded(listener: () => void): () => void;
}

/** Live snapshots. Resolves once nothing that is announced from now on can be missed. */
export interface Feed {
  watch(jobId: string, watcher: Watcher): Promise<() => void>;
  /** Jobs that are watched through this process now. */
  watched(): readonly string[];
}

/** What a list tells of each stored key. */
export interface StoredArtifact {
  readonly key: string;
  readonly bytes: number;
  /**
   * When it came, by the store's own clock; of a large one that came in parts perhaps when it began to. Milliseconds
   * since 1970, of which whole seconds count.
   */
  readonly modifiedAt: number;
}

/** Bytes by key. A key is made of `[A-Za-z0-9._-]` parts joined by `/`. */
export interface Artifacts {
  /** Stores all or nothing. Returns the number of bytes. */
  put(key: string, source: Uint8Array | Readable): Promise<number>;
  /** Null when there is none. `range` counts bytes, both ends included. */
  get(key: string, range?: { start: number; end: number }): Promise<Readable | null>;
  /**
   * As `get`, for whoever only passes the bytes on: writes them to a sink and ends it. It resolves when all have left, and
   * rejects when they cannot be read or the sink goes. To be called once. Left out by a store that gives streams only.
   */
  sender?(
    key: string,
    range?: { start: number; end: number },
  ): Promise<((sink: Writable) => Promise<void>) | null>;
  size(key: string): Promise<number | null>;
  remove(key: string): Promise<void>;
  /** Every stored key below the prefix. */
  list(prefix: string): Promise<StoredArtifact[]>;
  /** Where anybody may GET the bytes without the gateway. Left out by a store that has no such thing, or must not. */
  signedUrl?(key: string, options: SignedUrlOptions): Promise<string>;
}

export interface SignedUrlOptions {
  readonly expiresSeconds: number;
  /** What the answer calls itself: `Content-Type`, and the name in `Content-Disposition`. */
  readonly mimeType: ImageMimeType;
  readonly filename: string;
}

export interface PreviewImage {
  readonly sequence: number;
  readonly mimeType: ImageMimeType;
  readonly bytes: Uint8Array;
}

/** The newest preview of each running job; gone at its end. */
export interface Previews {
  put(jobId: string, preview: PreviewImage): Promise<void>;
  get(jobId: string): Promise<PreviewImage | null>;
  drop(jobId: string): Promise<void>;
}
