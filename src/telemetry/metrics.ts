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

/** Starts to measure the process; `stop` ends that. `runs` says whether a lane of this gateway runs a job. */
export function createMetrics(options: {
  readonly now: Clock;
  readonly runs: (jobId: string) => boolean;
}): Metrics {
  const registry = new Registry();
  const stop = measureProcess(registry);
  const jobs = createJobMetrics(registry, options.now);
  return {
    registry,
    jobs,
    async render() {
      jobs.retain(options.runs);
      return { type: registry.contentType, body: await registry.metrics() };
    },
    stop,
  };
}
