import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

/** Collects garbage now, so that what is held is told apart from what is merely not yet freed. */
export function collectGarbage(): void {
  if (typeof collect !== 'function') throw new Error('No collector');
  collect();
}

/** Bytes on the heap of this process and beside it, after a collection. */
export function held(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
