import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startGatewayProcess, startRig } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import { type Answering, type Receiver, startReceiver } from '../support/receiver.ts';
import { submit } from '../support/requests.ts';
import { startRedis, type TestRedis } from '../support/stores/redis.ts';

let redis: TestRedis;
let engine: TestEngine;
let pictures: Awaited<ReturnType<typeof startImageServer>>;
let shared: string;
const receivers: Receiver[] = [];

beforeAll(async () => {
  redis = await startRedis({ aof: true });
  engine = await startTestEngine({ stepMs: 1 });
  pictures = await startImageServer();
  shared = await mkdtemp(join(tmpdir(), 'webhooks-'));
});
afterAll(async () => {
  await Promise.all(receivers.map(receiver => receiver.close()));
  await engine.stop();
  await pictures.close();
  await redis.stop();
  await rm(shared, { recursive: true, force: true });
});

function settingsOf(overrides: Record<string, string>): Record<string, string> {
  return {
    REDIS_URL: redis.url,
    COMFYUI_URL: engine.url,
    DATA_DIR: shared,
    LEASE: '2s',
    WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    WEBHOOK_TIMEOUT: '500ms',
    WEBHOOK_RETRY: '20ms',
    ...overrides,
  };
}

/** A gateway in this process, which ends with the test. */
async function start(overrides: Record<string, string> = {}): Promise<Rig> {
  const rig = await startRig(settingsOf(overrides));
  onTestFinished(() => rig.close());
  return rig;
}

async function receiver(answer?: Answering): Promise<Receiver> {
  const started = await startReceiver(answer);
  receivers.push(started);
  return started;
}

it('gateways that share a Redis post each delivery once', async () => {
  // A try that a busy machine delays for longer is given up, and the delivery posted again.
  const patient = { WEBHOOK_TIMEOUT: '10s' };
  const [a, b] = [await start(patient), await start(patient)];
  const hook = await receiver();
  const jobs = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      submit({ url: (n % 2 ? a : b).url, images: pictures }, { webhook: { url: hook.url } }),
    ),
  );
  await hook.heard(jobs.length);
  const told = hook.received.map(({ body }) => String(JSON.parse(body).data.job_id));
  expect(told.toSorted()).toEqual(jobs.toSorted());
});

it('a gateway posts the delivery that another was posting when it was killed', async () => {
  const hook = await receiver(n => (n === 0 ? 'silent' : 204));
  const dying = await startGatewayProcess(shared, settingsOf({}));
  onTestFinished(async () => void (await dying.end('SIGKILL')));
  await submit({ url: dying.url, images: pictures }, { webhook: { url: hook.url } });
  const [first] = await hook.heard(1);
  await dying.end('SIGKILL');
  await start();
  const [, second] = await hook.heard(2);
  expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
  expect(second?.body).toBe(first?.body);
});

it('a gateway without free slots leaves deliveries to another', async () => {
  const hook = await receiver(() => 'silent');
  // A claim lasts longer than a try, and that is longer than a test may take.
  const full = await start({ WEBHOOK_TIMEOUT: '10m' });
  const jobs = await Promise.all(
    Array.from({ length: 12 }, () =>
      submit({ url: full.url, images: pictures }, { webhook: { url: hook.url } }),
    ),
  );
  for (const job of jobs) {
    await expect
      .poll(async () => (await (await fetch(`${full.url}/status/${job}`)).json()).status)
      .toBe('completed');
  }
  await hook.heard(8);
  await start({ WEBHOOK_TIMEOUT: '10m' });
  const heard = await hook.heard(jobs.length);
  expect(new Set(heard.map(({ headers }) => headers['webhook-id'])).size).toBe(jobs.length);
});
