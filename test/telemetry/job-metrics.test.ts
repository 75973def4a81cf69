import { Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { advance } from '../../src/jobs/advance.ts';
import { createJobMetrics } from '../../src/telemetry/job-metrics.ts';
import { aJob } from '../support/jobs.ts';

it('an engine that executes a job while the images of the last one are fetched is busy once', async () => {
  let at = 1_000;
  const registry = new Registry();
  const metrics = createJobMetrics(registry, () => at);
  const start = (lane: string) => {
    const job = aJob();
    const claimed = advance(job, { type: 'claimed', at, lane, engine: 'gpu', promptId: lane });
    metrics.onChange(job, claimed, 'claimed');
    const started = advance(claimed, { type: 'started', at });
    metrics.onChange(claimed, started, 'started');
    return started;
  };
  const first = start('gpu#0');
  at = 5_000;
  start('gpu#1');
  at = 6_000;
  metrics.onChange(first, advance(first, { type: 'completed', at, outputs: [], expiresAt: at }), 'completed');
  at = 8_000;
  const metric = await registry.getSingleMetric('qwen_edit_engine_busy_seconds_total')?.get();
  expect(metric?.values).toMatchObject([{ value: 7, labels: { engine: 'gpu' } }]);
});

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
