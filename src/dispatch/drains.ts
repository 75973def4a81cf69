import type { Drains } from '../jobs/ports.ts';
import type { Log } from '../log.ts';
import type { Engine } from './engines/engine.ts';

/** A message that one was set may be lost: read again after this long, in milliseconds. */
const POLL_MS = 5_000;

/** Keeps the engines of this process as the store says. */
export interface DrainKeeper {
  /** Reads the store and drains its engines. Rejects with StoreUnavailable. */
  update(): Promise<void>;
  stop(): Promise<void>;
}

/** Updates the engines whenever a process has set one. */
export function keepDrains(drains: Drains, engines: readonly Engine[], log: Log): DrainKeeper {
  let running: Promise<void> = Promise.resolve();

  /** One after another, so that an older answer never replaces a newer one. */
  function update(): Promise<void> {
    const next = running.then(async () => {
      const drained = await drains.read();
      for (const engine of engines) engine.drain(drained.has(engine.id));
    });
    running = next.catch(() => undefined);
    return next;
  }

  const updateLater = (): void => {
    update().catch(error => log.debug({ err: error }, 'could not read which engines are drained'));
  };
  const stopListening = drains.onChange(updateLater);
  const timer = setInterval(updateLater, POLL_MS);
  return {
    update,
    async stop() {
      clearInterval(timer);
      stopListening();
      await running;
    },
  };
}
