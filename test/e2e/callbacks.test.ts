import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { startTestEngine } from '../support/comfyui/sandbox.ts';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import { submit } from '../support/requests.ts';
import { type CallbackMessage, startRouter } from '../support/router.ts';
import { startRedis } from '../support/stores/redis.ts';

const WATCH = 'subscription ($id: ID!) { jobProgress(jobId: $id) { status revision } }';

const revisions = (messages: readonly CallbackMessage[]): number[] =>
  messages.flatMap(message => {
    const [, revision] = /"revision":(\d+)/.exec(JSON.stringify(message)) ?? [];
    return revision === undefined ? [] : [Number(revision)];
  });

it('a router misses the heartbeat of a gateway that was killed, and another gateway goes on with the job', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'callbacks-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const redis = await startRedis({});
  onTestFinished(() => redis.stop());
  const engine = await startTestEngine({ stepMs: 50 });
  onTestFinished(() => engine.stop());
  const images = await startImageServer();
  onTestFinished(() => images.close());
  const router = await startRouter();
  onTestFinished(() => router.close());

  async function start(comfyui: string): Promise<GatewayProcess> {
    const gateway = await startGatewayProcess(folder, {
      REDIS_URL: redis.url,
      COMFYUI_URL: comfyui,
      CALLBACK_ALLOW: '127.0.0.1',
    });
    onTestFinished(async () => {
      await gateway.end('SIGKILL');
    });
    return gateway;
  }
  // The first has no engine, so the job runs on through its end.
  const [first, second] = await Promise.all([start('http://127.0.0.1:9'), start(engine.url)]);

  const id = await submit({ url: second.url, images }, { steps: 60 });
  const lost = await router.subscribe(first.url, WATCH, { id }, { heartbeatMs: 1_000 });
  await lost.until(messages => revisions(messages).length > 2);
  await first.end('SIGKILL');
  await lost.until(() => lost.ended() !== null);
  expect(lost.ended()).toBe('no heartbeat');

  const found = await router.subscribe(second.url, WATCH, { id });
  await found.until(messages => messages.some(({ action }) => action === 'complete'));
  expect(found.messages.at(-2)).toMatchObject({
    payload: { data: { jobProgress: { status: 'COMPLETED' } } },
  });
  expect(revisions(found.messages)[0]).toBeGreaterThanOrEqual(revisions(lost.messages).at(-1) ?? Infinity);
  expect(router.violations).toEqual(['no check within 1000 ms']);
});
