import { fork } from 'node:child_process';
import { ask } from './ipc.ts';
import type { Watching } from './watchers.ts';

/** Watchers in a process of their own. */
export interface Load {
  /** Messages with results since the last call; counts from 0 again. */
  reset(): Promise<number>;
  /** Resolves when that many messages arrived since the last reset, with the time by `process.hrtime` in milliseconds. */
  reach(messages: number): Promise<number>;
  /** Ends every socket at once. */
  stop(): Promise<void>;
}

/** Resolves when all watch, and have the first result where there is one. */
export async function startLoad(watch: Watching): Promise<Load> {
  const child = fork(new URL('watchers.ts', import.meta.url));
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()));
  const load: Load = {
    reset: async () => (await ask<{ delivered: number }>(child, { reset: true }, 'delivered')).delivered,
    reach: async messages => (await ask<{ reached: number }>(child, { reach: messages }, 'reached')).reached,
    async stop() {
      child.kill();
      await exited;
    },
  };
  try {
    await ask<{ ready: true }>(child, { watch }, 'ready');
    return load;
  } catch (error) {
    await load.stop();
    throw error;
  }
}
