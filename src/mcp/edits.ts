import type { JobStatus } from '../jobs/job.ts';
import type { EditArguments } from './arguments.ts';

/** A job as assistants see it. */
export interface JobView {
  readonly id: string;
  readonly status: JobStatus;
  /** Percent, 0 to 100. */
  readonly progress: number;
  readonly stage: string | null;
  readonly step: number | null;
  readonly totalSteps: number | null;
  readonly queuePosition: number | null;
  /** Why it waits, in a sentence. */
  readonly waitingFor: string | null;
  readonly etaSeconds: number | null;
  readonly error: { readonly code: string; readonly message: string; readonly retryable: boolean } | null;
  /** Its output images. */
  readonly images: readonly ImageView[];
}

/** An output image. */
export interface ImageView {
  /** Where the whole image is. */
  readonly url: string;
  readonly mimeType: string;
  readonly width: number;
  readonly height: number;
}

export interface WorkflowView {
  readonly name: string;
  readonly title: string;
  readonly description: string | null;
  /** Whether an engine can run it now. */
  readonly runnable: boolean;
  /** Whether edits need a mask. Others cannot have one. */
  readonly takesMask: boolean;
  readonly parameters: readonly {
    readonly name: string;
    readonly type: string;
    readonly default: unknown;
    readonly minimum: number | null;
    readonly maximum: number | null;
    readonly options: readonly unknown[] | null;
    readonly description: string;
  }[];
}

export type Submitted = { ok: true; job: JobView } | { ok: false; message: string };

/** What the tools do with edits: over the jobs of this process, or as a client of a gateway. */
export interface Edits {
  /** What an image of an edit takes, in the words of the tool's description. */
  readonly imageForms: string;
  /** Submits an edit. Aborting `signal` rejects, unless the job is stored already. */
  submit(edit: EditArguments, signal: AbortSignal): Promise<Submitted>;
  /** The job now; null: there is none that the caller may see. */
  find(id: string): Promise<JobView | null>;
  /** The job now, then its changes, a few each second, up to its end. Ends early when `signal` aborts. */
  watch(id: string, signal: AbortSignal): AsyncIterable<JobView>;
  /** Stops the job. Null: there is none that the caller may see. */
  cancel(id: string): Promise<JobView | null>;
  /** An output image as JPEG of at most this width in pixels; null: its file is gone. */
  jpeg(id: string, index: number, width: number): Promise<Uint8Array | null>;
  /** Most preferred first. */
  workflows(): Promise<readonly WorkflowView[]>;
  /** What an assistant gets to know of an error that one of these threw. */
  describeError(error: unknown): string;
}
