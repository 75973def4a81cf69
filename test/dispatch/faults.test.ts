import { afterEach, describe, expect, it } from 'vitest';
import type { SandboxOptions } from '../../src/sandbox/server.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type Snapshot, watchOverWebSocket } from '../support/watch.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const IMPATIENT = { WATCHDOG: '200ms', ENGINE_GRACE: '1s', ENGINE_PROBE: '300ms' };

async function start(
  engines: readonly SandboxOptions[],
  settings: Record<string, string> = {},
): Promise<{ rig: Rig; engines: TestEngine[] }> {
  const started: TestEngine[] = [];
  for (const options of engines) {
    const engine = await startTestEngine({ stepMs: 20, ...options });
    closers.push(() => engine.stop());
    started.push(engine);
  }
  const rig = await startRig({
    COMFYUI_URL: started.map(({ url }) => url).join(','),
    ...IMPATIENT,
    ...settings,
  });
  closers.push(() => rig.close());
  return { rig, engines: started };
}

async function one(engines: readonly TestEngine[]): Promise<TestEngine> {
  const [engine] = engines;
  if (engine === undefined) throw new Error('no engine');
  return engine;
}

async function submit(rig: Rig, fields: Record<string, unknown> = {}): Promise<string> {
  const { data } = await rig.graphql<{ editImage: { id: string } }>(
    'mutation ($input: EditImageInput!) { editImage(input: $input) { ... on EditJob { id } } }',
    {
      input: {
        images: [{ url: `${rig.images.url}/red.png` }],
        prompt: 'x',
        steps: 10,
        megapixels: 0.25,
        ...fields,
      },
    },
  );
  return data?.editImage.id ?? '';
}

/** Watches to the end; `act` is called once, when the job has taken some steps. */
async function watch(rig: Rig, id: string, act?: () => Promise<unknown>): Promise<Snapshot[]> {
  let acted = false;
  return watchOverWebSocket(rig.url, id, async ({ step }) => {
    if (acted || (step ?? 0) < 3) return;
    acted = true;
    await act?.();
  });
}

const last = (snapshots: readonly Snapshot[]): Snapshot | undefined => snapshots.at(-1);
const cancel = (rig: Rig, id: string) =>
  rig.graphql<{ cancelJob: { status: string } }>(
    'mutation ($id: ID!) { cancelJob(id: $id) { ... on EditJob { status } } }',
    { id },
  );

function expectHonest(snapshots: readonly Snapshot[]): void {
  const revisions = snapshots.map(({ revision }) => revision);
  expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
  for (const [index, { progress, attempt, status }] of snapshots.entries()) {
    const before = snapshots[index - 1];
    const sameRun = before?.attempt === attempt && before.status !== 'QUEUED' && status !== 'QUEUED';
    if (before !== undefined && sameRun) expect(progress).toBeGreaterThanOrEqual(before.progress);
  }
}

describe('missed events do not matter', () => {
  it.each([
    ['sockets are cut', { dropSockets: true }],
    ['sockets go deaf', { deafSockets: true }],
    ['the end is not told', { loseEvents: ['execution_success', 'executing_null', 'executed', 'status'] }],
    ['half of the events are lost', { loseRate: 0.5, seed: 7 }],
    ['all events are lost', { loseRate: 1, seed: 1 }],
    ['the history comes late', { lateHistory: 400 }],
    ['answers are slow', { slowHttp: 150 }],
    ['connections are refused for a while', { refuseHttp: 600 }],
  ])('%s: the job completes, executed once', async (_, faults) => {
    const { rig, engines } = await start([{}]);
    const engine = await one(engines);
    const id = await submit(rig);
    const snapshots = await watch(rig, id, () => engine.fault(faults));
    expect(last(snapshots)).toMatchObject({ status: 'COMPLETED', attempt: 1, progress: 100 });
    expectHonest(snapshots);
    expect(Object.values((await engine.stats()).executed)).toEqual([1]);
  });

  it('an accepted prompt whose response was lost is found, not submitted again', async () => {
    const { rig, engines } = await start([{}]);
    const engine = await one(engines);
    await engine.fault({ losePromptAnswer: 1 });
    expect(last(await watch(rig, await submit(rig)))).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect((await engine.stats()).prompts).toBe(1);
  });

  it('events and previews of other prompts are ignored', async () => {
    const { rig, engines } = await start([{}]);
    const engine = await one(engines);
    const stranger = await (
      await fetch(`${engine.url}/prompt`, {
        method: 'POST',
        // Without a client_id its events go to every socket.
        body: JSON.stringify({ prompt: STRANGER }),
      })
    ).json();
    const id = await submit(rig);
    const snapshots = await watch(rig, id);
    expect(last(snapshots)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(snapshots.some(({ queuePosition }) => queuePosition === 1)).toBe(true);
    expectHonest(snapshots);
    expect(stranger).toHaveProperty('prompt_id');
  });
});

describe('a restarted engine', () => {
  it('has its jobs run again, and their logs say so', async () => {
    const { rig, engines } = await start([{}]);
    const engine = await one(engines);
    const ids = [await submit(rig), await submit(rig)];
    const [first, second] = await Promise.all([
      watch(rig, ids[0] ?? '', () => engine.fault({ restart: true, restartMs: 300 })),
      watch(rig, ids[1] ?? ''),
    ]);
    expect(last(first)).toMatchObject({ status: 'COMPLETED', attempt: 2 });
    expect(last(second)).toMatchObject({ status: 'COMPLETED' });
    expect(first.map(({ status }) => status)).toContain('QUEUED');
    expectHonest(first);
  });

  it('is not killed forever by a job that kills it each time', async () => {
    const { rig, engines } = await start([{}]);
    await (await one(engines)).fault({ crashOnPrompt: 'poison', restartMs: 100 });
    const id = await submit(rig, { prompt: 'poison' });
    expect(last(await watch(rig, id))).toMatchObject({
      status: 'ERROR',
      attempt: 3,
      error: { code: 'ENGINE_LOST' },
    });
    expect(last(await watch(rig, await submit(rig)))).toMatchObject({ status: 'COMPLETED' });
  });

  it('may be unreachable when the gateway starts', async () => {
    const gone = await startTestEngine();
    const { port } = new URL(gone.url);
    await gone.stop();
    const rig = await startRig({ COMFYUI_URL: gone.url, ...IMPATIENT });
    closers.push(() => rig.close());
    const id = await submit(rig);
    const watching = watch(rig, id);
    const back = await startTestEngine({ port: Number(port) });
    closers.push(() => back.stop());
    expect(last(await watching)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
  });
});

describe('failures have error codes', () => {
  it('out of memory: the engine frees memory, and the job runs once more', async () => {
    const { rig, engines } = await start([{}]);
    const engine = await one(engines);
    await engine.fault({ outOfMemory: 1 });
    expect(last(await watch(rig, await submit(rig)))).toMatchObject({ status: 'COMPLETED', attempt: 2 });
    expect((await engine.stats()).frees).toBe(1);
  });

  it('out of memory again: the job fails with its size and number of images', async () => {
    const { rig, engines } = await start([{}]);
    await (await one(engines)).fault({ outOfMemory: 2 });
    expect(last(await watch(rig, await submit(rig)))).toMatchObject({
      status: 'ERROR',
      error: { code: 'OUT_OF_MEMORY', message: expect.stringMatching(/\d+×\d+ with 1 input image/) },
    });
  });

  it('a node that raises: its class and message are reported, the traceback only in debug', async () => {
    const { rig, engines } = await start([{}]);
    const message = 'tensor mismatch in /opt/ComfyUI/secret/model.py';
    await (await one(engines)).fault({ failNode: { class: 'VAEDecode', message } });
    const id = await submit(rig);
    const job = last(await watch(rig, id));
    expect(job).toMatchObject({ status: 'ERROR', attempt: 1, error: { code: 'EXECUTION_FAILED' } });
    expect(job?.error?.message).toBe('The node VAEDecode failed: tensor mismatch in …');
    const debug = await (await fetch(`${rig.url}/debug/job/${id}`)).text();
    expect(debug).toContain('/opt/ComfyUI/secret/model.py');
    expect(await (await fetch(`${rig.url}/status/${id}`)).text()).not.toContain('secret');
  });

  it('an engine that lacks a model or a node is UNFIT with the reason, and the job goes to another', async () => {
    const { rig, engines } = await start([
      { missingModels: ['qwen_image_vae.safetensors'] },
      {},
      { missingNodes: ['TextEncodeQwenImageEditPlus'] },
    ]);
    const jobs = await Promise.all([1, 2, 3, 4].map(() => submit(rig)));
    for (const id of jobs) expect(last(await watch(rig, id))).toMatchObject({ status: 'COMPLETED' });
    const { data } = await rig.graphql<{ engines: { state: string; reason: string | null }[] }>(
      '{ engines { state reason } }',
    );
    expect(data?.engines).toEqual([
      {
        state: 'UNFIT',
        reason: expect.stringMatching(/lacks the file qwen_image_vae\.safetensors in models\/vae/),
      },
      { state: 'READY', reason: null },
      { state: 'UNFIT', reason: expect.stringMatching(/lacks the node TextEncodeQwenImageEditPlus/) },
    ]);
    const executed = await Promise.all(
      engines.map(async engine => Object.keys((await engine.stats()).executed).length),
    );
    expect(executed).toEqual([0, 4, 0]);
  });
});

describe('time limits fail the job and free the engine', () => {
  // A stall is five times the longest pause of the run before it, which is long on a busy machine.
  it('no progress: the job fails, the stuck engine is set aside, another goes on', {
    timeout: 60_000,
  }, async () => {
    const { rig, engines } = await start([{}, {}], { STALL_TIMEOUT: '600ms', STOP_TIMEOUT: '1500ms' });
    const id = await submit(rig, { steps: 40 });
    const job = last(
      await watch(rig, id, async () => {
        for (const engine of engines)
          if ((await engine.stats()).running !== null) await engine.fault({ hang: true });
      }),
    );
    expect(job).toMatchObject({
      status: 'ERROR',
      error: { code: 'TIMED_OUT', message: expect.stringMatching(/no progress/) },
    });
    expect(last(await watch(rig, await submit(rig)))).toMatchObject({ status: 'COMPLETED' });
  });

  it('run time: the prompt is interrupted at the engine', async () => {
    const { rig, engines } = await start([{ stepMs: 50 }], { RUN_TIMEOUT: '700ms' });
    const job = last(await watch(rig, await submit(rig, { steps: 100 })));
    expect(job).toMatchObject({
      status: 'ERROR',
      error: { code: 'TIMED_OUT', message: expect.stringMatching(/longer than/) },
    });
    const stats = await (await one(engines)).stats();
    expect(Object.keys(stats.interrupted)).toHaveLength(1);
    expect(stats.running).toBeNull();
  });

  it('slow steps are not a stall', async () => {
    const { rig } = await start([{ stepMs: 400 }], { STALL_TIMEOUT: '1s' });
    expect(last(await watch(rig, await submit(rig, { steps: 5 })))).toMatchObject({ status: 'COMPLETED' });
  });
});

describe('cancel', () => {
  it('stops only our prompt on an engine that cannot target an interrupt', async () => {
    const { rig, engines } = await start([{ version: 'legacy', stepMs: 40 }]);
    const engine = await one(engines);
    const stranger = await (
      await fetch(`${engine.url}/prompt`, {
        method: 'POST',
        body: JSON.stringify({ prompt: STRANGER, client_id: 'stranger' }),
      })
    ).json();
    const waiting = await submit(rig, { steps: 30 });
    await expect.poll(async () => (await engine.stats()).pending.length).toBe(1);
    expect((await cancel(rig, waiting)).data?.cancelJob.status).toBe('CANCELED');
    expect((await engine.stats()).interrupted).toEqual({});
    await expect.poll(async () => (await engine.stats()).completed[stranger.prompt_id]).toBe(1);

    const running = await submit(rig, { steps: 60 });
    const snapshots = await watch(rig, running, () => cancel(rig, running));
    expect(last(snapshots)).toMatchObject({ status: 'CANCELED' });
    expect(Object.values((await engine.stats()).interrupted)).toEqual([1]);
  });

  it('works while images are uploaded to the engine', async () => {
    const { rig, engines } = await start([{}]);
    const engine = await one(engines);
    await engine.fault({ slowHttp: 300 });
    const id = await submit(rig);
    await expect
      .poll(
        async () =>
          (
            await rig.graphql<{ job: { promptId: string | null } }>(
              'query ($id: ID!) { job(id: $id) { promptId } }',
              { id },
            )
          ).data?.job.promptId,
      )
      .toEqual(expect.any(String));
    expect((await cancel(rig, id)).data?.cancelJob.status).toBe('CANCELED');
    await engine.fault({});
    const stats = await engine.stats();
    expect(stats.running).toBeNull();
    expect(stats.pending).toEqual([]);
  });
});

describe('many engines', () => {
  it('an idle one takes the next job', async () => {
    const { rig, engines } = await start([{}, {}, {}]);
    // The first to be ready would take two.
    const ready = [{ state: 'READY' }, { state: 'READY' }, { state: 'READY' }];
    await expect
      .poll(async () => (await rig.graphql('{ engines { state } }')).data, { interval: 20 })
      .toEqual({ engines: ready });
    const ids = await Promise.all([1, 2, 3].map(() => submit(rig)));
    await Promise.all(ids.map(id => watch(rig, id)));
    const executed = await Promise.all(
      engines.map(async engine => Object.keys((await engine.stats()).executed).length),
    );
    expect(executed).toEqual([1, 1, 1]);
  });

  it.each(['legacy', '0.8.0'] as const)(
    'one that speaks the protocol of %s reports every step',
    async version => {
      const { rig } = await start([{ version }]);
      const reported = new Set<string>();
      // A watcher that is late gets the newest step only, so one job may not show all.
      for (let jobs = 0; jobs < 10 && reported.size < 5; jobs += 1) {
        const snapshots = await watch(rig, await submit(rig, { steps: 5 }));
        for (const { step, totalSteps } of snapshots)
          if (step !== null) reported.add(`${step} of ${totalSteps}`);
      }
      expect([...reported].sort()).toEqual(['1 of 5', '2 of 5', '3 of 5', '4 of 5', '5 of 5']);
    },
  );
});

/** A graph of somebody else's, slow enough to be in the way. */
const STRANGER = {
  '1': {
    class_type: 'UNETLoader',
    inputs: { unet_name: 'qwen_image_edit_2509_fp8_e4m3fn.safetensors', weight_dtype: 'default' },
  },
  '2': {
    class_type: 'CLIPLoader',
    inputs: { clip_name: 'qwen_2.5_vl_7b_fp8_scaled.safetensors', type: 'qwen_image', device: 'default' },
  },
  '3': { class_type: 'VAELoader', inputs: { vae_name: 'qwen_image_vae.safetensors' } },
  '4': { class_type: 'EmptySD3LatentImage', inputs: { width: 64, height: 64, batch_size: 1 } },
  '5': { class_type: 'TextEncodeQwenImageEditPlus', inputs: { clip: ['2', 0], prompt: 'a stranger' } },
  '6': {
    class_type: 'KSampler',
    inputs: {
      model: ['1', 0],
      positive: ['5', 0],
      negative: ['5', 0],
      latent_image: ['4', 0],
      seed: 1,
      steps: 30,
      cfg: 1,
      sampler_name: 'euler',
      scheduler: 'simple',
      denoise: 1,
    },
  },
  '7': { class_type: 'VAEDecode', inputs: { samples: ['6', 0], vae: ['3', 0] } },
  '8': { class_type: 'SaveImage', inputs: { images: ['7', 0], filename_prefix: 'stranger' } },
};
