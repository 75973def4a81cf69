import type { Edit } from '../images/metadata/strip.ts';
import type { Stage } from '../workflows/manifest.ts';
import type { JobError } from './errors.ts';
import type { Webhook } from './webhook.ts';

export const JOB_STATUSES = ['QUEUED', 'PROCESSING', 'COMPLETED', 'ERROR', 'CANCELED'] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

export const JOB_PRIORITIES = ['LOW', 'NORMAL', 'HIGH'] as const;
export type JobPriority = (typeof JOB_PRIORITIES)[number];

export type ImageMimeType = 'image/png' | 'image/jpeg' | 'image/webp';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** One picture of a request: its bytes are in Artifacts under `key`. */
export interface InputImage extends Size {
  /** The place the prompt speaks of ("image 2"); kept as given, gaps included. */
  readonly slot: 1 | 2 | 3;
  readonly key: string;
  readonly sha256: string;
  readonly mimeType: ImageMimeType;
  readonly bytes: number;
  /** Where it came from, for people: the URL as given, or `data:`. */
  readonly source: string;
}

/** What was asked, with every default and the seed filled in. Never changes after submit. */
export interface EditRequest {
  readonly images: readonly InputImage[];
  readonly prompt: string;
  readonly negativePrompt: string;
  /** Decimal, 0 … 2^64-1: larger than a JavaScript number can hold. */
  readonly seed: string;
  readonly steps: number;
  readonly cfg: number;
  readonly megapixels: number;
  readonly workflow: string;
  /** Content hash of the workflow's files at submit. */
  readonly workflowVersion: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Whom to tell; null: nobody. */
  readonly webhook: Webhook | null;
}

/** One picture that a job made: its bytes, without what is not the picture, are in Artifacts under `key`. */
export interface OutputImage extends Size {
  readonly key: string;
  readonly filename: string;
  readonly mimeType: ImageMimeType;
  /** Of what is stored, and sent unless something else is asked for. */
  readonly bytes: number;
  /**
   * What the engine wrote into the file besides the picture; null when that was nothing, or too much to be kept. Left
   * out by earlier versions, which stored the file as the engine wrote it.
   */
  readonly removed?: RemovedMetadata | null;
  /** The file's place below the engine's output folder, e.g. `QwenEdit/api_…_00001_.png`. */
  readonly enginePath: string;
}

/** What was taken out of a file: its bytes are in Artifacts under `key`, one edit's after another's. */
export interface RemovedMetadata {
  readonly key: string;
  readonly edits: readonly Edit[];
}

/** The newest preview frame; its bytes are held apart from the record. */
export interface PreviewFrame extends Size {
  /** Rises with each frame of a job, so that a URL can change with it. */
  readonly sequence: number;
  readonly mimeType: ImageMimeType;
}

/** A line of a job's history, kept for `/debug/job`: transitions only, no progress. */
export interface JobLogEntry {
  readonly at: number;
  readonly event: string;
  readonly detail: string | null;
}

/** One edit that somebody asked for. Times are milliseconds since 1970. A change makes a new record. */
export interface Job {
  readonly id: string;
  /** Who may see it; null when callers are not told apart. */
  readonly owner: string | null;
  /** Whose turn in the queue it takes: its owner's, or an address; null when turns are not taken. */
  readonly share: string | null;
  /** Rises by one with each change. */
  readonly revision: number;
  readonly status: JobStatus;
  readonly priority: JobPriority;
  readonly request: EditRequest;

  /** The place in an engine's queue that has this job; null while it waits for one and after its end. */
  readonly lane: string | null;
  readonly engine: string | null;
  /** Chosen by us and saved before ComfyUI hears it. */
  readonly promptId: string | null;
  /** How many runs were begun. */
  readonly attempt: number;
  /** How many of them ended for want of the engine's memory. */
  readonly memoryFailures: number;
  readonly cancelRequested: boolean;

  /** 0 … 100; never falls within a run; 100 only when the bytes are in Artifacts. */
  readonly progress: number;
  readonly stage: Stage | null;
  readonly step: number | null;
  readonly totalSteps: number | null;
  readonly queuePosition: number | null;
  readonly etaSeconds: number | null;
  readonly size: Size | null;
  readonly preview: PreviewFrame | null;

  readonly outputs: readonly OutputImage[];
  readonly error: JobError | null;
  /** What the engine said of a failure, traceback included: for operators only. */
  readonly engineReport: string | null;
  readonly log: readonly JobLogEntry[];

  readonly createdAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly expiresAt: number | null;
}

/** True for the statuses that no event leaves. */
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

/** True while the job waits for a lane: then and only then it is in the ledger's queue. */
export function isWaiting(job: Job): boolean {
  return job.status === 'QUEUED' && job.lane === null;
}

/** A job as it is at submit, at revision 1. */
export function createJob(fields: {
  id: string;
  owner: string | null;
  share: string | null;
  priority: JobPriority;
  request: EditRequest;
  createdAt: number;
}): Job {
  return {
    ...fields,
    revision: 1,
    status: 'QUEUED',
    lane: null,
    engine: null,
    promptId: null,
    attempt: 0,
    memoryFailures: 0,
    cancelRequested: false,
    progress: 0,
    stage: null,
    step: null,
    totalSteps: null,
    queuePosition: null,
    etaSeconds: null,
    size: null,
    preview: null,
    outputs: [],
    error: null,
    engineReport: null,
    log: [{ at: fields.createdAt, event: 'submitted', detail: null }],
    startedAt: null,
    finishedAt: null,
    expiresAt: null,
  };
}
