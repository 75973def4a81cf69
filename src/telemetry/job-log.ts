import type { Job } from '../jobs/job.ts';
import type { OnJobChange } from '../jobs/ports.ts';
import { loggedJob } from '../jobs/trace.ts';
import type { Log } from '../log.ts';

/**
 * Logs a line for each step in the life of a job, at `info`; a failure at `warn`. Never prompts, image URLs or the
 * engine's messages, which may repeat them: `/debug/job` has those.
 */
export function logJobs(log: Log): OnJobChange {
  return (before, job, event) => {
    const about = loggedJob(job);
    switch (event) {
      case 'submitted': {
        const { request, owner, priority } = job;
        const { workflow, images, steps } = request;
        log.info(
          { ...about, caller: owner, workflow, images: images.length, steps, priority },
          'job submitted',
        );
        return;
      }
      case 'claimed':
        log.debug({ ...about, lane: job.lane, promptId: job.promptId }, 'job claimed');
        return;
      case 'started': {
        const { engine, attempt } = job;
        log.info(
          { ...about, engine, attempt, waitedMs: between(job.createdAt, job.startedAt) },
          'job started',
        );
        return;
      }
      case 'handedBack':
      case 'engineLost':
      case 'outputMissing':
      case 'outOfMemory':
      case 'completed':
      case 'failed':
      case 'cancelRequested':
      case 'canceled':
        if (before !== null) logOutcome(log, before, job, event);
        return;
      case 'renamed':
        log.debug({ ...about, promptId: job.promptId }, 'the engine numbers its prompts itself');
        return;
      case 'bound':
      case 'listening':
      case 'progressed':
      case 'previewed':
      case 'moved':
        return;
      default:
        event satisfies never;
    }
  };
}

function logOutcome(log: Log, before: Job, job: Job, event: string): void {
  const about = { ...loggedJob(job), engine: before.engine, attempt: before.attempt };
  const ended = {
    ...about,
    ranMs: between(job.startedAt, job.finishedAt),
    totalMs: between(job.createdAt, job.finishedAt),
  };
  switch (job.status) {
    case 'QUEUED':
      // Canceled while it was sent to its engine.
      if (job.lane !== null) log.info(about, 'job cancel requested');
      else log.info({ ...about, event }, 'job queued again');
      return;
    case 'COMPLETED':
      log.info({ ...ended, images: job.outputs.length }, 'job completed');
      return;
    case 'CANCELED':
      log.info(ended, 'job canceled');
      return;
    case 'ERROR':
      log.warn({ ...ended, code: job.error?.code ?? null, node: job.error?.node ?? null }, 'job failed');
      return;
    case 'PROCESSING':
      log.info(about, 'job cancel requested');
      return;
    default:
      job.status satisfies never;
  }
}

/** Milliseconds from one time to another; null while one of them is unknown. */
function between(from: number | null, to: number | null): number | null {
  return from === null || to === null ? null : to - from;
}
