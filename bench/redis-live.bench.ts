import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'graphql-ws';
import { Redis } from 'ioredis';
import { WebSocket } from 'ws';
import { startSandbox } from '../src/sandbox/server.ts';
import { type GatewayProcess, startGatewayProcess } from '../test/support/process.ts';
import { startRedis } from '../test/support/redis.ts';
import { picture } from './support/rig.ts';
import { summary } from './support/statistics.ts';
import { tapEngine } from './support/tap.ts';

const JOBS = 15;
const STEPS = 40;
const RAW = 600;

/**
 * `editImage` on gateway A, run by B, watched on C, all processes of their own: from the engine's event on the wire to
 * the subscriber's message, beside raw Redis publish → subscribe in the same run.
 */
export async function measure(): Promise<Record<string, unknown>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'live-'));
  const redis = await startRedis();
  const engine = await startSandbox({ stepMs: 15 });
  const tap = await tapEngine(engine.url);
  const environment = { REDIS_URL: redis.url, PREVIEW_RATE: '0' };
  const start = (engineUrl: string): Promise<GatewayProcess> =>
    startGatewayProcess(dataDir, { ...environment, COMFYUI_URL: engineUrl });
  const gateways = [
    await start('http://127.0.0.1:9'),
    await start(tap.url),
    await start('http://127.0.0.1:9'),
  ];
  const [a, , c] = gateways;
  if (a === undefined || c === undefined) throw new Error('no gateway');
  const client = createClient({
    url: `${c.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    lazy: false,
  });
  const latencies: number[] = [];
  try {
    for (let n = 0; n < JOBS; n += 1) {
      tap.steps.clear();
      const answer = await fetch(`${a.url}/edit-image`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          image1_url: await picture(),
          prompt: `job ${n}`,
          steps: STEPS,
          megapixels: 0.1,
        }),
      });
      const { job_id: jobId }: { job_id: string } = await answer.json();
      const query = 'subscription ($jobId: ID!) { jobProgress(jobId: $jobId) { step } }';
      const results = client.iterate<{ jobProgress: { step: number | null } }>({
        query,
        variables: { jobId },
      });
      let newest = 0;
      for await (const { data } of results) {
        const step = data?.jobProgress.step ?? 0;
        const said = tap.steps.get(step);
        if (step > newest && step < STEPS && said !== undefined && n > 0)
          latencies.push(performance.now() - said);
        newest = Math.max(newest, step);
      }
    }
    const raw = await rawLatencies(redis.url);
    const [ours, theirs] = [summary(latencies), summary(raw)];
    return {
      'engine event → subscriber, ms': ours,
      'raw publish → subscribe, ms': theirs,
      'difference, ms': { p50: ours.p50 - theirs.p50, p99: ours.p99 - theirs.p99 },
    };
  } finally {
    await client.dispose();
    await Promise.all(gateways.map(gateway => gateway.end('SIGTERM')));
    await tap.stop();
    await engine.stop();
    await redis.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function rawLatencies(url: string): Promise<number[]> {
  const [publisher, subscriber] = [new Redis(url), new Redis(url)];
  const latencies: number[] = [];
  await subscriber.subscribe('raw');
  for (let n = 0; n < RAW; n += 1) {
    const heard = new Promise<void>(resolve => subscriber.once('message', () => resolve()));
    const sent = performance.now();
    await publisher.publish('raw', 'x'.repeat(2_000));
    await heard;
    latencies.push(performance.now() - sent);
  }
  publisher.disconnect();
  subscriber.disconnect();
  return latencies;
}
