import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, type Registry } from 'prom-client';

/**
 * Milliseconds between two measurements of the event loop's delay; a shorter delay may fall between two. Each wakes the process:
 * every 100 ms, they were 10 of the 17 times a second that an idle gateway woke.
 */
const RESOLUTION_MS = 250;

/**
 * Measures this process under the names that dashboards for Node know. prom-client's own collection cannot be stopped and
 * would keep observers after the gateway. Returns what stops it.
 */
export function measureProcess(registry: Registry): () => void {
  const registers = [registry];
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  const startedAt = Date.now() / 1000 - process.uptime();

  gauge('process_start_time_seconds', 'Start of the process, in seconds since 1970', () => startedAt);
  gauge('process_resident_memory_bytes', 'Resident memory', () => process.memoryUsage.rss());
  gauge('nodejs_heap_size_used_bytes', 'Used heap', () => process.memoryUsage().heapUsed);
  gauge('nodejs_external_memory_bytes', 'Memory outside of the heap', () => process.memoryUsage().external);
  gauge('process_open_fds', 'Open file descriptors; absent where the system does not list them', openFiles);
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Processor time of the process',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  // A timer that is on time counts with the resolution itself.
  const lag = (ns: number): number => Math.max(0, ns / 1e9 - RESOLUTION_MS / 1000);
  gauge(
    'nodejs_eventloop_lag_p50_seconds',
    'Median delay of the event loop, measured four times a second',
    () => lag(delay.percentile(50)),
  );
  gauge('nodejs_eventloop_lag_p99_seconds', '99th percentile of its delay', () => lag(delay.percentile(99)));
  gauge('nodejs_eventloop_lag_max_seconds', 'Its longest delay since the last scrape', () => {
    const longest = lag(delay.max);
    delay.reset();
    return longest;
  });

  function gauge(name: string, help: string, read: () => number | null): void {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        const value = read();
        if (value !== null) this.set(value);
      },
    });
  }

  return () => delay.disable();
}

function openFiles(): number | null {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    // Only Linux has this folder.
    return null;
  }
}
