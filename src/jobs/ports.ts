import type { JobEvent } from './advance.ts';
import type { Batch, NewBatch } from './batches/batch.ts';
import type { ClaimRequest, ClaimResult, IdleLanes, Lease, Place, RunningLimits } from './claims.ts';
import type { Delivery } from './delivery.ts';
import type { EngineRecord, StoredEngine } from './engines.ts';
import type { Job, JobStatus, Labels } from './job.ts';
import type { LimitName, SubmitLimits, Usage } from './limits.ts';
import type { EngineDurations } from './progress/durations.ts';

/** Milliseconds since 1970. Replaceable in tests. */
export type Clock = () => number;

export type { Lease } from './claims.ts';

/** Same key and same fingerprint: the same job. Same key, other fingerprint: a conflict. */
export interface Idempotency {
  readonly key: string;
  /** A hash of the input. */
  readonly fingerprint: string;
}

export interface SubmitOptions {
  /** Limit on waiting jobs. */
  readonly maxQueue: number;
  readonly idempotency: Idempotency | null;
  /** Those of the caller, checked and counted in the same transaction. Unset: none. */
  readonly limits?: SubmitLimits | null | undefined;
  /** The name of the caller's policy, which all of its waiting jobs have from now on. Unset: it has none. */
  readonly policy?: string | null | undefined;
}

export type SubmitResult =
  | { kind: 'stored' }
  /** The key was used before with the same input: this is its job. */
  | { kind: 'repeated'; job: Job }
  | { kind: 'idempotency-conflict' }
  | { kind: 'queue-full'; waiting: number }
  /** `used` is in the unit of the limit, thousandths of megapixel-steps for work. */
  | { kind: 'over-limit'; limit: LimitName; used: number };

export type BatchSubmitResult =
  | Exclude<SubmitResult, { kind: 'repeated' }>
  /** The key was used before with the same edits: this is their batch. */
  | { kind: 'repeated'; batch: Batch };

/**
 * `stale`: the record is no longer at the revision that the change started from; read it and decide again.
 * `gone`: it was deleted. `fenced`: another process took over the lane.
 */
export type CommitResult = 'ok' | 'stale' | 'gone' | 'fenced';

/**
 * A `step` has no deliveries, and a store need not keep it when the power fails, although it was published. The job is then as it
 * was at most a second of steps before, with a higher revision and number than any that were published.
 */
export type CommitKind = 'change' | 'step';

/** Which jobs a list has. */
export interface JobFilter {
  /** Only this caller's jobs; null: every caller's. */
  readonly owner: string | null;
  readonly statuses: readonly JobStatus[] | null;
  /** Only jobs with this label, if any, and with all of these entries. Unset: all jobs. */
  readonly labels?: Labels | undefined;
}

/** A place in the list of jobs. It stays valid when the job is deleted. */
export interface JobPosition {
  readonly createdAt: number;
  readonly id: string;
}

/**
 * A part of a list: its first jobs, the newest, or its last. Both positions are exclusive, so jobs that are submitted
 * meanwhile do not move the pages after a position.
 */
export type JobRange = {
  /** Only jobs that follow this one: older ones. */
  readonly after?: JobPosition | null;
  /** Only jobs that precede this one: newer ones. */
  readonly before?: JobPosition | null;
} & (
  | { readonly first: number; readonly last?: undefined }
  | { readonly last: number; readonly first?: undefined }
);

export type JobQuery = JobFilter & JobRange;

export interface JobPage {
  /** Newest first, whether the query wants the first or the last. */
  readonly jobs: readonly Job[];
  /** Whether the range has more jobs: after these for `first`, before these for `last`. */
  readonly hasMore: boolean;
}

/** Which jobs of a batch to read: a range in the order of its edits, where the first edit is the first job. */
export type BatchJobsQuery = JobRange & {
  readonly batch: string;
  readonly statuses: readonly JobStatus[] | null;
};

export interface Watcher {
  /** Called with each change that is published after `watch` resolved. Must not throw. */
  changed(job: Job): void;
  /** The job was deleted. */
  gone(): void;
}

/** Gets the changes of every job of a caller, or of all. In the order of their numbers; none of the methods may throw. */
export interface UpdatesWatcher {
  /** A job was submitted or changed. */
  changed(job: Job, number: number): void;
  removed(jobId: string, number: number): void;
  /** Changes may have been missed; later ones follow. `Ledger.changes` has them. */
  missed(): void;
}

/** Which changes to read. Each submit, commit and removal of a job has the next number, which is also its time in µs. */
export interface ChangesQuery {
  /** Only this caller's jobs; null: every caller's. */
  readonly owner: string | null;
  /** Only changes with a higher number. */
  readonly after: number;
  readonly limit: number;
}

/** The newest change of a job. */
export interface Change {
  readonly jobId: string;
  readonly number: number;
  /** The job in the state that this change gave it; null: it was removed. */
  readonly job: Job | null;
}

export interface ChangesPage {
  /** Names the sequence of numbers: a store that lost its data, or a copy of it, has another. */
  readonly sequence: string;
  /** The number of the newest change of any job, or of a moment before the first. */
  readonly newest: number;
  /** Removals with lower numbers may be forgotten. */
  readonly forgotten: number;
  /** Oldest first. Fewer than `limit` only if there are no more. */
  readonly changes: readonly Change[];
}

/** How many removals a store remembers at least, and for how long at most. */
export const REMOVALS_KEPT = 10_000;
export const REMOVALS_KEPT_MS = 24 * 60 * 60_000;

/**
 * Called with each change of a job that this process has committed, the submit included, where `before` is null. Must not
 * throw. All gateways together see each change once.
 */
export type OnJobChange = (before: Job | null, after: Job, event: JobEvent['type'] | 'submitted') => void;

/** The lanes of a process after `Ledger.keepLanes`. */
export interface KeptLanes {
  readonly lost: readonly string[];
  readonly taken: readonly { readonly lease: Lease; readonly job: Job | null }[];
}

/**
 * The durable store of jobs. Each call is atomic; once it resolves, its change survives this process, and a power cut as far as
 * the store promises (see `CommitKind`). A change of a job is published to its watchers as part of the commit. Every call may
 * reject with StoreUnavailable.
 */
export interface Ledger {
  submit(job: Job, options: SubmitOptions): Promise<SubmitResult>;
  /** What a submit with this key would resolve to if the key was used before; null if it was not. */
  findRepeated(owner: string | null, idempotency: Idempotency): Promise<SubmitResult | null>;
  get(id: string): Promise<Job | null>;
  /** In the order of `ids`; null where there is none. One read, however many ids. */
  getMany(ids: readonly string[]): Promise<(Job | null)[]>;
  /** Newest first. */
  list(query: JobQuery): Promise<JobPage>;
  /** How many jobs a list without labels has. Reads no jobs, so it takes as long for any number of them. */
  total(filter: Omit<JobFilter, 'labels'>): Promise<number>;
  /**
   * The jobs that were changed or removed after a number, each once with its newest change. Jobs that an earlier version
   * of the gateway stored have no number until they change.
   */
  changes(query: ChangesQuery): Promise<ChangesPage>;
  /**
   * Stores `next` if the record is still at `fromRevision` and the lease, if given, is still valid. A job is in the
   * queue while its record is QUEUED without a lane. The deliveries are added to the outbox in the same transaction,
   * due at once. `kind`: `step` when nothing but the progress and the preview of its run differ; unset: `change`.
   */
  commit(
    next: Job,
    fromRevision: number,
    lease: Lease | null,
    deliveries?: readonly Delivery[],
    kind?: CommitKind,
  ): Promise<CommitResult>;
  /** Deletes the record with its deliveries and notifies its watchers; false if there was none. */
  remove(id: string): Promise<boolean>;
  /** The jobs that should run next, best first. May leave out those of callers that are at their limit. */
  waiting(limit: number): Promise<Job[]>;
  /** Those of these jobs that wait for a lane, in any order. Reads no other records. */
  waitingAmong(ids: readonly string[]): Promise<Job[]>;
  /** Null if it does not wait. `running`: as for claims. */
  place(job: Job, running?: RunningLimits): Promise<Place | null>;
  count(): Promise<{ waiting: number; running: number }>;
  /**
   * How many of the waiting jobs are more than their callers may have in lanes besides those that are there: no lane could take
   * them, however many were idle. `running`: as for claims.
   */
  limited(running: RunningLimits): Promise<number>;
  /** What a caller uses now of what policies limit. */
  usage(owner: string): Promise<Usage>;
  /**
   * To be called when a gateway starts, as its settings may have changed: sets the policies of callers by name (null: none), and
   * lets the next claims decide anew which jobs wait because of a limit.
   */
  setPolicies(policies: ReadonlyMap<string, string | null>): Promise<void>;
  /**
   * Chooses jobs for idle lanes (`assign`) and puts each in its lane, as `advance` does with `claimed`: one call, however many
   * lanes are idle. `onWaiting` is then called for as many new jobs as there are idle lanes. The jobs of a caller at its limit
   * wait until one of its jobs leaves a lane, which also calls `onWaiting`. A lane with a job gets no other. When it rejects, each
   * of the lanes may have got a job: `keepLanes` returns it with the next lease.
   */
  claim(request: ClaimRequest): Promise<ClaimResult>;
  /**
   * Renews the leases of held lanes and takes those of the wanted ones that are free, each with the job that its last holder
   * left, if any. `lost`: another process has taken over the lane.
   */
  keepLanes(held: readonly Lease[], wanted: readonly string[], ttlMs: number): Promise<KeptLanes>;
  releaseLane(lease: Lease): Promise<void>;
  /** The jobs in the lanes whose names begin with `prefix`, in no order. */
  inLanes(prefix: string): Promise<Job[]>;
  /** What other processes whose engines have nothing to do can run, as they said when they asked for jobs last. */
  idleElsewhere(): Promise<readonly IdleLanes[]>;
  /** Jobs whose lane has been free for `graceMs`: their engine was removed from the configuration. */
  stranded(graceMs: number): Promise<Job[]>;
  /** Waiting jobs created before `createdBefore`, oldest first. */
  overdue(createdBefore: number, limit: number): Promise<Job[]>;
  /** Expired jobs, oldest first. */
  expired(now: number, limit: number): Promise<Job[]>;
  /**
   * Calls back when jobs start to wait that idle lanes of this process should ask for, with their number; 0 when any number of
   * them may. A call may be lost. Returns an unsubscribe function.
   */
  onWaiting(listener: (arrivals: number) => void): () => void;
  readonly batches: Batches;
  readonly outbox: Outbox;
  readonly engines: EngineRecords;
  readonly agreements: Agreements;
  /** For logs and metrics; set where the parts are put together. */
  readonly onChange?: OnJobChange;
  close(): Promise<void>;
}

/**
 * The batches of the same store. They are counted from the records of their jobs, so that no counter can differ from them. A
 * batch is removed with its last job. Calls are atomic and may reject with StoreUnavailable.
 */
export interface Batches {
  /** Stores all jobs or none: they fit below `maxQueue` together. Their ids rise in the order of the edits. */
  submit(batch: NewBatch, jobs: readonly Job[], options: SubmitOptions): Promise<BatchSubmitResult>;
  /** What a submit with this key would resolve to if the key was used before; null if it was not. */
  findRepeated(owner: string | null, idempotency: Idempotency): Promise<BatchSubmitResult | null>;
  read(id: string): Promise<Batch | null>;
  /** In the order of the edits. */
  jobs(query: BatchJobsQuery): Promise<JobPage>;
}

/** The engines as all gateways know them; see `EngineRecord`. Calls are atomic and may reject with StoreUnavailable. */
export interface EngineRecords {
  /** Every record. */
  read(): Promise<readonly StoredEngine[]>;
  /** Null when there is none. */
  get(id: string): Promise<StoredEngine | null>;
  /**
   * Stores the record with the next revision if the present one is at `record.revision`, and removes it if it is blank. A
   * registration lasts `ttlMs` from now on. False: it was changed meanwhile, read it and decide again. `quietly`: nothing
   * changes but when the registration expires, so that no listener is called.
   */
  commit(record: EngineRecord, options?: { readonly quietly?: boolean }): Promise<boolean>;
  /** Calls back when any process has changed one, or may have. Returns an unsubscribe function. */
  onChange(listener: () => void): () => void;
}

/**
 * Short texts by name that all gateways agree on. One of several that change a text at the same time succeeds. Calls are atomic
 * and may reject with StoreUnavailable.
 */
export interface Agreements {
  /** `text` is null where there is none; `at` is the time by the store's clock. */
  read(name: string): Promise<{ readonly text: string | null; readonly at: number }>;
  /** Stores `after` if the present text is `before`; null: there is none. Returns whether it did. */
  replace(name: string, before: string | null, after: string): Promise<boolean>;
}

/** A delivery that one process may try now. */
export interface ClaimedDelivery {
  readonly delivery: Delivery;
  /** Identifies this claim; a later claim of the same delivery has another token. */
  readonly token: number;
}

/** Deliveries to webhooks, kept until their jobs are deleted. Calls are atomic and may reject with StoreUnavailable. */
export interface Outbox {
  /**
   * Claims up to `limit` due deliveries, the longest due first, for `leaseMs`. Those not settled by then, because this
   * process died, are due again.
   */
  claim(limit: number, leaseMs: number): Promise<readonly ClaimedDelivery[]>;
  /**
   * Stores a claimed delivery after its try; it is due again after `delayMs`, or never (null). Stores nothing and
   * resolves to false if another process has claimed it since, or if its job was deleted.
   */
  settle(claimed: ClaimedDelivery, next: Delivery, delayMs: number | null): Promise<boolean>;
  /** The deliveries of a job, oldest first. */
  of(jobId: string): Promise<readonly Delivery[]>;
  /** Calls back whenever this process stores a delivery. Returns an unsubscribe function. */
  onAdded(listener: () => void): () => void;
}

/**
 * What runs took on the engines, shared by all gateways and kept across restarts. Losing it costs nothing but good
 * estimates. Calls may reject with StoreUnavailable.
 */
export interface Durations {
  /** Of every engine. */
  all(): Promise<readonly EngineDurations[]>;
  /** Null when nothing is known of the engine. */
  of(engine: string): Promise<EngineDurations | null>;
  /** Replaces what is known of an engine. The engines that were put longest ago are dropped above a hundred. */
  put(durations: EngineDurations): Promise<void>;
}

/** Bytes of a secret: as many as SHA-256 puts out (RFC 2104, 3). */
export const SECRET_BYTES = 32;

/** Random secrets that all gateways of a store share. */
export interface Secrets {
  /** The secret of that name; made when it is first read. May reject with StoreUnavailable. */
  read(name: string): Promise<Buffer>;
}

/** Live snapshots of jobs. */
export interface Feed {
  /** Resolves to an unsubscribe function once no later change can be missed. */
  watch(jobId: string, watcher: Watcher): Promise<() => void>;
  /** The same for every job of a caller; null: of all callers. */
  watchAll(owner: string | null, watcher: UpdatesWatcher): Promise<() => void>;
  /** Ids of the jobs that are watched through this process, one by one. */
  watched(): readonly string[];
}
