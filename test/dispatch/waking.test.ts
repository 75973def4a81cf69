import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it, type TestContext } from 'vitest';
import { z } from 'zod';
import { startTestEngine } from '../support/comfyui/sandbox.ts';
import { MODELS, workflowPerModel } from '../support/comfyui/workflow-per-model.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { recordLog } from '../support/log.ts';
import { type Answering, type Receiver, startReceiver } from '../support/receiver.ts';
import { as, fetchJson, postJson, submit } from '../support/requests.ts';
import { startRedis } from '../support/stores/redis.ts';
import { eventually, waitForEnd } from '../support/watch.ts';

const KEY = 'qee_engine';
const ENGINE_KEYS = `rented:sha256$${createHash('sha256').update(KEY).digest('hex')}`;
const SECRET = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;
const HOUR = '1h';
const SCRIPT = fileURLToPath(new URL('../../deploy/comfyui/scale.py', import.meta.url));

/** The URL of a Redis for one test. */
async function redisUrl(context: TestContext): Promise<string> {
  const redis = await startRedis();
  context.onTestFinished(() => redis.stop());
  return redis.url;
}

async function receive(context: TestContext, answer?: Answering): Promise<Receiver> {
  const receiver = await startReceiver(answer);
  context.onTestFinished(() => receiver.close());
  return receiver;
}

const event = z.object({
  type: z.string(),
  timestamp: z.iso.datetime(),
  data: z.looseObject({ since: z.iso.datetime(), call: z.number() }),
});

/** The events that a receiver got, with the ids of their needs, whose signatures are valid. */
function eventsOf({ received }: Receiver) {
  return received.map(({ headers, body }) => {
    const signed = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
    return { id: signed['webhook-id'], ...event.parse(new Webhook(SECRET).verify(body, signed)) };
  });
}

async function start(context: TestContext, settings: Record<string, string>, log = recordLog()) {
  const rig = await startRig(
    {
      ENGINE_KEYS,
      ENGINE_ALLOW: '127.0.0.1',
      ENGINE_PROBE: '300ms',
      ENGINE_WAKE_SECRET: SECRET,
      ENGINE_WAKE_REPEAT: HOUR,
      ENGINE_IDLE: HOUR,
      ...settings,
    },
    log,
  );
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= rig.close();
    return closing;
  };
  context.onTestFinished(close);
  return { rig, log, close };
}

async function joinFleet(
  context: TestContext,
  rig: Rig,
  missingModels: readonly string[] = [],
): Promise<{ id: string; leave: () => Promise<void> }> {
  const engine = await startTestEngine({ stepMs: 5, missingModels });
  context.onTestFinished(() => engine.stop());
  const id = new URL(engine.url).host;
  const { status } = await postJson(`${rig.url}/engines`, { url: engine.url, ttl_seconds: 60 }, as(KEY));
  expect(status).toBe(201);
  return {
    id,
    async leave() {
      const answer = await fetch(`${rig.url}/engines/${id}`, { method: 'DELETE', headers: as(KEY) });
      expect(answer.status).toBe(200);
    },
  };
}

const waitingFor = async (rig: Rig, id: string) =>
  Object((await fetchJson(`${rig.url}/status/${id}`)).body).waiting_for;

describe.concurrent.each(['embedded', 'redis'] as const)('scale to zero: %s', kind => {
  async function store(context: TestContext): Promise<Record<string, string>> {
    const dir = await mkdtemp(join(tmpdir(), 'waking-'));
    context.onTestFinished(() => rm(dir, { recursive: true, force: true }));
    return { DATA_DIR: dir, ...(kind === 'redis' ? { REDIS_URL: await redisUrl(context) } : {}) };
  }

  it('calls for an engine when a job waits, says so, and tells when engines are idle', async context => {
    const receiver = await receive(context);
    const settings = { ...(await store(context)), ENGINE_WAKE_URL: receiver.url, ENGINE_IDLE: '1s' };
    const { rig } = await start(context, settings);
    const ids = [await submit(rig), await submit(rig)];
    const first = ids[0] ?? '';
    expect((await waitingFor(rig, first)).code).toBe('no_engines');
    await receiver.heard(1);
    const [call] = eventsOf(receiver);
    expect(call).toMatchObject({
      type: 'engines.wanted',
      data: { reason: 'no_engine_ready', call: 1, waiting: 2 },
    });
    expect(call?.id).toMatch(/^need_[0-9a-f-]{36}$/);
    expect(call?.data.oldest_seconds).toBeGreaterThanOrEqual(2);
    expect(call?.data.workflows).toEqual([expect.any(String)]);
    const reason = await eventually(
      () => waitingFor(rig, first),
      wait => wait.code === 'engine_requested',
    );
    expect(reason.message).toMatch(/^An engine was requested at .* UTC and is starting$/);

    const engine = await joinFleet(context, rig);
    for (const id of ids) expect(await waitForEnd(rig.url, id)).toMatchObject({ status: 'COMPLETED' });
    await receiver.heard(2);
    const [, idle] = eventsOf(receiver);
    expect(idle).toMatchObject({ type: 'engines.idle', data: { call: 1, engines: [engine.id] } });
    const since = Date.parse(idle?.data.since ?? '');
    expect(Date.parse(idle?.timestamp ?? '') - since).toBeGreaterThanOrEqual(1_000);

    // It is stopped, and wanted again: another need.
    await engine.leave();
    await submit(rig);
    await receiver.heard(3);
    const [, , again] = eventsOf(receiver);
    expect(again).toMatchObject({ type: 'engines.wanted', data: { call: 1, waiting: 1 } });
    expect(new Set([call?.id, idle?.id, again?.id]).size).toBe(3);
  });

  it('repeats a call that fails, with the same id, until it is accepted or not needed, also after a restart', async context => {
    const receiver = await receive(context, n => (n < 2 ? 503 : 204));
    const settings = {
      ...(await store(context)),
      ENGINE_WAKE_URL: `${receiver.url}?token=hidden`,
      WEBHOOK_RETRY: '100ms',
    };
    const one = await start(context, settings);
    const id = await submit(one.rig);
    await receiver.heard(3);
    await eventually(
      () => waitingFor(one.rig, id),
      wait => wait.code === 'engine_requested',
    );
    const calls = eventsOf(receiver);
    const scraped = await (await fetch(`${one.rig.url}/metrics`)).text();
    const counted = (response: string) =>
      new RegExp(
        `^qwen_edit_engine_calls_total{event="engines.wanted",reason="no_engine_ready",response="${response}"} (.*)$`,
        'm',
      ).exec(scraped)?.[1];
    expect([counted('5xx'), counted('2xx'), counted('none')]).toEqual(['2', '1', '0']);
    expect(calls.map(({ data }) => data.call)).toEqual([1, 2, 3]);
    expect(new Set(calls.map(call => call.id)).size).toBe(1);
    expect(one.log.has('warn', 'could not call for engines')).toBe(true);
    expect(JSON.stringify(one.log.lines)).not.toMatch(/hidden|whsec_|CQkJ/);
    await one.close();

    const two = await start(context, settings);
    await eventually(
      () => waitingFor(two.rig, id),
      wait => wait.code === 'engine_requested',
    );
    expect(receiver.received).toHaveLength(3);
  });
});

describe.concurrent('engines that are ready, without the model that jobs need', () => {
  it('are no reason to wait for others: an engine is called for by workflow and model, a few times', async context => {
    const receiver = await receive(context);
    const perModel = await workflowPerModel();
    context.onTestFinished(() => perModel.remove());
    const { rig } = await start(context, {
      WORKFLOWS_DIR: perModel.folder,
      ENGINE_WAKE_URL: receiver.url,
      ENGINE_WAKE_REPEAT: '100ms',
    });
    await joinFleet(context, rig, [MODELS[1], MODELS[2]]);
    const edit = (workflow: string): Promise<string> => submit(rig, { workflow, steps: 1 });
    const first = await edit('model-1');
    expect(await waitForEnd(rig.url, await edit('model-0'))).toMatchObject({ status: 'COMPLETED' });
    await receiver.heard(1);
    const [call] = eventsOf(receiver);
    expect(call).toMatchObject({
      type: 'engines.wanted',
      data: { reason: 'no_engine_fits', call: 1, waiting: 1, workflows: ['model-1'] },
    });
    expect(call?.data.models).toContainEqual({
      folder: 'diffusion_models',
      file: MODELS[1],
      alternatives: expect.any(Array),
    });
    const wait = await eventually(
      () => waitingFor(rig, first),
      ({ code }) => code === 'engine_requested',
    );
    expect(wait.message).toMatch(/^An engine that can run the workflow model-1 was requested at .* UTC$/);

    // After three accepted calls the next is for another workflow: each further one would come within a second.
    await receiver.heard(3);
    const second = await edit('model-2');
    await receiver.heard(4);
    const calls = eventsOf(receiver);
    expect(calls.map(({ data }) => data.call)).toEqual([1, 2, 3, 1]);
    expect(calls[3]?.data).toMatchObject({ waiting: 2, workflows: ['model-1', 'model-2'] });
    expect(calls[3]?.id).not.toBe(call?.id);

    await joinFleet(context, rig);
    for (const id of [first, second]) {
      expect(await waitForEnd(rig.url, id)).toMatchObject({ status: 'COMPLETED' });
    }
  }, 60_000);
});

describe.concurrent('deploy/comfyui/scale.py', () => {
  it('runs a command once for each need, and takes no call that is not signed', async context => {
    const dir = await mkdtemp(join(tmpdir(), 'waking-'));
    context.onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const [started, tries] = [join(dir, 'started'), join(dir, 'tries')];
    const child = spawn('python3', [SCRIPT], {
      env: {
        ...process.env,
        PORT: '0',
        ENGINE_WAKE_SECRET: SECRET,
        // Fails at first.
        START: `echo x >> ${tries}; test $(wc -l < ${tries}) = 2 && printf %s "$CALL" > ${started}`,
        STOP: 'false',
      },
    });
    context.onTestFinished(async () => {
      child.kill();
      await once(child, 'exit');
    });
    const [line] = await once(child.stdout, 'data');
    const url = /http:\S+/.exec(String(line))?.[0] ?? '';
    const forged = await fetch(url, { method: 'POST', body: '{"type":"engines.wanted"}' });
    expect(forged.status).toBe(401);

    const { rig, log } = await start(context, { ENGINE_WAKE_URL: url, ENGINE_WAKE_REPEAT: '100ms' });
    await submit(rig);
    const call = await eventually(
      () => readFile(started, 'utf8').catch(() => ''),
      text => text !== '',
    );
    expect(JSON.parse(call)).toMatchObject({ type: 'engines.wanted', data: { call: 2, waiting: 1 } });
    const calls = () => log.lines.filter(({ message }) => message === 'called for engines').length;
    await eventually(
      async () => calls(),
      count => count >= 3,
    );
    expect(await readFile(tries, 'utf8')).toBe('x\nx\n');
  });
});

describe.concurrent('two gateways of a Redis', () => {
  it('make each call together, and one more when the first gets no answer', async context => {
    const receiver = await receive(context, n => (n === 0 ? 'silent' : 204));
    const dir = await mkdtemp(join(tmpdir(), 'waking-'));
    context.onTestFinished(() => rm(dir, { recursive: true, force: true }));
    const settings = {
      DATA_DIR: dir,
      REDIS_URL: await redisUrl(context),
      ENGINE_WAKE_URL: receiver.url,
      WEBHOOK_TIMEOUT: '1s',
      WEBHOOK_RETRY: '100ms',
      ENGINE_IDLE: '2s',
    };
    const [a, b] = await Promise.all([start(context, settings), start(context, settings)]);
    const id = await submit(a.rig);
    for (const { rig } of [a, b]) {
      await eventually(
        () => waitingFor(rig, id),
        wait => wait.code === 'engine_requested',
      );
    }
    expect(eventsOf(receiver).map(({ data }) => data.call)).toEqual([1, 2]);
    await joinFleet(context, b.rig);
    expect(await waitForEnd(a.rig.url, id)).toMatchObject({ status: 'COMPLETED' });
    await receiver.heard(3);
    expect(eventsOf(receiver).map(({ type }) => type)).toEqual([
      'engines.wanted',
      'engines.wanted',
      'engines.idle',
    ]);
  });
});
