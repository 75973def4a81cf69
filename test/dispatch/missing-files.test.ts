import { describe, expect, it, type TestContext } from 'vitest';
import { z } from 'zod';
import { type Habits, startHabitProxy } from '../support/comfyui/habits.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { fetchJson, submit } from '../support/requests.ts';
import { samplesOf } from '../support/scrape.ts';
import { waitForEnd, waitUntil } from '../support/watch.ts';

/** Nothing but the runs themselves finds out that an engine was restarted: after the first probe there is none for an hour. */
const BLIND = { WATCHDOG: '200ms', ENGINE_GRACE: '5s', ENGINE_PROBE: '1h' };

/** A gateway in front of sandboxes, each behind a proxy with habits. */
async function start(
  context: TestContext,
  habits: readonly Partial<Habits>[],
  settings: Record<string, string> = {},
): Promise<{ rig: Rig; engine: TestEngine; engines: TestEngine[] }> {
  const engines: TestEngine[] = [];
  const urls: string[] = [];
  for (const own of habits) {
    const engine = await startTestEngine({ stepMs: 5 });
    context.onTestFinished(() => engine.stop());
    const proxy = await startHabitProxy(engine.url, own);
    context.onTestFinished(() => proxy.stop());
    engines.push(engine);
    urls.push(proxy.url);
  }
  const rig = await startRig({ COMFYUI_URL: urls.join(','), ...BLIND, ...settings });
  context.onTestFinished(() => rig.close());
  const [engine] = engines;
  if (engine === undefined) throw new Error('no engine');
  return { rig, engine, engines };
}

const edit = (rig: Rig, steps = 2): Promise<string> => submit(rig, { steps });

const debugged = z.object({
  events: z.array(z.object({ event: z.string(), detail: z.string().nullable() })),
});

async function eventsOf(rig: Rig, id: string): Promise<{ event: string; detail: string | null }[]> {
  return debugged.parse((await fetchJson(`${rig.url}/debug/job/${id}`)).body).events;
}

/** The job ran `attempts` times, completed, and its image is there. */
async function expectDone(rig: Rig, id: string, attempts: number): Promise<void> {
  expect(await waitForEnd(rig.url, id)).toMatchObject({
    status: 'COMPLETED',
    attempt: attempts,
    error: null,
  });
  expect((await fetch(`${rig.url}/download/${id}`)).status).toBe(200);
}

/** The new machine was not believed to have the input image: it got that again before it was sent the prompt. */
async function expectUploadedAnew(rig: Rig, engine: TestEngine, id: string): Promise<void> {
  expect((await engine.stats()).uploads).toBe(2);
  expect((await eventsOf(rig, id)).map(({ event }) => event)).not.toContain('handedBack');
}

const NEW_MACHINE = { restart: true, emptyFolders: ['input', 'output', 'temp'] };

describe.concurrent('an engine that has no output of a prompt which it completed', () => {
  it.for<[string, Partial<Habits>, Record<string, string>]>([
    ['its history told the end', {}, {}],
    // On a busy machine a look that comes before the events would find nothing.
    ['its events told the end', { emptyHistory: true }, { WATCHDOG: '10s' }],
  ])(
    'because it came back as a new machine after %s: the job runs again',
    async ([, habits, settings], context) => {
      const { rig, engine } = await start(context, [habits], settings);
      await engine.fault({ beforeRequest: { request: 'GET /view', ...NEW_MACHINE } });
      const id = await edit(rig);
      await expectDone(rig, id, 2);
      expect(await eventsOf(rig, id)).toContainEqual({
        event: 'outputMissing',
        detail: expect.stringMatching(/^The engine no longer has api_\S+\.png$/),
      });
      expect(Object.keys(await samplesOf(rig, 'qwen_edit_runs_lost_total'))).toEqual([
        expect.stringContaining('event="outputMissing"'),
      ]);
      await expectUploadedAnew(rig, engine, id);
    },
  );

  it('because its folder was emptied: the prompt is executed again, not answered from its cache', async context => {
    const { rig, engine } = await start(context, [{}]);
    await engine.fault({ beforeRequest: { request: 'GET /view', emptyFolders: ['output'] } });
    await expectDone(rig, await edit(rig), 2);
    expect((await engine.stats()).frees).toBe(1);
  });

  it('leaves the job to another engine, which has its outputs', async context => {
    const { rig, engines } = await start(context, [{ answers: [{ path: /^\/view/, status: 404 }] }, {}]);
    const ids = await Promise.all(Array.from({ length: 4 }, () => edit(rig)));
    for (const id of ids) expect(await waitForEnd(rig.url, id)).toMatchObject({ status: 'COMPLETED' });
    const [without, whole] = await Promise.all(engines.map(engine => engine.stats()));
    expect(Object.keys(without?.completed ?? {}).length).toBeGreaterThan(0);
    expect(Object.keys(whole?.completed ?? {})).toHaveLength(4);
  });

  it.for<[string, number, RegExp]>([
    ['has no file', 404, /The engine no longer has api_\S+\.png$/],
    ['has a file that is no image', 200, /api_\S+\.png of the engine is not an image$/],
  ])(
    'and %s each time: the job fails after as many runs as it may lose',
    async ([, status, reason], context) => {
      const { rig, engine } = await start(context, [{ answers: [{ path: /^\/view/, status }] }]);
      const job = await waitForEnd(rig.url, await edit(rig));
      expect(job).toMatchObject({ status: 'ERROR', attempt: 3, error: { code: 'OUTPUT_MISSING' } });
      expect(job.error?.message).toMatch(reason);
      expect(job.error?.message).toMatch(/^The prompt was completed in 3 runs/);
      expect(Object.values((await engine.stats()).completed)).toEqual([1, 1, 1]);
    },
  );

  it('fails a job that may lose one run', async context => {
    const { rig, engine } = await start(context, [{}], { MAX_ATTEMPTS: '1' });
    await engine.fault({ beforeRequest: { request: 'GET /view', emptyFolders: ['output'] } });
    const job = await waitForEnd(rig.url, await edit(rig));
    expect(job).toMatchObject({ status: 'ERROR', attempt: 1, error: { code: 'OUTPUT_MISSING' } });
  });
});

describe.concurrent('an engine that comes back as a new machine', () => {
  it('while a prompt runs: the job runs again, with its input image uploaded anew', async context => {
    const { rig, engine } = await start(context, [{}]);
    await engine.fault({ stepMs: 30 });
    const id = await edit(rig, 20);
    await waitUntil(rig.url, id, ({ step }) => (step ?? 0) >= 2);
    await engine.fault({ ...NEW_MACHINE, restartMs: 200 });
    await expectDone(rig, id, 2);
    await expectUploadedAnew(rig, engine, id);
  });

  it('between two jobs, and no probe sees it: the second has its input image uploaded anew, at no attempt', async context => {
    const { rig, engine } = await start(context, [{}]);
    await expectDone(rig, await edit(rig), 1);
    await engine.fault({ emptyFolders: NEW_MACHINE.emptyFolders });
    const id = await edit(rig);
    await expectDone(rig, id, 1);
    expect(await eventsOf(rig, id)).toContainEqual({
      event: 'handedBack',
      detail: 'the engine no longer has input image 1',
    });
    expect((await engine.stats()).uploads).toBe(2);
  });

  it('after the upload and before the prompt: the job runs once, on what is uploaded next', async context => {
    const { rig, engine } = await start(context, [{}]);
    await engine.fault({ beforeRequest: { request: 'POST /prompt', emptyFolders: ['input'] } });
    await expectDone(rig, await edit(rig), 1);
    expect((await engine.stats()).uploads).toBe(2);
  });

  it('after each upload: the job ends, and says what the engine lacked', async context => {
    const { rig, engine } = await start(context, [{}], { MAX_ATTEMPTS: '1' });
    await engine.fault({ beforeRequest: { request: 'POST /prompt', times: 9, emptyFolders: ['input'] } });
    const job = await waitForEnd(rig.url, await edit(rig));
    expect(job).toMatchObject({ status: 'ERROR', attempt: 0, error: { code: 'ENGINE_LOST' } });
    expect(job.error?.message).toBe(
      'Given up after 1 lost run; the last one: the engine no longer has input image 1',
    );
    expect((await engine.stats()).uploads).toBe(2);
  });
});
