import { setImmediate as turn } from 'node:timers/promises';

/**
 * Loaded into a measured process before its own code (`--import`): answers `{probe: 'cpu'}` with the seconds of CPU that
 * the process has used, user and system, and `{probe: 'memory'}` with its bytes after a collection.
 */
process.on('message', ({ probe }: { probe?: 'cpu' | 'memory' }) => {
  if (probe === 'cpu') {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpuSeconds: (user + system) / 1e6 });
  } else if (probe === 'memory') {
    collect().then(
      () => process.send?.({ memory: process.memoryUsage() }),
      (error: unknown) => process.send?.({ failed: String(error) }),
    );
  }
});
// The process ends by itself as it would without us.
process.channel?.unref();

/** What one collection sets free may be held by callbacks that run after it: again until they have run. */
async function collect(): Promise<void> {
  for (let round = 0; round < 4; round += 1) {
    globalThis.gc?.();
    await turn();
  }
}
