import type { Job } from '../jobs/job.ts';

/**
 * A part of a run. `run` and `resume` are the whole of it, as far as this process drives it: from its claim, or from where
 * an earlier holder of the lane left it. The others happen within.
 */
export type RunStep = 'run' | 'resume' | 'upload' | 'collect';

/**
 * What the engine's queue, history or files told of a prompt although no answer or event had: that the engine has it, that
 * it runs, that it ended, or its images.
 */
export type Missed = 'prompt' | 'start' | 'end' | 'images';

/** Sees the runs of this process, to measure them. Its methods must not throw by themselves. */
export interface RunObserver {
  /** Called around a step; does `work` and settles as it does. */
  around<T>(step: RunStep, job: Job, work: () => Promise<T>): Promise<T>;
  missed(engine: string, what: Missed): void;
}
