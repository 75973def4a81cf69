import { Counter, Registry } from 'prom-client';
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

/**
 * Starts to measure the process; `stop` ends that. `runs` says whether a lane of this gateway runs a job, `engines` which
 * engines are in the fleet: what was counted of others is forgotten.
 */
export function createMetrics(options: {
  readonly now: Clock;
  readonly runs: (jobId: string) => boolean;
  readonly engines: () => readonly { readonly id: string }[];
}): Metrics {
  const registry = new Registry();
  const stop = measureProcess(registry);
  const jobs = createJobMetrics(registry, options.now);
  return {
    registry,
    jobs,
    async render() {
      jobs.retain(options.runs);
      const engines = new Set(options.engines().map(({ id }) => id));
      jobs.retainEngines(engines);
      await forgetOtherEngines(registry, engines);
      return { type: registry.contentType, body: await registry.metrics() };
    },
    stop,
  };
}

/** Removes the series of engines that have left, so that those that come and go leave none behind. */
async function forgetOtherEngines(registry: Registry, engines: ReadonlySet<string>): Promise<void> {
  for (const metric of registry.getMetricsAsArray()) {
    if (!(metric instanceof Counter)) continue;
    const { values } = await metric.get();
    for (const { labels } of values) {
      const { engine } = labels;
      if (typeof engine === 'string' && engine !== '' && !engines.has(engine)) metric.remove(labels);
    }
  }
}
