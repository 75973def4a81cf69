import type { ImageMimeType, Size } from '../images/formats.ts';
import type { Edit } from '../images/metadata/strip.ts';
import type { Stage } from '../workflows/manifest.ts';
import type { JobError } from './errors.ts';
import type { JobTrace } from './trace.ts';
import type { WaitCode } from './waiting.ts';

export const JOB_STATUSES = ['QUEUED', 'PROCESSING', 'COMPLETED', 'ERROR', 'CANCELED'] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

export const JOB_PRIORITIES = ['LOW', 'NORMAL', 'HIGH'] as const;
export type JobPriority = (typeof JOB_PRIORITIES)[number];

/** The events a webhook can receive: a run started, or the job ended in one of three ways. */
export const WEBHOOK_EVENTS = ['STARTED', 'COMPLETED', 'ERROR', 'CANCELED'] as const;
export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number];

/** The events of a webhook that lists none: every end. */
export const DEFAULT_WEBHOOK_EVENTS: readonly WebhookEvent[] = ['COMPLETED', 'ERROR', 'CANCELED'];

/** Where a job's events are posted. */
export interface Webhook {
  readonly url: string;
  /** At least one, each once. */
  readonly events: readonly WebhookEvent[];
}

/** An image that a request came with; its bytes are in Artifacts under `key`. */
export interface StoredImage extends Size {
  readonly key: string;
  readonly sha256: string;
  readonly mimeType: ImageMimeType;
  readonly bytes: number;
  /** Where it came from, for humans: the URL as given, `data:`, `form:`, `upload:<id>` or `job:<id>`. */
  readonly source: string;
  /** Several jobs of a batch use the same bytes, which are removed with the batch. Unset: they are of this job alone. */
  readonly shared?: true;
}

/** One image of a request. */
export interface InputImage extends StoredImage {
  /** The number in the prompt ("image 2"), as the caller gave it, including gaps. */
  readonly slot: 1 | 2 | 3;
}

/** What a caller notes on a job for its own use: it has no effect on the edit. */
export interface Labels {
  /** One line; null if there is none. */
  readonly label: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

/** An edit with every default and the seed filled in. Never changes after submit. */
export interface EditRequest extends Labels {
  readonly images: readonly InputImage[];
  /** A grey image of the size of image 1, white where it changes. Unset: there is none. */
  readonly mask?: StoredImage;
  readonly prompt: string;
  readonly negativePrompt: string;
  /** Decimal, 0 … 2^64-1: larger than a JavaScript number can hold. */
  readonly seed: string;
  readonly steps: number;
  readonly cfg: number;
  /** In units of 1024 × 1024 pixels; null where the workflow's graph decides the size. */
  readonly megapixels: number | null;
  readonly workflow: string;
  /** Content hash of the workflow's files at the time of submit. */
  readonly workflowVersion: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly webhook: Webhook | null;
  /** What of the caller's request was ignored, one sentence each. Unset: nothing. */
  readonly warnings?: readonly string[];
}

/** Every image that a request came with, the mask last. */
export function imagesOf({ images, mask }: EditRequest): readonly StoredImage[] {
  return mask === undefined ? images : [...images, mask];
}

/** One image that a job made; its bytes, without metadata, are in Artifacts under `key`. */
export interface OutputImage extends Size {
  readonly key: string;
  readonly filename: string;
  readonly mimeType: ImageMimeType;
  /** Length of the stored file, which is without metadata. */
  readonly bytes: number;
  /** The metadata that the engine wrote into the file; null if there was none, or too much to keep. */
  readonly removed: RemovedMetadata | null;
  /** The file's path from the engine's output folder, e.g. `QwenEdit/api_…_00001_.png`, or `../temp/…` for a preview. */
  readonly enginePath: string;
}

/** Metadata removed from a file; the bytes of all edits are in Artifacts under `key`, in order. */
export interface RemovedMetadata {
  readonly key: string;
  readonly edits: readonly Edit[];
}

/** The newest preview frame; its bytes are stored apart from the record. */
export interface PreviewFrame extends Size {
  /** Rises with each frame of a job, so that each frame has a URL of its own. */
  readonly sequence: number;
  readonly mimeType: ImageMimeType;
}

/** The place of a job in the batch that it was submitted with. */
export interface BatchPlace {
  readonly id: string;
  /** From 0, in the order of the edits. */
  readonly index: number;
}

/** A line of a job's history for `/debug/job`: transitions only, no progress. */
export interface JobLogEntry {
  readonly at: number;
  readonly event: string;
  readonly detail: string | null;
}

/** A submitted edit. Times are milliseconds since 1970. Immutable; a change makes a new record. */
export interface Job {
  readonly id: string;
  /** Id of the caller that submitted it; null if callers are not identified. */
  readonly owner: string | null;
  /** Jobs of one share take turns with those of others: its owner, or a client address; null if there are no turns. */
  readonly share: string | null;
  /** Rises by 1 with each change, and by more when a store is opened again (`CommitKind`). */
  readonly revision: number;
  readonly status: JobStatus;
  readonly priority: JobPriority;
  readonly request: EditRequest;
  /** Null: it was submitted alone. */
  readonly batch: BatchPlace | null;

  /** The lane that runs this job; null while it waits for one and after its end. */
  readonly lane: string | null;
  readonly engine: string | null;
  /**
   * Chosen by the gateway for each run, and saved before it is sent to ComfyUI: the client id of the run's socket, and the
   * id that is requested for its prompt.
   */
  readonly clientId: string | null;
  /** The engine's id of the prompt: the requested one, unless the engine chose another. */
  readonly promptId: string | null;
  /** Whether events of the run arrive: without them it has no steps and no previews. Null unless it runs. */
  readonly live: boolean | null;
  /** Number of runs so far that an engine began. */
  readonly attempt: number;
  /**
   * How many runs ended because the engine was lost, while only this job can have been the cause, or because the engine had
   * no output image of the prompt that it completed.
   */
  readonly losses: number;
  /** How many of them ended because there was no output image. */
  readonly missingOutputs: number;
  /** The engine was lost while it had this job: from then on the job has an engine for itself. */
  readonly suspect: boolean;
  /** The engine of the last lost run that it began: another one is preferred. */
  readonly lostOn: string | null;
  /** When the next run may be claimed, in milliseconds since 1970; null: at once. */
  readonly notBefore: number | null;
  /** How many of them ended because the engine ran out of memory. */
  readonly memoryFailures: number;
  readonly cancelRequested: boolean;

  /** 0 … 100; never falls within a run; 100 only once the bytes are in Artifacts. */
  readonly progress: number;
  /** The highest progress of earlier runs that were lost. */
  readonly reached: number;
  readonly stage: Stage | null;
  readonly step: number | null;
  readonly totalSteps: number | null;
  readonly queuePosition: number | null;
  readonly etaSeconds: number | null;
  /** Why it waits, as watchers were told last. The present reason is looked up. */
  readonly waitCode: WaitCode | null;
  readonly size: Size | null;
  readonly preview: PreviewFrame | null;
  /** How many of the revisions only replaced the preview. */
  readonly previewRevisions: number;

  readonly outputs: readonly OutputImage[];
  readonly error: JobError | null;
  /** The engine's report of a failure, including the traceback: for operators only. */
  readonly engineReport: string | null;
  readonly log: readonly JobLogEntry[];
  /** Null when the submit was not part of a trace. */
  readonly trace: JobTrace | null;

  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly expiresAt: number | null;
}

/** True for the statuses that no event changes any more. */
export function isFinal(status: JobStatus): boolean {
  switch (status) {
    case 'QUEUED':
    case 'PROCESSING':
      return false;
    case 'COMPLETED':
    case 'ERROR':
    case 'CANCELED':
      return true;
    default:
      return status satisfies never;
  }
}

/** True while the job waits for a lane; exactly then it is in the ledger's queue. */
export function isWaiting(job: Job): boolean {
  return job.status === 'QUEUED' && job.lane === null;
}

/** A job as submitted, at revision 1. */
export function createJob(fields: {
  id: string;
  owner: string | null;
  share: string | null;
  priority: JobPriority;
  request: EditRequest;
  createdAt: number;
  trace: JobTrace | null;
  batch?: BatchPlace | null;
}): Job {
  return {
    ...fields,
    batch: fields.batch ?? null,
    revision: 1,
    status: 'QUEUED',
    lane: null,
    engine: null,
    clientId: null,
    promptId: null,
    live: null,
    attempt: 0,
    losses: 0,
    missingOutputs: 0,
    suspect: false,
    lostOn: null,
    notBefore: null,
    memoryFailures: 0,
    cancelRequested: false,
    progress: 0,
    reached: 0,
    stage: null,
    step: null,
    totalSteps: null,
    queuePosition: null,
    etaSeconds: null,
    waitCode: null,
    size: null,
    preview: null,
    previewRevisions: 0,
    outputs: [],
    error: null,
    engineReport: null,
    log: [{ at: fields.createdAt, event: 'submitted', detail: null }],
    startedAt: null,
    finishedAt: null,
    expiresAt: null,
  };
}

/** What a caller may do. Null: it is not limited. */
export interface Policy {
  readonly name: string;
  /** An edit that asks for a higher one is rejected. */
  readonly highestPriority: JobPriority | null;
  /** Jobs of the caller that may wait at the same time. */
  readonly waiting: number | null;
  /** Jobs of the caller that lanes may hold at the same time, from 1; more wait. */
  readonly running: number | null;
  /** Work that the caller may submit on one day in UTC. */
  readonly megapixelStepsPerDay: number | null;
  /** Names of workflows; `*` stands for any characters. */
  readonly workflows: readonly string[] | null;
}

/** The sender of a request. Without keys every caller is the operator and no job has an owner. */
export interface Caller {
  readonly id: string | null;
  readonly operator: boolean;
  /** The share of a caller without an id, such as its address; unset: callers are not identified. */
  readonly share?: string | undefined;
  /** Unset: nothing is limited but what is for all callers. */
  readonly policy?: Policy | undefined;
}

/** The share that a caller's jobs and images count for; null if callers are not identified. */
export function shareOf(caller: Caller): string | null {
  return caller.share ?? caller.id;
}

/** Whether a caller may know that a job exists. */
export function maySee(job: Pick<Job, 'owner'>, caller: Caller): boolean {
  return caller.operator || job.owner === caller.id;
}

/** A job of the next lower priority is queued as if submitted this much later, so it is delayed but never starved. */
const PRIORITY_STEP_MS = 10 * 60_000;

/**
 * A job is queued as if submitted this much later for each job of the same share that already waits, so callers of many
 * jobs take turns with the others: an n-th job competes with the others' n-th jobs. Milliseconds.
 */
export const TURN_MS = 60_000;

const LEVELS: Record<JobPriority, number> = { HIGH: 0, NORMAL: 1, LOW: 2 };

/**
 * A job's position in the queue; the lowest score runs first. Determined once at submit, where the ledger adds TURN_MS
 * for each waiting job of the same share, so a job that is put back returns to its old position. The jobs of a batch follow
 * each other by a millisecond, so that they keep their order where callers do not take turns.
 */
export function queueScore(job: Job): number {
  return job.createdAt + LEVELS[job.priority] * PRIORITY_STEP_MS + (job.batch?.index ?? 0);
}

/** Whether a job of a higher priority goes before the other, which may have waited for so long that it does not. */
export function outranks(job: Job, other: Job): boolean {
  return LEVELS[job.priority] < LEVELS[other.priority] && queueScore(job) < queueScore(other);
}
