import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { z } from 'zod';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type GatewayProcess, type Rig, startGatewayProcess, startRig } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import {
  API_KEYS,
  as,
  fetchJson,
  KEYS,
  postGraphQL,
  postJson,
  submit,
  submitByGraphQL,
} from '../support/requests.ts';
import { scrape } from '../support/scrape.ts';
import { startRedis } from '../support/stores/redis.ts';
import { eventually } from '../support/watch.ts';

const [alice, bob] = [as(KEYS.alice), as(KEYS.bob)];
/** Alice has the policy `default`, Bob none that limits what runs. */
const settings = (running: number | null, engines: readonly TestEngine[]) => ({
  API_KEYS: API_KEYS.replace(/^bob:.*$/m, '$&:policy=free'),
  CALLER_POLICIES: JSON.stringify({ default: running === null ? {} : { running }, free: {} }),
  COMFYUI_URL: engines.map(({ url }) => url).join(','),
  LANES_PER_ENGINE: '1',
});
/** A run that lasts until it is canceled. */
const LONG = { steps: 100 };
/** A step of such a run: the whole takes longer than a test. */
const STEP_MS = 400;

const jobOf = z.object({
  status: z.string(),
  queuePosition: z.number().nullable(),
  waitingFor: z.object({ code: z.string(), message: z.string() }).nullable(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
});
type Seen = z.output<typeof jobOf>;
async function read(url: string, id: string, headers = alice): Promise<Seen> {
  const query = `query ($id: ID!) { job(id: $id) {
    status queuePosition waitingFor { code message } startedAt finishedAt
  } }`;
  const { data } = await postGraphQL(url, query, { id }, headers);
  return z.object({ job: jobOf }).parse(data).job;
}
const seen = (url: string, id: string, fits: (job: Seen) => boolean, headers = alice): Promise<Seen> =>
  eventually(() => read(url, id, headers), fits, 30_000);
const isRunning = ({ status }: Seen): boolean => status === 'PROCESSING';
const isLimited = ({ waitingFor }: Seen): boolean => waitingFor?.code === 'RUNNING_LIMIT';
const isCompleted = ({ status }: Seen): boolean => status === 'COMPLETED';
const cancel = async (url: string, id: string) =>
  expect((await fetch(`${url}/jobs/${id}/cancel`, { method: 'POST', headers: alice })).status).toBe(200);
const me = async (url: string) => (await fetchJson(`${url}/me`, { headers: alice })).body;

async function twoEngines(context: TestContext, stepMs: number): Promise<TestEngine[]> {
  const engines = [await startTestEngine({ stepMs }), await startTestEngine({ stepMs })];
  context.onTestFinished(async () => {
    for (const engine of engines) await engine.stop();
  });
  return engines;
}

async function aFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'limits-'));
  context.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

describe.concurrent('a caller that may have one job running', () => {
  it('has its next one waiting beside an idle lane, which runs those of others meanwhile', async context => {
    const rig = await startRig(settings(1, await twoEngines(context, STEP_MS)));
    context.onTestFinished(() => rig.close());
    const first = await submit(rig, LONG, alice);
    const second = await submitByGraphQL(rig, { steps: 1 }, alice);
    const third = await submit(rig, {}, alice);
    await seen(rig.url, first, isRunning);
    const message = '1 job of its caller has an engine, as many as may at the same time';
    const limited = { status: 'QUEUED', waitingFor: { code: 'RUNNING_LIMIT', message } };
    expect(await seen(rig.url, second, isLimited)).toMatchObject({ ...limited, queuePosition: 0 });
    expect(await seen(rig.url, third, isLimited)).toMatchObject({ ...limited, queuePosition: 1 });
    expect((await fetchJson(`${rig.url}/status/${third}`, { headers: alice })).body).toMatchObject({
      waiting_for: { code: 'running_limit', message },
    });
    expect(await me(rig.url)).toMatchObject({
      limits: { policy: 'default', running_jobs: 1 },
      used: { running_jobs: 1, waiting_jobs: 2 },
    });
    const query = '{ me { limits { runningJobs } used { runningJobs } } }';
    expect((await postGraphQL(rig.url, query, {}, alice)).data).toEqual({
      me: { limits: { runningJobs: 1 }, used: { runningJobs: 1 } },
    });

    const { samples } = await scrape(`${rig.url}/metrics`, as(KEYS.olga));
    expect(Object.fromEntries(samples)).toMatchObject({
      'qwen_edit_queue_jobs{state="waiting"}': 0,
      'qwen_edit_queue_jobs{state="limited"}': 2,
      'qwen_edit_queue_jobs{state="held"}': 1,
    });

    const other = await submit(rig, {}, bob);
    expect(await read(rig.url, other, bob)).not.toMatchObject(limited);
    await seen(rig.url, other, isCompleted, bob);
    expect(await read(rig.url, first)).toMatchObject({ status: 'PROCESSING' });
    expect(await read(rig.url, second)).toMatchObject(limited);

    await cancel(rig.url, first);
    const [one, two] = [await seen(rig.url, second, isCompleted), await seen(rig.url, third, isCompleted)];
    expect(Date.parse(two.startedAt ?? '')).toBeGreaterThanOrEqual(Date.parse(one.finishedAt ?? ''));
    expect(await me(rig.url)).toMatchObject({ used: { running_jobs: 0, waiting_jobs: 0 } });
  });

  it('gets the edits of a batch one after another', async context => {
    const rig = await startRig(settings(1, await twoEngines(context, 5)));
    context.onTestFinished(() => rig.close());
    const edit = { image1_url: `${rig.images.url}/red.png`, prompt: 'x', steps: 3, megapixels: 0.1 };
    const { body } = await postJson(
      `${rig.url}/edit-images`,
      { edits: [1, 2, 3, 4].map(seed => ({ ...edit, seed })) },
      alice,
    );
    const { batch_id: id } = z.object({ batch_id: z.string() }).parse(body);
    const query = `query ($id: ID!) { batch(id: $id) { ended jobs(first: 9) { nodes {
      status queuePosition waitingFor { code message } startedAt finishedAt
    } } } }`;
    const shape = z.object({
      batch: z.object({ ended: z.boolean(), jobs: z.object({ nodes: z.array(jobOf) }) }),
    });
    const { batch } = await eventually(
      async () => shape.parse((await postGraphQL(rig.url, query, { id }, alice)).data),
      answer => answer.batch.ended,
    );
    const times = batch.jobs.nodes.map(({ startedAt, finishedAt }) => [startedAt, finishedAt].map(String));
    expect(batch.jobs.nodes.every(isCompleted)).toBe(true);
    expect(times.flat()).toEqual(times.flat().toSorted());
  });

  it('has another one running as soon as a restarted gateway allows two', async context => {
    const engines = await twoEngines(context, STEP_MS);
    const DATA_DIR = await aFolder(context);
    const before = await startRig({ ...settings(1, engines), DATA_DIR });
    const [first, second] = [await submit(before, LONG, alice), await submit(before, LONG, alice)];
    await seen(before.url, first, isRunning);
    await seen(before.url, second, isLimited);
    await before.close();
    const after = await startRig({ ...settings(2, engines), DATA_DIR });
    context.onTestFinished(() => after.close());
    await seen(after.url, second, isRunning);
    expect(await read(after.url, first)).toMatchObject({ status: 'PROCESSING' });
    expect(await me(after.url)).toMatchObject({ limits: { running_jobs: 2 }, used: { running_jobs: 2 } });
  });
});

describe.concurrent('gateways that share a Redis', () => {
  let images: Awaited<ReturnType<typeof startImageServer>>;
  beforeAll(async () => {
    images = await startImageServer();
  });
  afterAll(() => images.close());

  async function gateways(context: TestContext) {
    const redis = await startRedis({ aof: true });
    context.onTestFinished(() => redis.stop());
    const DATA_DIR = await aFolder(context);
    const shared = { REDIS_URL: redis.url, LEASE: '2s', DATA_DIR };
    return {
      async start(overrides: Record<string, string>): Promise<Rig> {
        const rig = await startRig({ ...shared, ...overrides });
        context.onTestFinished(() => rig.close());
        return rig;
      },
      /** One that can be killed. */
      async startProcess(overrides: Record<string, string>): Promise<GatewayProcess> {
        const gateway = await startGatewayProcess(DATA_DIR, { ...shared, ...overrides });
        context.onTestFinished(async () => void (await gateway.end('SIGKILL')));
        return gateway;
      },
    };
  }

  it('count a job of a killed gateway until it ends on another one, and no longer', {
    timeout: 90_000,
  }, async context => {
    const engines = await twoEngines(context, STEP_MS);
    const { start, startProcess } = await gateways(context);
    // Its lanes have nothing to do.
    const face = await start({ ...settings(1, []), COMFYUI_URL: 'http://127.0.0.1:9' });
    const dying = await startProcess(settings(1, engines));
    const first = await submit(face, LONG, alice);
    const [second, third] = [await submit(face, {}, alice), await submit(face, {}, alice)];
    await seen(face.url, first, isRunning);
    await seen(dying.url, third, isLimited);
    const heir = await start(settings(1, engines));
    await dying.end('SIGKILL');
    const other = await submit(face, {}, bob);
    // The new gateway has lanes, and has looked at what waits.
    await seen(face.url, other, isCompleted, bob);
    expect(await read(face.url, first)).toMatchObject({ status: 'PROCESSING' });
    for (const id of [second, third]) expect(await read(heir.url, id)).toSatisfy(isLimited);
    expect(await me(face.url)).toMatchObject({ used: { running_jobs: 1 } });
    await cancel(face.url, first);
    await seen(face.url, second, isCompleted);
    await seen(face.url, third, isCompleted);
    expect(await me(face.url)).toMatchObject({ used: { running_jobs: 0, waiting_jobs: 0 } });
  });

  it('let all jobs of a caller run once they are started without its limit', {
    timeout: 90_000,
  }, async context => {
    const engines = await twoEngines(context, STEP_MS);
    const { start, startProcess } = await gateways(context);
    const before = await startProcess(settings(1, engines));
    const target = { url: before.url, images };
    const first = await submit(target, LONG, alice);
    const second = await submit(target, LONG, alice);
    await seen(before.url, first, isRunning);
    await seen(before.url, second, isLimited);
    await before.end('SIGTERM');
    const after = await start(settings(null, engines));
    await seen(after.url, second, isRunning);
    expect(await read(after.url, first)).toMatchObject({ status: 'PROCESSING' });
  });
});
