import type { Job } from '../jobs/job.ts';

/** How long the engine that was lost under a job leaves the job to others that could run it, in milliseconds. */
const PREFERENCE_MS = 30_000;

/** What a lane knows of its engine and of the others. */
export interface Choosing {
  readonly engine: string;
  canRun(job: Job): boolean;
  /** Whether another engine takes jobs now and can run this one. */
  othersCanRun(job: Job): boolean;
}

/** The first waiting job that the engine may run now, and when to choose again if there is one only for later. */
export interface Choice {
  readonly job: Job | null;
  /** Milliseconds since 1970; null when no job waits for a time. */
  readonly againAt: number | null;
}

/**
 * Chooses among waiting jobs, best first. Passes over a job whose pause has not ended, and leaves a job under which this
 * engine was lost to another engine, though not for ever. Pure.
 */
export function chooseJob(waiting: readonly Job[], choosing: Choosing, at: number): Choice {
  let againAt: number | null = null;
  for (const job of waiting) {
    if (!choosing.canRun(job)) continue;
    const from = claimableFrom(job, choosing);
    if (at >= from) return { job, againAt: null };
    againAt = Math.min(againAt ?? from, from);
  }
  return { job: null, againAt };
}

function claimableFrom(job: Job, { engine, othersCanRun }: Choosing): number {
  const from = job.notBefore ?? 0;
  return job.lostOn === engine && othersCanRun(job) ? from + PREFERENCE_MS : from;
}

/**
 * What a job may do on its engine beside `others`, the jobs in the engine's other lanes: a suspect runs alone, so it waits
 * until they have ended, and others yield to it. Of two suspects the one in the lower lane goes first.
 *
 * Correct across processes because each lane claims its job before it reads the others: of two lanes that claim at the
 * same time at least one sees the other.
 */
export function besideOthers(job: Job, others: readonly Job[]): 'go' | 'wait' | 'yield' {
  const suspects = others.filter(({ suspect }) => suspect);
  if (!job.suspect) return suspects.length > 0 ? 'yield' : 'go';
  if (suspects.some(other => laneIndex(other) < laneIndex(job))) return 'yield';
  return others.length > 0 ? 'wait' : 'go';
}

/** The number of a lane on its engine; the last for a job without one. */
function laneIndex({ lane }: Job): number {
  return lane === null ? Number.POSITIVE_INFINITY : Number(lane.slice(lane.lastIndexOf('#') + 1));
}

/** The name of a lane; the names of an engine's lanes begin with `lanesOf`. */
export function laneName(engine: string, index: number): string {
  return `${lanesOf(engine)}${index}`;
}

/** What the names of an engine's lanes begin with. */
export function lanesOf(engine: string): string {
  return `${engine}#`;
}
