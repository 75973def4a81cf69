import { setImmediate } from 'node:timers/promises';

/**
 * Spreads pieces of work over the event loop: each call resolves in a turn of its own, after those before it. With `setImmediate` alone
 * all that wait would go on in the same turn.
 */
export function createTurns(): () => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  return () => {
    last = last.then(() => setImmediate());
    return last;
  };
}
