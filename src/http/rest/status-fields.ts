import { type Caller, isWaiting, type Job, type JobStatus } from '../../jobs/job.ts';
import type { WaitReason } from '../../jobs/waiting.ts';
import type { RestOptions } from './context.ts';
import type { JobsResponse, RestStatus, StatusResponse } from './contract/responses.ts';

/** The status in REST's terms: a canceled job is an error. */
export function restStatus(job: Job): RestStatus {
  switch (job.status) {
    case 'QUEUED':
      return 'queued';
    case 'PROCESSING':
      return 'processing';
    case 'COMPLETED':
      return 'completed';
    case 'ERROR':
    case 'CANCELED':
      return 'error';
    default:
      return job.status satisfies never;
  }
}

const STATUSES: Record<RestStatus, readonly JobStatus[]> = {
  queued: ['QUEUED'],
  processing: ['PROCESSING'],
  completed: ['COMPLETED'],
  error: ['ERROR', 'CANCELED'],
};

/** The statuses of jobs that have one of these statuses of REST, each once; null: all. */
export function jobStatuses(names: readonly RestStatus[] | undefined): readonly JobStatus[] | null {
  return names === undefined ? null : [...new Set(names.flatMap(name => STATUSES[name]))];
}

/** Percent with at most one decimal; 100 only for a completed job. */
export function restProgress(job: Job): number {
  if (job.status === 'COMPLETED') return 100;
  return Math.min(99.9, oneDecimal(job.progress));
}

/** A job as lists have it. */
export function listedJob(job: Job): JobsResponse['jobs'][string] {
  return { status: restStatus(job), progress: restProgress(job), ...labelsOf(job) };
}

/** A job without labels is listed with the fields of the REST contract alone. */
function labelsOf({
  request: { label, metadata },
}: Job): Pick<JobsResponse['jobs'][string], 'label' | 'metadata'> {
  return {
    ...(label === null ? {} : { label }),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata: { ...metadata } }),
  };
}

/** The path of an output image on the engine's disk. */
export function imagePath(outputDir: string, enginePath: string): string {
  return `${outputDir.replace(/\/+$/, '')}/${enginePath}`;
}

/** Whether the first output image is stored. */
export async function imageExists(options: RestOptions, job: Job): Promise<boolean> {
  const output = job.outputs[0];
  return output !== undefined && (await options.artifacts.size(output.key)) !== null;
}

/** The part of a status that is not in the job's record. */
export interface Surroundings {
  /** Number of jobs that run before this one; null when it does not wait. */
  readonly position: number | null;
  /** Why it waits; null when it does not. */
  readonly wait: WaitReason | null;
  /** Whether the output image is stored; false for a job without one. */
  readonly imageReady: boolean;
}

/** Looks them up in the queue and the store. */
export async function surroundingsOf(options: RestOptions, job: Job, caller: Caller): Promise<Surroundings> {
  return {
    position: isWaiting(job) ? ((await options.services.jobs.place(job))?.ahead ?? null) : null,
    wait: await options.services.waitingFor(job, caller),
    imageReady: job.status === 'COMPLETED' && (await imageExists(options, job)),
  };
}

/** The response of `/status` for a job. */
export async function statusOf(options: RestOptions, job: Job, caller: Caller): Promise<StatusResponse> {
  return describeStatus(options, job, await surroundingsOf(options, job, caller));
}

/** The response of `/status` with the job's revision, for clients that wait for the next one. */
export async function liveStatusOf(options: RestOptions, job: Job, caller: Caller): Promise<StatusResponse> {
  return { ...(await statusOf(options, job, caller)), revision: job.revision };
}

/** The response of `/status` for a job in known surroundings. */
export function describeStatus(options: RestOptions, job: Job, around: Surroundings): StatusResponse {
  const common = { progress: restProgress(job), prompt_id: job.promptId };
  switch (job.status) {
    case 'QUEUED':
    case 'PROCESSING': {
      const position = around.position ?? job.queuePosition;
      return {
        status: job.status === 'QUEUED' ? 'queued' : 'processing',
        ...common,
        ...(job.stage === null ? {} : { stage: job.stage.toLowerCase() }),
        ...(job.step === null ? {} : { step: job.step }),
        ...(job.totalSteps === null ? {} : { total_steps: job.totalSteps }),
        ...(position === null ? {} : { queue_position: position }),
        ...(around.wait === null
          ? {}
          : { waiting_for: { ...around.wait, code: around.wait.code.toLowerCase() } }),
        ...(job.etaSeconds === null ? {} : { eta_seconds: oneDecimal(job.etaSeconds) }),
      };
    }
    case 'COMPLETED': {
      const output = job.outputs[0];
      if (output === undefined || !around.imageReady) {
        const message = 'Image editing completed but file not found';
        return { status: 'completed', ...common, image_ready: false, message };
      }
      return {
        status: 'completed',
        ...common,
        image_ready: true,
        download_url: options.services.imageUrls.output(job.id, 0),
        image_path: imagePath(options.outputDir, output.enginePath),
      };
    }
    case 'ERROR':
      return {
        status: 'error',
        ...common,
        error: job.error?.message ?? 'The job failed',
        error_code: job.error?.code ?? 'INTERNAL',
      };
    case 'CANCELED':
      return { status: 'error', ...common, error: 'Job was canceled', error_code: 'CANCELED' };
    default:
      return job.status satisfies never;
  }
}

function oneDecimal(value: number): number {
  return Math.round(value * 10) / 10;
}
