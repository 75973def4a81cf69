import { Registry } from 'prom-client';
import type { Clock } from '../jobs/ports.ts';
import { createJobMetrics, type JobMetrics } from './job-metrics.ts';
import { measureProcess } from './process-metrics.ts';

/** All metrics of a gateway; parts add theirs to `registry`. */
export interface Metrics {
  readonly registry: Registry;
  readonly jobs: JobMetrics;
  /** In Prometheus' text format. Reads the store and the engines. */
  render(): Promise<{ readonly type: string; readonly body: string }>;
  stop(): void;
}

/** Starts to measure the process; `stop` ends that. */
export function createMetrics(now: Clock): Metrics {
  const registry = new Registry();
  const stop = measureProcess(registry);
  return {
    registry,
    jobs: createJobMetrics(registry, now),
    render: async () => ({ type: registry.contentType, body: await registry.metrics() }),
    stop,
  };
}
