import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';

/** What a process holds, and how late its event loop was since the last time. */
export interface Health {
  /** Bytes. */
  readonly resident: number;
  /** Bytes of the heap after a collection. */
  readonly heap: number;
  /** Open file descriptors; only Linux lists them. */
  readonly descriptors: number;
  /** Timers that keep the process alive. */
  readonly timers: number;
  /** Sockets, files and other handles that keep the process alive. */
  readonly handles: number;
  /** 99th percentile and maximum of the event loop's delay, in milliseconds. */
  readonly delayP99: number;
  readonly delayMax: number;
}

/** Milliseconds between two measurements of the delay. */
const RESOLUTION_MS = 10;
let delays: ReturnType<typeof monitorEventLoopDelay> | null = null;

/**
 * Loaded into a measured process before its own code (`--import`): answers `{probe: 'cpu'}` with the seconds of CPU that
 * the process has used, user and system, `{probe: 'memory'}` with its bytes after a collection, and `{probe: 'health'}`.
 */
process.on('message', ({ probe }: { probe?: 'cpu' | 'memory' | 'health' }) => {
  if (probe === 'cpu') {
    const { user, system } = process.cpuUsage();
    process.send?.({ cpuSeconds: (user + system) / 1e6 });
  } else if (probe === 'memory') {
    collect().then(
      () => process.send?.({ memory: process.memoryUsage() }),
      (error: unknown) => process.send?.({ failed: String(error) }),
    );
  } else if (probe === 'health') {
    health().then(
      found => process.send?.({ health: found }),
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

async function health(): Promise<Health> {
  const late = (ns: number): number => Math.max(0, ns / 1e6 - RESOLUTION_MS);
  const delay = { delayP99: late(delays?.percentile(99) ?? 0), delayMax: late(delays?.max ?? 0) };
  const resident = process.memoryUsage.rss();
  const active = process.getActiveResourcesInfo();
  const timers = active.filter(name => name === 'Timeout').length;
  await collect();
  // The collection itself delays the event loop.
  delays ??= monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  delays.reset();
  return {
    resident,
    heap: process.memoryUsage().heapUsed,
    descriptors: readdirSync('/proc/self/fd').length,
    timers,
    handles: active.filter(name => name !== 'Timeout' && name !== 'Immediate').length,
    ...delay,
  };
}
