import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startHabitProxy } from '../support/comfyui/habits.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { fleetOf } from '../support/fleet.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { fetchJson, postGraphQL, submit } from '../support/requests.ts';
import { startRedis, type TestRedis, withClient } from '../support/stores/redis.ts';
import { until, waitForEnd, waitUntil } from '../support/watch.ts';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await withClient(redis.url, client => client.flushall());
});

async function startEngine(stepMs = 5): Promise<TestEngine & { id: string }> {
  const engine = await startTestEngine({ stepMs });
  closers.push(() => engine.stop());
  return { ...engine, id: new URL(engine.url).host };
}

/** Starts a gateway; the test may close it before its end. */
async function start(settings: Record<string, string>) {
  const rig = await startRig({ ENGINE_PROBE: '300ms', ENGINE_ALLOW: '127.0.0.1', ...settings });
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= rig.close();
    return closing;
  };
  closers.push(close);
  return { rig, close, fleet: fleetOf(rig.url) };
}

/** The settings of gateways that share the Redis and a folder of images. */
async function shared(): Promise<Record<string, string>> {
  return { ...(await folder()), REDIS_URL: redis.url, LEASE: '2s' };
}

async function folder(): Promise<{ DATA_DIR: string }> {
  const dir = await mkdtemp(join(tmpdir(), 'fleet-'));
  closers.push(() => rm(dir, { recursive: true, force: true }));
  return { DATA_DIR: dir };
}

async function eventsOf(rig: Rig, id: string): Promise<string[]> {
  const { body } = await fetchJson(`${rig.url}/debug/job/${id}`);
  return z
    .object({ events: z.array(z.object({ event: z.string() })) })
    .parse(body)
    .events.map(({ event }) => event);
}

async function executedBy(engine: TestEngine): Promise<number> {
  return Object.keys((await engine.stats()).executed).length;
}

/** How many prompts each engine runs or has in its queue. */
function heldBy(engines: readonly TestEngine[]): Promise<number[]> {
  return Promise.all(
    engines.map(async engine => {
      const { running, pending } = await engine.stats();
      return (running === null ? 0 : 1) + pending.length;
    }),
  );
}

/** Submits a batch of so many long edits. */
async function submitMany(rig: Rig, count: number): Promise<void> {
  const edit = { images: [{ url: `${rig.images.url}/red.png` }], prompt: 'x', steps: 100, variations: count };
  await postGraphQL(
    rig.url,
    'mutation ($input: EditImagesInput!) { editImages(input: $input) { ... on EditBatch { total } } }',
    { input: { edits: [edit] } },
  );
}

describe.each(['embedded', 'redis'] as const)('the fleet of a gateway: %s', kind => {
  const store = kind === 'redis' ? shared : folder;

  it('starts empty, takes the engines that an operator adds, and keeps them over a restart', async () => {
    const settings = await store();
    const first = await start(settings);
    expect(await first.fleet.list()).toEqual([]);
    const waiting = await submit(first.rig);
    const query = `{ job(id: "${waiting}") { waitingFor { code message } } }`;
    expect((await postGraphQL(first.rig.url, query)).data).toEqual({
      job: {
        waitingFor: {
          code: 'NO_ENGINES',
          message: 'There is no engine: none is configured, and none has registered',
        },
      },
    });

    const engine = await startEngine();
    expect(await first.fleet.add(`${engine.url}/`)).toBe('EditEngine');
    expect(await waitForEnd(first.rig.url, waiting)).toMatchObject({ status: 'COMPLETED' });
    expect(await first.fleet.add(engine.url)).toBe('EditEngine');
    expect(await first.fleet.drain(engine.id, true, ' a new\tdriver ')).toBe('EditEngine');
    await first.close();

    const second = await start(settings);
    expect(await second.fleet.list()).toEqual([
      {
        id: engine.id,
        state: 'DRAINED',
        source: 'OPERATOR',
        reason: 'drained by an operator: a new\tdriver',
      },
    ]);
    expect(await second.fleet.drain(engine.id, false)).toBe('EditEngine');
    expect(await waitForEnd(second.rig.url, await submit(second.rig))).toMatchObject({ status: 'COMPLETED' });
    expect(await second.fleet.remove(engine.id)).toBe('EditRemovedEngine');
    await until(async () => (await second.fleet.list()).length === 0);
    expect(await second.fleet.remove(engine.id)).toBe('Engine not found');
    expect(await second.fleet.drain(engine.id, true)).toBe('Engine not found');
  });

  it('gives no engine a second job while others are idle, however many jobs come at the same time', async () => {
    const engines = await Promise.all(Array.from({ length: 40 }, () => startEngine(500)));
    const { rig, fleet } = await start({
      ...(await store()),
      COMFYUI_URL: engines.map(({ url }) => url).join(','),
    });
    await until(async () => (await fleet.list()).filter(({ state }) => state === 'READY').length === 40);
    await submitMany(rig, 20);
    await until(async () => (await heldBy(engines)).filter(jobs => jobs === 1).length === 20);
    // Half of the engines have the models of these, and room in their queues.
    await submitMany(rig, 20);
    await until(async () => (await heldBy(engines)).reduce((sum, jobs) => sum + jobs, 0) === 40);
    expect(await heldBy(engines)).toEqual(engines.map(() => 1));
  });

  it('moves a job that waits behind a long run to an engine that becomes idle', async () => {
    const engines = await Promise.all([startEngine(100), startEngine(100)]);
    const { rig, fleet } = await start({
      ...(await store()),
      COMFYUI_URL: engines.map(({ url }) => url).join(','),
    });
    await until(async () => (await fleet.list()).filter(({ state }) => state === 'READY').length === 2);
    const long = await submit(rig, { steps: 100 });
    const short: string[] = [];
    // Then each engine has one that runs and one that waits behind it.
    for (let n = 0; n < 3; n += 1) short.push(await submit(rig, { steps: 1 }));
    for (const id of short) {
      expect(await waitForEnd(rig.url, id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    }
    expect(await waitUntil(rig.url, long, () => true)).toMatchObject({ status: 'PROCESSING' });
    const logs = await Promise.all(short.map(id => eventsOf(rig, id)));
    expect(logs.filter(events => events.includes('handedBack'))).toHaveLength(1);
    const executed = await Promise.all(engines.map(executedBy));
    expect(executed.toSorted()).toEqual([1, 3]);
  });

  it('lets a job of a higher priority take the place of one that waits behind a run', async () => {
    const engine = await startEngine(50);
    const { rig } = await start({ ...(await store()), COMFYUI_URL: engine.url });
    const running = await submit(rig, { steps: 60 });
    await waitUntil(rig.url, running, ({ status }) => status === 'PROCESSING');
    const low = await submit(rig, { priority: 'low' });
    await until(async () => (await engine.stats()).pending.length === 1);
    const high = await submit(rig, { priority: 'high' });
    for (const id of [running, high, low]) {
      expect(await waitForEnd(rig.url, id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    }
    const order = await rig.graphql<{ jobs: { nodes: { id: string; startedAt: string }[] } }>(
      '{ jobs(first: 3) { nodes { id startedAt } } }',
    );
    const started = (order.data?.jobs.nodes ?? []).toSorted((a, b) => a.startedAt.localeCompare(b.startedAt));
    expect(started.map(({ id }) => id)).toEqual([running, high, low]);
    expect(await eventsOf(rig, low)).toContain('handedBack');
    expect(await executedBy(engine)).toBe(3);
  });

  it('hands the prompts on that a removed engine has not begun, and forgets it when the running one has ended', async () => {
    const { rig, fleet } = await start(await store());
    const old = await startEngine(300);
    await fleet.add(old.url);
    const running = await submit(rig, { steps: 8 });
    await until(async () => (await old.stats()).running !== null);
    const next = await submit(rig, { steps: 1 });
    await until(async () => (await old.stats()).pending.length === 1);
    const other = await startEngine();
    await fleet.add(other.url);

    expect(await fleet.remove(old.id)).toBe('EditRemovedEngine');
    expect(await fleet.stateOf(old.id)).toBe('LEAVING');
    expect(await waitForEnd(rig.url, next)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect((await eventsOf(rig, next)).filter(event => /claimed|handedBack|engineLost/.test(event))).toEqual([
      'claimed',
      'handedBack',
      'claimed',
    ]);
    // The other one still runs, and its engine is still shown and measured.
    expect(await fleet.stateOf(old.id)).toBe('LEAVING');
    expect(await (await fetch(`${rig.url}/metrics`)).text()).toContain(old.id);
    expect(await waitForEnd(rig.url, running)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    await until(async () => (await fleet.stateOf(old.id)) === null);
    expect(await executedBy(old)).toBe(1);
    expect(await executedBy(other)).toBe(1);
    const metrics = await (await fetch(`${rig.url}/metrics`)).text();
    expect(metrics).not.toContain(old.id);
    expect(metrics).toContain(`qwen_edit_engine_state{engine="${other.id}",state="READY"} 1`);
  });

  it('keeps an engine of COMFYUI_URL away that an operator removed, until it is added again', async () => {
    const [kept, removed] = [await startEngine(), await startEngine()];
    const settings = { ...(await store()), COMFYUI_URL: `${kept.url},${removed.url}` };
    const first = await start(settings);
    expect((await first.fleet.list()).map(({ source }) => source)).toEqual(['SETTING', 'SETTING']);
    expect(await first.fleet.remove(removed.id)).toBe('EditRemovedEngine');
    await until(async () => (await first.fleet.stateOf(removed.id)) === null);
    await first.close();
    const second = await start(settings);
    expect((await second.fleet.list()).map(({ id }) => id)).toEqual([kept.id]);
    expect(await second.fleet.add(removed.url)).toBe('EditEngine');
    await expect.poll(() => second.fleet.stateOf(removed.id)).toBe('READY');
    expect(await second.fleet.list()).toMatchObject([{ source: 'SETTING' }, { source: 'SETTING' }]);
  });
});

describe('an address of an engine', () => {
  it('has to be on ENGINE_ALLOW, and to be a plain URL', async () => {
    const engine = await startEngine();
    const closed = await start({ ENGINE_ALLOW: '', COMFYUI_URL: engine.url });
    const port = new URL(engine.url).port;
    expect(await closed.fleet.add('http://127.0.0.1:1')).toBe(
      'url takes the URL of a host that ENGINE_ALLOW has, got 127.0.0.1:1',
    );
    // It is there already.
    expect(await closed.fleet.add(engine.url)).toBe('EditEngine');

    const { fleet } = await start({
      ENGINE_ALLOW: `gpu-1.lan:8188,*.rented.test:8188,10.1.0.0/16,127.0.0.1:${port}`,
    });
    for (const url of [
      'http://gpu-1.lan:8189',
      'http://gpu-2.lan:8188',
      'http://sub.gpu-1.lan:8188',
      'http://169.254.169.254',
      'http://[::ffff:169.254.169.254]',
      'http://localhost:8188',
      // A name is not resolved, wherever it leads.
      `http://localhost:${port}`,
      'http://rented.test:8188',
      'http://a.rented.test:8189',
      'http://a.rented.test.:8188',
      'http://169.254.169.254/.rented.test:8188',
      'http://evil.test\\.rented.test:8188',
      'http://evilrented.test:8188',
    ]) {
      expect(await fleet.add(url)).toMatch(/^url takes the URL of a host that ENGINE_ALLOW has, got /);
    }
    expect(await fleet.add('ftp://gpu-1.lan')).toBe('url takes an http:// or https:// URL');
    expect(await fleet.add('')).toBe('url takes an http:// or https:// URL');
    expect(await fleet.add('http://me:secret@gpu-1.lan:8188')).toBe('url takes a URL without credentials');
    expect(await fleet.add('http://gpu-1.lan:8188/?a=1')).toBe(
      'url takes a URL without a query and a fragment',
    );
    expect(await fleet.add(`http://gpu-1.lan:8188/${'x'.repeat(500)}`)).toBe(
      'url takes at most 500 characters',
    );
    expect(await fleet.list()).toEqual([]);
    expect(await fleet.add('http://gpu-1.lan:8188')).toBe('EditEngine');
    expect(await fleet.add('http://a.b.rented.test:8188')).toBe('EditEngine');
    expect(await fleet.add('https://gpu-1.lan:8188')).toBe(
      'url takes another URL: http://gpu-1.lan:8188 is in the fleet',
    );
  });

  it('is used by no gateway whose ENGINE_ALLOW does not have it', async () => {
    const engine = await startEngine();
    const settings = await shared();
    const open = await start(settings);
    const closed = await start({ ...settings, ENGINE_ALLOW: '10.0.0.0/8' });
    expect(await open.fleet.add(engine.url)).toBe('EditEngine');
    await expect.poll(() => open.fleet.stateOf(engine.id)).toBe('READY');
    expect(await waitForEnd(open.rig.url, await submit(closed.rig))).toMatchObject({ status: 'COMPLETED' });
    expect(await closed.fleet.list()).toEqual([]);
  });
});

describe('two gateways of a Redis', () => {
  it('give no engine a second job while engines of either are idle', async () => {
    const settings = await shared();
    const engines = await Promise.all(Array.from({ length: 40 }, () => startEngine(500)));
    const urls = engines.map(({ url }) => url);
    const [a, b] = [
      await start({ ...settings, COMFYUI_URL: urls.slice(0, 20).join(',') }),
      await start({ ...settings, COMFYUI_URL: urls.slice(20).join(',') }),
    ];
    const ready = async ({ fleet }: typeof a): Promise<boolean> =>
      (await fleet.list()).filter(({ state }) => state === 'READY').length === 20;
    await until(async () => (await ready(a)) && (await ready(b)));
    for (const total of [20, 40]) {
      await submitMany(a.rig, 20);
      await until(async () => (await heldBy(engines)).reduce((sum, jobs) => sum + jobs, 0) === total);
    }
    expect(await heldBy(engines)).toEqual(engines.map(() => 1));
  });

  it('move a job that waits behind a long run to an engine of the other that becomes idle', async () => {
    const engines = [await startEngine(100), await startEngine(100)] as const;
    const settings = { ...(await shared()), LANES_PER_ENGINE: '2' };
    const { rig, fleet } = await start({ ...settings, COMFYUI_URL: engines[0].url });
    const other = await start({ ...settings, COMFYUI_URL: engines[1].url });
    for (const { list } of [fleet, other.fleet]) {
      await until(async () => (await list()).some(({ state }) => state === 'READY'));
    }
    const long = await submit(rig, { steps: 100 });
    await waitUntil(rig.url, long, ({ status }) => status === 'PROCESSING');
    const middle = await submit(rig, { steps: 30 });
    await waitUntil(rig.url, middle, ({ status }) => status === 'PROCESSING');
    // Each engine has one that runs and one that waits behind it.
    const short = [await submit(rig, { steps: 1 }), await submit(rig, { steps: 1 })];
    await until(async () => (await heldBy(engines)).every(jobs => jobs === 2));
    for (const id of [middle, ...short]) {
      expect(await waitForEnd(rig.url, id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    }
    expect(await waitUntil(rig.url, long, () => true)).toMatchObject({ status: 'PROCESSING' });
    const logs = await Promise.all(short.map(id => eventsOf(rig, id)));
    expect(logs.filter(events => events.includes('handedBack'))).toHaveLength(1);
    expect((await Promise.all(engines.map(executedBy))).toSorted()).toEqual([1, 3]);
  }, 60_000);

  it('see within a second which engines were added, drained and removed through the other', async () => {
    const settings = await shared();
    const [a, b] = [await start(settings), await start(settings)];
    const within = { timeout: 1_000, interval: 20 };
    const engine = await startEngine(200);
    await a.fleet.add(engine.url);
    await expect.poll(() => b.fleet.stateOf(engine.id), within).not.toBeNull();
    await b.fleet.drain(engine.id, true);
    await expect.poll(() => a.fleet.stateOf(engine.id), within).toBe('DRAINED');
    await a.fleet.drain(engine.id, false);
    await expect.poll(() => b.fleet.stateOf(engine.id)).toBe('READY');

    // Whichever gateway has the lane, the other one's removal ends it after the job.
    const running = await submit(a.rig, { steps: 12 });
    await until(async () => (await engine.stats()).running !== null);
    await b.fleet.remove(engine.id);
    await expect.poll(() => a.fleet.stateOf(engine.id), within).toBe('LEAVING');
    const late = await submit(b.rig);
    expect(await waitForEnd(b.rig.url, running)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    await until(async () => (await a.fleet.list()).length + (await b.fleet.list()).length === 0);
    expect(await executedBy(engine)).toBe(1);
    const another = await startEngine();
    await b.fleet.add(another.url);
    expect(await waitForEnd(a.rig.url, late)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  });
});

describe('a job that waits behind a run when an engine joins', () => {
  it.each([
    ['moves there', [], { old: 1, joined: 1 }],
    [
      'stays where the engine does not say what is in its queue',
      [{ method: 'GET', path: /^\/(queue|history)/, status: 403 }],
      { old: 2, joined: 0 },
    ],
  ])('%s', async (_what, answers, executed) => {
    const old = await startEngine(50);
    const proxy = await startHabitProxy(old.url, { answers });
    closers.push(() => proxy.stop());
    const settings = { ...(await folder()), COMFYUI_URL: proxy.url, MODEL_PATIENCE: '0s', WATCHDOG: '30s' };
    const { rig, fleet } = await start(settings);
    const long = await submit(rig, { steps: 60 });
    await waitUntil(rig.url, long, ({ status }) => status === 'PROCESSING');
    const short = await submit(rig, { steps: 1 });
    await until(async () => (await old.stats()).pending.length === 1);
    const joined = await startEngine();
    await fleet.add(joined.url);
    for (const id of [short, long]) {
      expect(await waitForEnd(rig.url, id)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    }
    expect({ old: await executedBy(old), joined: await executedBy(joined) }).toEqual(executed);
  });
});
