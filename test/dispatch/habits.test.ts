import { describe, expect, it, type TestContext } from 'vitest';
import { z } from 'zod';
import type { SandboxOptions } from '../../src/sandbox/server.ts';
import { type HabitProxy, type Habits, startHabitProxy } from '../support/comfyui/habits.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { fetchJson, postGraphQL, submit } from '../support/requests.ts';
import { samplesOf } from '../support/scrape.ts';
import { type Snapshot, waitForEnd, waitUntil, watchOverSse } from '../support/watch.ts';

interface Stage {
  readonly rig: Rig;
  readonly engine: TestEngine;
  readonly proxy: HabitProxy;
}

/** A gateway in front of a sandbox behind a proxy with habits, until the test ends. */
async function start(
  { onTestFinished }: TestContext,
  habits: Partial<Habits>,
  options: SandboxOptions = {},
  settings: Record<string, string> = {},
): Promise<Stage> {
  const engine = await startTestEngine({ stepMs: 20, ...options });
  onTestFinished(() => engine.stop());
  const proxy = await startHabitProxy(engine.url, habits);
  onTestFinished(() => proxy.stop());
  const rig = await startRig({
    COMFYUI_URL: proxy.url,
    WATCHDOG: '200ms',
    ENGINE_GRACE: '1s',
    ENGINE_PROBE: '300ms',
    ...settings,
  });
  onTestFinished(() => rig.close());
  return { rig, engine, proxy };
}

/** The end is known by events alone: a look that comes before them, on a busy machine, would find nothing. */
const HEARD = { WATCHDOG: '10s' };

const edit = (rig: Rig, steps = 5): Promise<string> => submit(rig, { steps });

const debugged = z.object({
  events: z.array(z.object({ event: z.string(), detail: z.string().nullable() })),
});

async function eventsOf(rig: Rig, id: string): Promise<{ event: string; detail: string | null }[]> {
  return debugged.parse((await fetchJson(`${rig.url}/debug/job/${id}`)).body).events;
}

const engineList = z.object({
  engines: z.array(z.object({ state: z.string(), reason: z.string().nullable(), live: z.boolean() })),
});

async function engineOf(rig: Rig) {
  const { data } = await postGraphQL(rig.url, '{ engines { state reason live } }');
  return engineList.parse(data).engines[0];
}

async function executions(engine: TestEngine): Promise<number[]> {
  return Object.values((await engine.stats()).executed);
}

/** How often a look at the engine found something that nothing had told, by what it found. */
async function reconciliations(rig: Rig): Promise<Record<string, number>> {
  const samples = Object.entries(await samplesOf(rig, 'qwen_edit_reconciliations_total'));
  return Object.fromEntries(
    samples.map(([labels, value]) => [/found="(\w+)"/.exec(labels)?.[1] ?? labels, value]),
  );
}

const expectDone = (job: Snapshot): void =>
  expect(job).toMatchObject({ status: 'COMPLETED', attempt: 1, progress: 100 });

describe.concurrent('an engine whose history does not tell the end', () => {
  it.for<[string, Partial<Habits>]>([
    ['is empty', { emptyHistory: true }],
    ['is forbidden', { answers: [{ method: 'GET', path: /^\/history/, status: 403 }] }],
    ['is not found', { answers: [{ method: 'GET', path: /^\/history/, status: 404 }] }],
    ['fails', { answers: [{ method: 'GET', path: /^\/history/, status: 500 }] }],
    ['cannot be read, nor the queue', { answers: [{ path: /^\/(history|queue)/, status: 403 }] }],
  ])(
    'because it %s: the images that events named are fetched, and the prompt runs once',
    async ([, habits], context) => {
      const { rig, engine } = await start(context, habits, {}, HEARD);
      const id = await edit(rig);
      expectDone(await waitForEnd(rig.url, id));
      expect(await executions(engine)).toEqual([1]);
      expect((await fetch(`${rig.url}/download/${id}`)).status).toBe(200);
    },
  );

  it('fails a job with the reason that an event told', async context => {
    const { rig, engine } = await start(context, { emptyHistory: true }, {}, HEARD);
    await engine.fault({ failNode: { class: 'VAEDecode', message: 'tensor mismatch' } });
    expect(await waitForEnd(rig.url, await edit(rig))).toMatchObject({
      status: 'ERROR',
      attempt: 1,
      error: { code: 'EXECUTION_FAILED', message: 'The node VAEDecode failed: tensor mismatch' },
    });
  });

  it('and whose events were lost: the image is found by its name', async context => {
    const { rig, engine } = await start(context, { emptyHistory: true });
    await engine.fault({ loseEvents: ['executed', 'execution_success', 'executing_null'] });
    expectDone(await waitForEnd(rig.url, await edit(rig)));
    expect(await executions(engine)).toEqual([1]);
    expect(await reconciliations(rig)).toEqual({ images: 1 });
  });

  it('nor events nor files: the job runs again, and no one says that the engine was restarted', async context => {
    const { rig, engine } = await start(context, {
      emptyHistory: true,
      answers: [{ path: /^\/view/, status: 404 }],
    });
    await engine.fault({ loseEvents: ['executed', 'execution_success', 'executing_null'] });
    const id = await edit(rig);
    const job = await waitForEnd(rig.url, id);
    expect(job).toMatchObject({ status: 'ERROR', attempt: 3, error: { code: 'ENGINE_LOST' } });
    expect(job.error?.message).toMatch(/neither the queue nor the history of the engine has the prompt/);
    expect(JSON.stringify(await eventsOf(rig, id))).not.toContain('restarted');
  });

  it('says that the engine was restarted when it was', async context => {
    const { rig, engine } = await start(context, {});
    // Long enough to be running yet when the restart comes.
    const id = await edit(rig, 100);
    await waitUntil(rig.url, id, ({ step }) => (step ?? 0) >= 2);
    await engine.fault({ restart: true, restartMs: 200 });
    expect(await waitForEnd(rig.url, id)).toMatchObject({ status: 'COMPLETED', attempt: 2 });
    expect(await eventsOf(rig, id)).toContainEqual({
      event: 'engineLost',
      detail: 'the engine no longer knows the prompt: it was restarted',
    });
  });
});

describe.concurrent('images that cannot be fetched', () => {
  it('at first: they are fetched again, and the prompt runs once', async context => {
    const { rig, engine, proxy } = await start(
      context,
      { answers: [{ path: /^\/view/, status: 502, times: 4 }] },
      {},
      { ENGINE_GRACE: '10s' },
    );
    expectDone(await waitForEnd(rig.url, await edit(rig)));
    expect(await executions(engine)).toEqual([1]);
    expect(proxy.requests.filter(request => request === 'GET /view')).toHaveLength(5);
  });

  it('at all: the job ends after three runs and says what happened', async context => {
    const { rig } = await start(context, { answers: [{ path: /^\/view/, status: 502 }] });
    const job = await waitForEnd(rig.url, await edit(rig, 1));
    expect(job).toMatchObject({
      status: 'ERROR',
      attempt: 3,
      error: {
        code: 'ENGINE_LOST',
        message:
          'Given up after 3 lost runs; the last one: its images could not be fetched for 1 s: GET /view answered 502',
      },
    });
  });

  it('can be given up by a cancel', async context => {
    const { rig, proxy } = await start(
      context,
      { answers: [{ path: /^\/view/, status: 502 }] },
      {},
      { ENGINE_GRACE: '1h' },
    );
    const id = await edit(rig, 1);
    await context.expect.poll(() => proxy.requests.includes('GET /view')).toBe(true);
    expect((await fetch(`${rig.url}/jobs/${id}`, { method: 'DELETE' })).status).toBe(200);
  });
});

describe.concurrent('an engine whose WebSocket does not open', () => {
  it.for<[string, Habits['webSockets']]>([
    ['is forbidden', { status: 403 }],
    ['is cut', 'reset'],
    ['gets no answer', 'silence'],
  ])(
    'because it %s: jobs are followed by polling, and the engine stays READY',
    async ([, webSockets], context) => {
      const { rig, engine } = await start(context, { webSockets }, { stepMs: 40 });
      await context.expect.poll(async () => (await engineOf(rig))?.state).toBe('READY');
      const states = new Set<string | undefined>();
      // Long enough for a poll to find it running.
      const id = await edit(rig, 40);
      const snapshots = await watchOverSse(rig.url, id, async () => {
        states.add((await engineOf(rig))?.state);
      });
      const job = snapshots.at(-1);
      expect(job).toMatchObject({ status: 'COMPLETED', attempt: 1 });
      expect(snapshots.some(({ status }) => status === 'PROCESSING')).toBe(true);
      expect(snapshots.every(({ step, preview }) => step === null && preview === null)).toBe(true);
      expect([...states]).toEqual(['READY']);
      expect(await executions(engine)).toEqual([1]);
      expect(await reconciliations(rig)).toMatchObject({ end: 1 });
      expect(await eventsOf(rig, id)).toContainEqual({
        event: 'started',
        detail: 'no events of the engine arrive: no steps and no previews',
      });
    },
  );

  it('says so, and is used again as soon as it opens', async context => {
    const { rig, proxy } = await start(context, { webSockets: { status: 502 } }, { stepMs: 40 });
    await context.expect
      .poll(() => engineOf(rig))
      .toEqual({
        state: 'READY',
        reason: expect.stringMatching(
          /^its WebSocket does not open: .*502.*; jobs run without steps and previews$/,
        ),
        live: false,
      });
    const id = await edit(rig, 100);
    const blind = await waitUntil(rig.url, id, ({ status }) => status === 'PROCESSING');
    expect(blind.step).toBeNull();
    expect(await reconciliations(rig)).toEqual({ start: 1 });
    expect(await liveOf(rig, id)).toBe(false);
    proxy.adopt({ webSockets: null });
    // The running job gets its events, and so does the next.
    await waitUntil(rig.url, id, ({ step }) => step !== null);
    await context.expect.poll(() => liveOf(rig, id)).toBe(true);
    await context.expect.poll(() => engineOf(rig)).toEqual({ state: 'READY', reason: null, live: true });
    await fetch(`${rig.url}/jobs/${id}`, { method: 'DELETE' });
    const next = await watchOverSse(rig.url, await edit(rig, 20));
    expect(next.some(({ step }) => step !== null)).toBe(true);
    expect(next.some(({ preview }) => preview !== null)).toBe(true);
  });

  it('can be canceled, and a slow run without events is not taken for one without progress', async context => {
    const { rig, engine } = await start(
      context,
      { webSockets: 'reset' },
      { stepMs: 60 },
      { STALL_TIMEOUT: '500ms' },
    );
    expectDone(await waitForEnd(rig.url, await edit(rig, 25)));
    const id = await edit(rig, 100);
    await waitUntil(rig.url, id, ({ status }) => status === 'PROCESSING');
    expect((await fetch(`${rig.url}/jobs/${id}`, { method: 'DELETE' })).status).toBe(200);
    await context.expect.poll(async () => (await engine.stats()).running).toBeNull();
  });
});

async function liveOf(rig: Rig, id: string): Promise<unknown> {
  const { data } = await postGraphQL(rig.url, 'query ($id: ID!) { job(id: $id) { live } }', { id });
  return z.object({ job: z.object({ live: z.boolean().nullable() }) }).parse(data).job.live;
}

describe.concurrent('an engine that numbers its prompts itself', () => {
  it('runs a job once, with steps and previews, and the job has the engine’s id', async context => {
    const { rig, engine, proxy } = await start(context, { ownPromptIds: true });
    const id = await edit(rig, 10);
    const snapshots = await watchOverSse(rig.url, id);
    expect(snapshots.at(-1)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(snapshots.some(({ step }) => (step ?? 0) > 2)).toBe(true);
    expect(snapshots.some(({ preview }) => preview !== null)).toBe(true);
    expect(await executions(engine)).toEqual([1]);
    expect((await fetchJson(`${rig.url}/status/${id}`)).body.prompt_id).toBe(proxy.promptIds[0]);
  });

  it.for(['legacy', '0.8.0'] as const)('stops only our prompt on a cancel (%s)', async (version, context) => {
    const { rig, engine, proxy } = await start(context, { ownPromptIds: true }, { version, stepMs: 200 });
    const running = await edit(rig, 100);
    await waitUntil(rig.url, running, ({ step }) => (step ?? 0) > 1);
    const waiting = await edit(rig, 100);
    await context.expect.poll(async () => (await engine.stats()).pending.length).toBe(1);
    expect((await fetch(`${rig.url}/jobs/${waiting}`, { method: 'DELETE' })).status).toBe(200);
    expect((await engine.stats()).pending).toEqual([]);
    expect((await engine.stats()).running).toBe(proxy.promptIds[0]);
    expect((await fetch(`${rig.url}/jobs/${running}`, { method: 'DELETE' })).status).toBe(200);
    expect((await engine.stats()).running).toBeNull();
  });

  it('is not given a prompt twice when its answer was lost', async context => {
    const { rig, engine } = await start(context, { ownPromptIds: true, losePromptAnswers: 1 });
    expectDone(await waitForEnd(rig.url, await edit(rig)));
    expect(await executions(engine)).toEqual([1]);
  });

  it('is not given one twice when its answer was lost and the prompt ended before it was looked for', async context => {
    const { rig, engine } = await start(context, { ownPromptIds: true, losePromptAnswers: 1 }, { stepMs: 0 });
    expectDone(await waitForEnd(rig.url, await edit(rig, 1)));
    expect(await executions(engine)).toEqual([1]);
  });
});

describe.concurrent('an engine that rejects some requests', () => {
  it('POST /prompt for ever: the job ends after a few tries and says why, and the engine is not asked to run it', async context => {
    const { rig, engine } = await start(context, {
      answers: [{ method: 'POST', path: /^\/prompt/, status: 403 }],
    });
    const job = await waitForEnd(rig.url, await edit(rig));
    expect(job).toMatchObject({ status: 'ERROR', attempt: 0, error: { code: 'ENGINE_LOST' } });
    expect(job.error?.message).toBe('Given up after 3 lost runs; the last one: POST /prompt answered 403');
    expect((await engine.stats()).prompts).toBe(0);
  });

  it('POST /prompt with 502 once, although it took the prompt: it is found, and runs once', async context => {
    const { rig, engine } = await start(context, { spoilPromptAnswers: 1 });
    expectDone(await waitForEnd(rig.url, await edit(rig)));
    expect(await executions(engine)).toEqual([1]);
    expect(await reconciliations(rig)).toMatchObject({ prompt: 1 });
  });

  it.for([500, 503])('POST /upload/image with %i a few times: it is sent again', async (status, context) => {
    const { rig, proxy } = await start(
      context,
      { answers: [{ path: /^\/upload/, status, times: 3 }] },
      {},
      { ENGINE_GRACE: '10s' },
    );
    expectDone(await waitForEnd(rig.url, await edit(rig)));
    expect(proxy.requests.filter(request => request === 'POST /upload/image')).toHaveLength(4);
  });

  it('POST /upload/image because the image is too large: the job says so', async context => {
    const { rig, proxy } = await start(context, { answers: [{ path: /^\/upload/, status: 413 }] });
    const job = await waitForEnd(rig.url, await edit(rig));
    expect(job).toMatchObject({ status: 'ERROR', error: { code: 'INPUT_TOO_LARGE' } });
    expect(job.error?.message).toMatch(/^The engine does not take input image 1: \d+ bytes are too many$/);
    expect(proxy.requests.filter(request => request === 'POST /upload/image')).toHaveLength(1);
  });

  it('GET /object_info for a while: it is DOWN with the reason, then READY, and its jobs complete', async context => {
    const { rig } = await start(context, { answers: [{ path: /^\/object_info/, status: 500, times: 20 }] });
    const id = await edit(rig);
    await context.expect
      .poll(() => engineOf(rig), { interval: 20 })
      .toMatchObject({ state: 'DOWN', reason: 'GET /object_info answered 500' });
    expectDone(await waitForEnd(rig.url, id));
  });

  it('GET /queue: a cancel still stops the prompt', async context => {
    const { rig, engine } = await start(
      context,
      { answers: [{ method: 'GET', path: /^\/queue/, status: 403 }] },
      { stepMs: 40 },
    );
    const id = await edit(rig, 100);
    await waitUntil(rig.url, id, ({ step }) => (step ?? 0) > 1);
    expect((await fetch(`${rig.url}/jobs/${id}`, { method: 'DELETE' })).status).toBe(200);
    await context.expect.poll(async () => (await engine.stats()).running).toBeNull();
  });

  it('POST /queue: a cancel still interrupts the prompt', async context => {
    const { rig, engine } = await start(
      context,
      { answers: [{ method: 'POST', path: /^\/queue/, status: 403 }] },
      { stepMs: 40 },
    );
    const id = await edit(rig, 100);
    await waitUntil(rig.url, id, ({ step }) => (step ?? 0) > 1);
    expect((await fetch(`${rig.url}/jobs/${id}`, { method: 'DELETE' })).status).toBe(200);
    await context.expect.poll(async () => (await engine.stats()).running).toBeNull();
  });

  it('POST /interrupt: the job is canceled in bounded time, and the engine is set aside until its prompt ends', async context => {
    const { rig, engine } = await start(
      context,
      { answers: [{ path: /^\/interrupt/, status: 404 }] },
      { stepMs: 60 },
      { STOP_TIMEOUT: '500ms' },
    );
    const id = await edit(rig, 100);
    await waitUntil(rig.url, id, ({ step }) => (step ?? 0) > 1);
    const { data } = await postGraphQL(
      rig.url,
      'mutation ($id: ID!) { cancelJob(id: $id) { ... on EditJob { status } } }',
      { id },
    );
    expect(data).toEqual({ cancelJob: { status: 'CANCELED' } });
    await context.expect
      .poll(() => engineOf(rig))
      .toMatchObject({
        state: 'SET_ASIDE',
        reason: 'still has a prompt that it was told to stop',
      });
    expectDone(await waitForEnd(rig.url, await edit(rig)));
    expect(Object.values((await engine.stats()).completed)).toEqual([1, 1]);
  });
});
