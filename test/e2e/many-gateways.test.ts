import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type GatewayProcess, type Rig, startGatewayProcess, startRig } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import { startRedis, type TestRedis } from '../support/stores/redis.ts';
import { type Snapshot, watchOverSse, watchOverWebSocket } from '../support/watch.ts';

let redis: TestRedis;
let engine: TestEngine;
let pictures: Awaited<ReturnType<typeof startImageServer>>;
let shared: string;
const gateways: GatewayProcess[] = [];
const faces: Rig[] = [];

beforeAll(async () => {
  redis = await startRedis({ aof: true });
  engine = await startTestEngine({ stepMs: 45 });
  pictures = await startImageServer();
  shared = await mkdtemp(join(tmpdir(), 'shared-'));
});
afterAll(async () => {
  await Promise.all(gateways.map(gateway => gateway.end('SIGKILL')));
  await Promise.all(faces.map(face => face.close()));
  await engine.stop();
  await pictures.close();
  await redis.stop();
  await rm(shared, { recursive: true, force: true });
});

function settingsOf(engineUrl: string): Record<string, string> {
  return { REDIS_URL: redis.url, DATA_DIR: shared, COMFYUI_URL: engineUrl, LEASE: '2s', WATCHDOG: '300ms' };
}

/** A process with lanes, which can be killed and suspended. */
async function start(): Promise<GatewayProcess> {
  const gateway = await startGatewayProcess(shared, settingsOf(engine.url));
  gateways.push(gateway);
  return gateway;
}

/** A gateway in this process that takes requests and serves watchers only. */
async function startFace(): Promise<Rig> {
  // An engine that is never there: its lanes have nothing to do.
  const face = await startRig(settingsOf('http://127.0.0.1:9'));
  faces.push(face);
  return face;
}

async function submit(url: string, steps: number, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/edit-image`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ image1_url: `${pictures.url}/red.png`, prompt: 'x', steps, megapixels: 0.1 }),
  });
}

const idOf = async (answer: Response): Promise<string> => (await answer.json()).job_id;

function expectRising(snapshots: readonly Snapshot[]): void {
  const revisions = snapshots.map(({ revision }) => revision);
  expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
}

describe('gateways that share a Redis', () => {
  it('accept a job on one, run it on another, stream it from a third', async () => {
    const [a, c] = [await startFace(), await startFace()];
    await start();
    const id = await idOf(await submit(a.url, 8));
    const [overA, overC] = await Promise.all([watchOverWebSocket(a.url, id), watchOverSse(c.url, id)]);
    for (const snapshots of [overA, overC]) {
      expectRising(snapshots);
      expect(snapshots.at(-1)).toMatchObject({ status: 'COMPLETED', progress: 100, attempt: 1 });
      expect(snapshots.some(({ step }) => (step ?? 0) > 2)).toBe(true);
    }
    expect((await fetch(`${a.url}/download/${id}`)).status).toBe(200);
  });

  it('resume the run of a killed gateway; watchers elsewhere see only rising revisions', async () => {
    const [a] = faces;
    const [dying] = gateways;
    if (a === undefined || dying === undefined) throw new Error('no gateway');
    // Its lanes are held by the other, and without a holder for 4 s the job would be queued again.
    await start();
    const before = Object.keys((await engine.stats()).executed).length;
    const id = await idOf(await submit(a.url, 100));
    let killed: Promise<unknown> | null = null;
    const snapshots = await watchOverWebSocket(a.url, id, ({ step }) => {
      if (killed === null && (step ?? 0) >= 5) killed = dying.end('SIGKILL');
    });
    await killed;
    expectRising(snapshots);
    expect(snapshots.at(-1)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(snapshots.some(({ step }) => (step ?? 0) > 60 && (step ?? 0) < 100)).toBe(true);
    expect(Object.keys((await engine.stats()).executed).length - before).toBe(1);
  });

  it('reject writes of a gateway that was suspended and lost its lease', async () => {
    const [a] = faces;
    const holder = gateways.at(-1);
    if (a === undefined || holder === undefined) throw new Error('no gateway');
    await start();
    const id = await idOf(await submit(a.url, 100));
    let stopped = false;
    const snapshots = await watchOverWebSocket(a.url, id, ({ step }) => {
      if (stopped || (step ?? 0) < 5) return;
      stopped = true;
      holder.child.kill('SIGSTOP');
    });
    expectRising(snapshots);
    expect(snapshots.at(-1)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    holder.child.kill('SIGCONT');
    // It may open another connection to Redis first: its own was silent while it was suspended.
    const after = await vi.waitFor(() => watchOverWebSocket(holder.url, id), { timeout: 30_000 });
    expect(after).toHaveLength(1);
    expect(after[0]?.revision).toBe(snapshots.at(-1)?.revision);
    expect(await holder.end('SIGTERM')).toBe(0);
  });

  it('return the same job for the same idempotency key on every gateway', async () => {
    const answers = await Promise.all(
      faces.flatMap(({ url }) => [1, 2, 3].map(() => submit(url, 1, { 'idempotency-key': 'once' }))),
    );
    expect(new Set(await Promise.all(answers.map(idOf))).size).toBe(1);
    const other = await submit(faces[1]?.url ?? '', 2, { 'idempotency-key': 'once' });
    expect(other.status).toBe(409);
  });

  it('answer 503 while Redis is down; a run goes on and is stored afterwards; no watcher stays silent', async () => {
    const [a] = faces;
    if (a === undefined) throw new Error('no gateway');
    const id = await idOf(await submit(a.url, 100));
    let away = false;
    const snapshots = await watchOverWebSocket(a.url, id, async ({ step }) => {
      if (away || (step ?? 0) < 3) return;
      away = true;
      await redis.kill();
      const refused = await submit(a.url, 1);
      expect(refused.status).toBe(503);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      const asked = await fetch(`${a.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query: '{ jobs { nodes { id } } }' }),
      });
      expect((await asked.json()).errors[0].extensions).toMatchObject({ code: 'STORE_UNAVAILABLE' });
      await redis.restart();
    });
    expectRising(snapshots);
    expect(snapshots.at(-1)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(snapshots.some(({ step }) => (step ?? 0) > 20)).toBe(true);
  });
});
