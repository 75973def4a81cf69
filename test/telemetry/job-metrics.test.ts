import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { advance } from '../../src/jobs/advance.ts';
import { createJobMetrics } from '../../src/telemetry/job-metrics.ts';
import { aJob } from '../support/jobs.ts';

it('a run that another gateway took over is no longer busy here, and what it ran stays counted', async () => {
  let at = 1_000;
  const registry = new Registry();
  const metrics = createJobMetrics(registry, () => at);
  const lane = { lane: 'gpu#0', engine: 'gpu', promptId: 'p' };
  const job = aJob();
  const claimed = advance(job, { type: 'claimed', at, ...lane });
  metrics.onChange(job, claimed, 'claimed');
  const started = advance(claimed, { type: 'started', at });
  metrics.onChange(claimed, started, 'started');
  const busy = async () =>
    (await registry.getSingleMetric('qwen_edit_engine_busy_seconds_total')?.get())?.values;

  at = 5_000;
  metrics.retain(id => id === job.id);
  expect(metrics.heldBy('gpu')).toBe(1);
  expect(await busy()).toMatchObject([{ value: 4, labels: { engine: 'gpu' } }]);

  metrics.retain(() => false);
  at = 60_000;
  expect(metrics.heldBy('gpu')).toBe(0);
  expect(await busy()).toMatchObject([{ value: 4, labels: { engine: 'gpu' } }]);
});
