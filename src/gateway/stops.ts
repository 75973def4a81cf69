import { withDeadline } from '../concurrency/deadline.ts';
import type { Log } from '../log.ts';

/** What has to be undone at the end, collected as parts start. */
export interface Stops {
  add(step: () => Promise<void> | void): void;
  /** Runs the steps, the newest first, each once. */
  run(): Promise<void>;
}

export function createStops(): Stops {
  const steps: (() => Promise<void> | void)[] = [];
  return {
    add: step => void steps.push(step),
    async run() {
      for (const step of steps.splice(0).reverse()) await step();
    },
  };
}

/** Stops a gateway. Resolves with the exit code: 1, after a line in the log, when that fails or takes longer than `ms`. */
export async function stopWithin(ms: number, stop: () => Promise<void>, log: Log): Promise<0 | 1> {
  try {
    await withDeadline(stop(), ms, () => {
      throw new Error(`It took longer than ${ms} ms`);
    });
    return 0;
  } catch (error) {
    log.error({ err: error }, 'could not stop cleanly');
    return 1;
  }
}
