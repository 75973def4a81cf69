import type { Size } from '../images/formats.ts';
import { STAGES, type Stage } from '../workflows/manifest.ts';
import { type JobError, jobError } from './errors.ts';
import { isFinal, isWaiting, type Job, type OutputImage, type PreviewFrame } from './job.ts';
import { backToQueue, change, finish } from './transitions.ts';
import type { WaitCode } from './waiting.ts';

/** What the log of a job says when no events arrive. */
const DEAF = 'no events of the engine arrive: no steps and no previews';

/** Everything that can happen to a job. `at` is milliseconds since 1970. */
export type JobEvent =
  /** A lane took the job and chose the id to request for its prompt. */
  | { type: 'claimed'; at: number; lane: string; engine: string; promptId: string }
  /** The workflow was bound, so the size is known, unless its graph decides it. */
  | { type: 'bound'; at: number; size: Size | null }
  /** The engine started to execute the prompt. */
  | { type: 'started'; at: number; live?: boolean }
  /** The engine has the prompt under an id of its own. */
  | { type: 'renamed'; at: number; promptId: string }
  /** Events of the run arrive, or no longer do. */
  | { type: 'listening'; at: number; live: boolean }
  | {
      type: 'progressed';
      at: number;
      progress: number;
      stage: Stage | null;
      step: number | null;
      totalSteps: number | null;
      etaSeconds: number | null;
    }
  | { type: 'previewed'; at: number; preview: PreviewFrame }
  /** Its position in the queue changed, or why it waits. */
  | {
      type: 'moved';
      at: number;
      queuePosition: number | null;
      etaSeconds: number | null;
      waitCode: WaitCode | null;
    }
  /** The output images are in Artifacts. */
  | { type: 'completed'; at: number; outputs: readonly OutputImage[]; expiresAt: number }
  | { type: 'failed'; at: number; error: JobError; engineReport: string | null; expiresAt: number }
  /** A caller canceled it. */
  | { type: 'cancelRequested'; at: number; expiresAt: number }
  /** The engine has stopped working on it. */
  | { type: 'canceled'; at: number; expiresAt: number }
  /** The lane returned it before the engine had it. */
  | { type: 'handedBack'; at: number; reason: string; expiresAt: number }
  /**
   * The engine lost it: it returns to its old position, unless `maxAttempts` runs were lost for which only this job can
   * have been the cause.
   */
  | { type: 'engineLost'; at: number; reason: string; maxAttempts: number; expiresAt: number }
  /**
   * The engine completed it and has no output image of it: it was restarted, or its files were deleted. The job returns to
   * its old position, unless that was the last of `maxAttempts` lost runs.
   */
  | { type: 'outputMissing'; at: number; reason: string; maxAttempts: number; expiresAt: number }
  /** The engine ran out of memory and was told to free some: run it again. */
  | { type: 'outOfMemory'; at: number; reason: string; engineReport: string | null };

/**
 * Every change of a job goes through this pure function. An event that does not apply in the job's status returns the
 * same object (so `next === job` means that nothing changed); otherwise the revision rises by 1.
 */
export function advance(job: Job, event: JobEvent): Job {
  if (isFinal(job.status)) return job;
  switch (event.type) {
    case 'claimed':
      if (!isWaiting(job) || job.cancelRequested) return job;
      return change(job, event, event.engine, {
        lane: event.lane,
        engine: event.engine,
        clientId: event.promptId,
        promptId: event.promptId,
        waitCode: null,
        notBefore: null,
      });
    case 'bound':
      if (job.lane === null || sameSize(job.size, event.size)) return job;
      return change(job, event, null, { size: event.size });
    case 'started':
      if (job.status !== 'QUEUED' || job.lane === null) return job;
      return change(job, event, event.live === false ? DEAF : null, {
        status: 'PROCESSING',
        live: event.live ?? true,
        attempt: job.attempt + 1,
        startedAt: event.at,
        progress: 0,
        queuePosition: null,
        etaSeconds: null,
      });
    case 'renamed':
      if (job.lane === null || job.promptId === event.promptId) return job;
      return change(job, event, event.promptId, { promptId: event.promptId });
    case 'listening':
      if (job.status !== 'PROCESSING' || job.live === event.live) return job;
      return change(job, event, event.live ? null : DEAF, { live: event.live });
    case 'progressed':
      return progressed(job, event);
    case 'previewed':
      if (job.status !== 'PROCESSING') return job;
      if (job.preview !== null && event.preview.sequence <= job.preview.sequence) return job;
      return {
        ...job,
        revision: job.revision + 1,
        preview: event.preview,
        previewRevisions: job.previewRevisions + 1,
      };
    case 'moved':
      return moved(job, event);
    case 'completed':
      if (job.status !== 'PROCESSING') return job;
      return finish(job, event, 'COMPLETED', null, { progress: 100, outputs: event.outputs });
    case 'failed':
      return finish(job, event, 'ERROR', event.error.code, {
        error: event.error,
        engineReport: event.engineReport,
      });
    case 'cancelRequested':
      if (isWaiting(job)) return finish(job, event, 'CANCELED', null, { cancelRequested: true });
      if (job.cancelRequested) return job;
      return change(job, event, null, { cancelRequested: true });
    case 'canceled':
      return finish(job, event, 'CANCELED', null, { cancelRequested: true });
    case 'handedBack':
      if (job.lane === null) return job;
      if (job.cancelRequested) return finish(job, event, 'CANCELED', event.reason, {});
      return backToQueue(job, event, event.reason, {});
    case 'engineLost':
      return engineLost(job, event);
    case 'outputMissing':
      return outputMissing(job, event);
    case 'outOfMemory':
      if (job.lane === null) return job;
      if (job.cancelRequested) return job;
      return backToQueue(job, event, event.reason, {
        memoryFailures: job.memoryFailures + 1,
        engineReport: event.engineReport,
      });
    default:
      return event satisfies never;
  }
}

const LOST = new Set(['engineLost', 'outputMissing', 'outOfMemory']);

/** Whether an event of this type ends a run without its images, so that the job runs again or is given up. */
export function isLostRun(type: string): boolean {
  return LOST.has(type);
}

/** The pause after the first lost run; each further one is three times longer. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/**
 * A job that only waited in the queue of a lost engine is not the cause. As it may be one, it has an engine for itself
 * from then on; what is lost then is lost by it, begun or not.
 */
function engineLost(job: Job, event: Extract<JobEvent, { type: 'engineLost' }>): Job {
  if (job.lane === null) return job;
  if (job.cancelRequested) return finish(job, event, 'CANCELED', event.reason, {});
  const began = job.status === 'PROCESSING';
  const losses = job.losses + (began || job.suspect ? 1 : 0);
  if (losses >= event.maxAttempts) {
    const error = jobError('ENGINE_LOST', lostMessage(losses, event.reason));
    return finish(job, event, 'ERROR', event.reason, { losses, error });
  }
  return backToQueue(job, event, event.reason, {
    losses,
    suspect: true,
    lostOn: began ? job.engine : job.lostOn,
    notBefore: event.at + pauseAfter(losses),
  });
}

/** The prompt had ended, so the job is not suspected to be the cause: it may run beside others. */
function outputMissing(job: Job, event: Extract<JobEvent, { type: 'outputMissing' }>): Job {
  if (job.status !== 'PROCESSING') return job;
  if (job.cancelRequested) return finish(job, event, 'CANCELED', event.reason, {});
  const losses = job.losses + 1;
  const missingOutputs = job.missingOutputs + 1;
  if (losses >= event.maxAttempts) {
    const error =
      missingOutputs === losses
        ? jobError('OUTPUT_MISSING', outputMissingMessage(losses, event.reason))
        : jobError('ENGINE_LOST', lostMessage(losses, event.reason));
    return finish(job, event, 'ERROR', event.reason, { losses, missingOutputs, error });
  }
  return backToQueue(job, event, event.reason, {
    losses,
    missingOutputs,
    lostOn: job.engine,
    notBefore: event.at + pauseAfter(losses),
  });
}

function pauseAfter(losses: number): number {
  return losses === 0 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 3 ** (losses - 1));
}

function lostMessage(losses: number, reason: string): string {
  return `Given up after ${losses} lost run${losses === 1 ? '' : 's'}; the last one: ${reason}`;
}

function outputMissingMessage(runs: number, reason: string): string {
  const each = runs === 1 ? 'a run, after which' : `${runs} runs, after each of which`;
  return `The prompt was completed in ${each} the engine had no output image; the last time: ${reason}`;
}

function progressed(job: Job, event: Extract<JobEvent, { type: 'progressed' }>): Job {
  if (job.status !== 'PROCESSING') return job;
  // Only `completed` sets 100: until then the images are not stored.
  const progress = Math.max(job.progress, Math.min(99.9, roundTenth(event.progress)));
  const stage = laterOf(job.stage, event.stage);
  const unchanged =
    progress === job.progress &&
    stage === job.stage &&
    event.step === job.step &&
    event.totalSteps === job.totalSteps &&
    event.etaSeconds === job.etaSeconds;
  if (unchanged) return job;
  return {
    ...job,
    revision: job.revision + 1,
    progress,
    stage,
    step: event.step,
    totalSteps: event.totalSteps,
    etaSeconds: event.etaSeconds,
  };
}

/** Within a run the stage never goes back. Null: unknown. */
function laterOf(shown: Stage | null, reported: Stage | null): Stage | null {
  if (shown === null || reported === null) return shown ?? reported;
  return STAGES.indexOf(reported) > STAGES.indexOf(shown) ? reported : shown;
}

function moved(job: Job, event: Extract<JobEvent, { type: 'moved' }>): Job {
  if (job.status !== 'QUEUED') return job;
  const { queuePosition, etaSeconds, waitCode } = event;
  const unchanged =
    job.queuePosition === queuePosition && job.etaSeconds === etaSeconds && job.waitCode === waitCode;
  return unchanged ? job : { ...job, revision: job.revision + 1, queuePosition, etaSeconds, waitCode };
}

function sameSize(a: Size | null, b: Size | null): boolean {
  if (a === null || b === null) return a === b;
  return a.width === b.width && a.height === b.height;
}

function roundTenth(value: number): number {
  return Number.isFinite(value) ? Math.round(value * 10) / 10 : 0;
}
