import type { Job } from '../jobs/job.ts';
import type { Stage } from '../workflows/manifest.ts';

/** What is measured: seconds per unit of a stage's weight, or of a whole job. */
export type Measure = Stage | 'JOB';

/** Measured speeds of jobs with the same workflow, size and number of images. */
export interface Pace {
  /** Records that `weight` units took `seconds`. */
  measured(engine: string, job: Job, what: Measure, weight: number, seconds: number): void;
  /** Seconds for the remaining weights; null until the sampling of a similar job was measured. */
  remaining(engine: string, job: Job, weights: ReadonlyMap<Stage, number>): number | null;
  /** Seconds for a whole job like this one on any engine; null until one was measured. */
  wholeJob(job: Job): number | null;
  /** Estimated seconds until one of the ready engines takes the next job, 1 to 300; 10 while nothing was measured. */
  secondsToRoom(readyEngines: number): number;
}

/** Weight of the newest measurement in the moving average. */
const SMOOTHING = 0.3;
const ANY_JOB = 'any job';

/** Starts without measurements. Keeps moving averages per engine and over all engines. */
export function createPace(): Pace {
  const averages = new Map<string, number>();

  function key(engine: string, job: Job, what: Measure): string {
    const area =
      job.size === null ? (job.request.megapixels ?? 1) : (job.size.width * job.size.height) / 1_048_576;
    // Attention grows with the canvas and with each image: only jobs that are equal in both are compared.
    const quarterMegapixels = Math.round(area * 4);
    return [what, engine, job.request.workflow, quarterMegapixels, job.request.images.length].join('|');
  }

  function learn(name: string, value: number): void {
    const before = averages.get(name);
    averages.set(name, before === undefined ? value : before + SMOOTHING * (value - before));
  }

  function known(engine: string, job: Job, what: Measure): number | null {
    return averages.get(key(engine, job, what)) ?? averages.get(key('*', job, what)) ?? null;
  }

  return {
    measured(engine, job, what, weight, seconds) {
      if (!(weight > 0) || !(seconds >= 0)) return;
      learn(key(engine, job, what), seconds / weight);
      learn(key('*', job, what), seconds / weight);
      if (what === 'JOB') learn(ANY_JOB, seconds);
    },
    remaining(engine, job, weights) {
      const perStep = known(engine, job, 'SAMPLING');
      if (perStep === null) return null;
      let seconds = 0;
      for (const [stage, weight] of weights) seconds += weight * (known(engine, job, stage) ?? perStep);
      return seconds;
    },
    wholeJob: job => known('*', job, 'JOB'),
    secondsToRoom(readyEngines) {
      const seconds = averages.get(ANY_JOB);
      if (seconds === undefined || readyEngines === 0) return 10;
      return Math.min(300, Math.max(1, Math.ceil(seconds / readyEngines)));
    },
  };
}
