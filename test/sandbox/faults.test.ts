import { describe, expect, it } from 'vitest';
import type { Sandbox, SandboxOptions } from '../../src/sandbox/server.ts';
import {
  call,
  type Exchange,
  editGraph,
  isType,
  nameOf,
  openSocket,
  readHistory,
  readStats,
  setFaults,
  startTestSandbox,
  type TestSocket,
  uploadInput,
} from '../support/comfyui/sandbox.ts';
import { eventually } from '../support/watch.ts';

async function start(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startTestSandbox(options);
  await uploadInput(sandbox, 64, 48);
  return sandbox;
}

function submit(
  sandbox: Sandbox,
  id: string,
  { model, ...options }: { prompt?: string; steps?: number; seed?: number; model?: string } = {},
): Promise<Exchange> {
  const prompt = editGraph({ image: 'in.png', prefix: id, megapixels: 0.01, ...options });
  const loader = Object.values(prompt).find(({ class_type }) => class_type === 'UNETLoader');
  if (loader !== undefined && model !== undefined) loader.inputs.unet_name = model;
  return call(`${sandbox.url}/prompt`, 'POST', { prompt, prompt_id: id, client_id: id });
}

/** Resolves with the end of a prompt in history: `success`, the exception type, or `interrupted`. */
async function endOf(sandbox: Sandbox, id: string): Promise<string> {
  const entry = await eventually(
    async () => (await readHistory(sandbox.url)).get(id),
    found => found !== undefined,
  );
  if (entry?.status.status_str === 'success') return 'success';
  return entry?.status.messages.at(-1)?.[1].exception_type ?? 'interrupted';
}

async function sampling(sandbox: Sandbox, id: string): Promise<TestSocket> {
  const socket = await openSocket(sandbox.url, id);
  await submit(sandbox, id, { steps: 1_000 });
  await socket.until(frame => isType(frame, 'progress', id));
  return socket;
}

describe('sockets', () => {
  it('dropSockets closes sockets without a close frame, and new ones are accepted', async () => {
    const sandbox = await start({ stepMs: 5 });
    const socket = await sampling(sandbox, 'p');
    await setFaults(sandbox.url, { dropSockets: true });
    expect(await socket.closed).toBe(1006);
    await eventually(
      () => readStats(sandbox.url),
      stats => stats.sockets.length === 0,
    );
    const back = await openSocket(sandbox.url, 'p');
    expect(back.frames[1]).toEqual({ type: 'executing', data: { node: '3' } });
    await back.until(frame => isType(frame, 'progress', 'p'));
  });

  it('deafSockets leaves sockets open but sends nothing more', async () => {
    const sandbox = await start({ stepMs: 5 });
    const socket = await sampling(sandbox, 'p');
    await setFaults(sandbox.url, { deafSockets: true });
    const second = await openSocket(sandbox.url, 'p');
    const received = socket.frames.length;
    await second.until(frame => isType(frame, 'progress', 'p'));
    expect(socket.frames).toHaveLength(received);
  });

  it('loses the event types of loseEvents', async () => {
    const sandbox = await start();
    await setFaults(sandbox.url, { loseEvents: ['executing_null', 'preview', 'execution_success'] });
    const socket = await openSocket(sandbox.url, 'p');
    await submit(sandbox, 'p');
    expect(await endOf(sandbox, 'p')).toBe('success');
    await setFaults(sandbox.url, {});
    await submit(sandbox, 'p', { seed: 2 });
    await socket.until(frame => isType(frame, 'executing_null', 'p'));
    const counted = (type: string): number => socket.frames.filter(frame => nameOf(frame) === type).length;
    expect([counted('execution_start'), counted('execution_success'), counted('executing_null')]).toEqual([
      2, 1, 1,
    ]);
    expect(counted('preview')).toBe(4);
  });

  it('loses a share of the events, the same for the same seed', async () => {
    const received: string[] = [];
    for (let run = 0; run < 2; run += 1) {
      const sandbox = await start();
      const socket = await openSocket(sandbox.url, 'p');
      await setFaults(sandbox.url, { loseRate: 0.5, seed: 3 });
      await submit(sandbox, 'p', { steps: 30 });
      await endOf(sandbox, 'p');
      await setFaults(sandbox.url, {});
      await submit(sandbox, 'p');
      await socket.until(frame => isType(frame, 'executing_null'), socket.frames.length - 1);
      received.push(socket.frames.map(nameOf).join(' '));
    }
    expect(received[0]).toBe(received[1]);
    expect(received[0]?.split('preview').length).toBeLessThan(30);
  });
});

describe('the process', () => {
  it('restarts without queue and history, but keeps its counters', async () => {
    const sandbox = await start({ stepMs: 5 });
    await submit(sandbox, 'before', { steps: 1 });
    await endOf(sandbox, 'before');
    const socket = await sampling(sandbox, 'p');
    await submit(sandbox, 'q');
    await setFaults(sandbox.url, { restart: true, restartMs: 150 });
    expect(await socket.closed).toBe(1006);
    await expect(call(`${sandbox.url}/queue`)).rejects.toThrow();
    await expect(openSocket(sandbox.url, 'p')).rejects.toThrow();
    const queue = await eventually(
      () => call(`${sandbox.url}/queue`).catch(() => null),
      reply => reply !== null,
    );
    expect(queue?.body).toEqual({ queue_running: [], queue_pending: [] });
    expect((await call(`${sandbox.url}/history`)).body).toEqual({});
    expect(await readStats(sandbox.url)).toMatchObject({
      executed: { before: 1, p: 1 },
      completed: { before: 1 },
      running: null,
      pending: [],
    });
    const reply = await submit(sandbox, 'after', { steps: 1 });
    expect(reply.body).toMatchObject({ number: 0 });
    expect(await endOf(sandbox, 'after')).toBe('success');
  });

  it('loses the files of some folders, at once or right before a request, with a restart or without', async () => {
    const sandbox = await start();
    const output = () => call(`${sandbox.url}/view?filename=p_00001_.png&type=output`);
    const input = () => call(`${sandbox.url}/view?filename=in.png&type=input`);
    await submit(sandbox, 'p', { steps: 1 });
    await endOf(sandbox, 'p');
    await setFaults(sandbox.url, {
      beforeRequest: { request: 'GET /view', times: 2, emptyFolders: ['output'] },
    });
    expect((await input()).status).toBe(200);
    expect((await output()).status).toBe(404);
    expect(await endOf(sandbox, 'p')).toBe('success');
    await setFaults(sandbox.url, { beforeRequest: { request: 'GET /view', restart: true } });
    await expect(input()).rejects.toThrow();
    const after = await eventually(
      () => input().catch(() => null),
      reply => reply !== null,
    );
    expect(after?.status).toBe(200);
    expect((await call(`${sandbox.url}/history`)).body).toEqual({});
    await setFaults(sandbox.url, { emptyFolders: ['input'] });
    expect((await input()).status).toBe(404);
  });

  it('crashes each time a prompt that contains crashOnPrompt reaches its sampler', async () => {
    const sandbox = await start();
    await setFaults(sandbox.url, { crashOnPrompt: 'poison' });
    await submit(sandbox, 'good');
    expect(await endOf(sandbox, 'good')).toBe('success');
    for (const times of [1, 2]) {
      await eventually(
        () => submit(sandbox, 'bad', { prompt: 'some poison here' }).catch(() => null),
        reply => reply?.status === 200,
      );
      // A request in flight is closed when the engine crashes.
      await eventually(
        () => readStats(sandbox.url).catch(() => null),
        stats => stats?.executed.bad === times && stats.running === null,
      );
    }
    expect((await readStats(sandbox.url)).completed).toEqual({ good: 1 });
  });

  it('hangs while HTTP responds, and continues', async () => {
    const sandbox = await start({ stepMs: 2 });
    const socket = await sampling(sandbox, 'p');
    await setFaults(sandbox.url, { hang: true });
    await call(`${sandbox.url}/interrupt`, 'POST', { prompt_id: 'p' });
    expect((await call(`${sandbox.url}/prompt`)).body).toEqual({ exec_info: { queue_remaining: 1 } });
    expect(socket.frames.some(frame => isType(frame, 'execution_interrupted'))).toBe(false);
    await setFaults(sandbox.url, { hang: false });
    await socket.until(frame => isType(frame, 'execution_interrupted', 'p'));
  });

  it('stops while the worker hangs and a request waits', async () => {
    const sandbox = await start({ stepMs: 60_000 });
    const socket = await openSocket(sandbox.url, 'p');
    await submit(sandbox, 'p');
    await socket.until(frame => isType(frame, 'executing'));
    await setFaults(sandbox.url, { hang: true, slowHttp: 60_000 });
    const waiting = call(`${sandbox.url}/queue`).then(
      () => 'replied',
      () => 'closed',
    );
    await sandbox.stop();
    expect(await socket.closed).toBe(1006);
    await waiting;
    await expect(call(`${sandbox.url}/queue`)).rejects.toThrow();
  });
});

describe('nodes', () => {
  it('fails the next outOfMemory samplings', async () => {
    const sandbox = await start();
    await setFaults(sandbox.url, { outOfMemory: 2 });
    const ends: string[] = [];
    for (const id of ['p1', 'p2', 'p3']) {
      await submit(sandbox, id);
      ends.push(await endOf(sandbox, id));
    }
    expect(ends).toEqual(['torch.OutOfMemoryError', 'torch.OutOfMemoryError', 'success']);
  });

  it('fails every sampling until POST /free', async () => {
    const sandbox = await start();
    await setFaults(sandbox.url, { outOfMemoryUntilFree: true });
    await submit(sandbox, 'p1');
    expect(await endOf(sandbox, 'p1')).toBe('torch.OutOfMemoryError');
    await call(`${sandbox.url}/free`, 'POST', { unload_models: true, free_memory: true });
    await submit(sandbox, 'p2');
    expect(await endOf(sandbox, 'p2')).toBe('success');
    expect((await readStats(sandbox.url)).frees).toBe(1);
  });

  it('raises the message of failNode in nodes of its class', async () => {
    const sandbox = await start();
    await setFaults(sandbox.url, { failNode: { class: 'VAEDecode', message: 'broken' } });
    await submit(sandbox, 'p');
    expect(await endOf(sandbox, 'p')).toBe('RuntimeError');
    await setFaults(sandbox.url, { failNode: null });
    await submit(sandbox, 'q');
    expect(await endOf(sandbox, 'q')).toBe('success');
  });
});

describe('HTTP', () => {
  it('shows history after lateHistory', async () => {
    const sandbox = await start();
    await setFaults(sandbox.url, { lateHistory: 200 });
    const socket = await openSocket(sandbox.url, 'p');
    await submit(sandbox, 'p');
    await socket.until(frame => isType(frame, 'executing_null', 'p'));
    expect((await call(`${sandbox.url}/history/p`)).body).toEqual({});
    expect(await endOf(sandbox, 'p')).toBe('success');
  });

  it('delays responses by slowHttp, and closes connections during refuseHttp', async () => {
    const sandbox = await start();
    await setFaults(sandbox.url, { slowHttp: 80 });
    const begun = performance.now();
    await call(`${sandbox.url}/queue`);
    expect(performance.now() - begun).toBeGreaterThan(70);
    await setFaults(sandbox.url, { slowHttp: 0, refuseHttp: 100 });
    await expect(call(`${sandbox.url}/queue`)).rejects.toThrow();
    await eventually(
      () => call(`${sandbox.url}/queue`).catch(() => null),
      reply => reply?.status === 200,
    );
  });

  it('closes the connection of a prompt that it accepted', async () => {
    const sandbox = await start();
    await setFaults(sandbox.url, { losePromptAnswer: 1 });
    await expect(submit(sandbox, 'p')).rejects.toThrow();
    expect(await endOf(sandbox, 'p')).toBe('success');
    expect((await submit(sandbox, 'q')).status).toBe(200);
    expect((await readStats(sandbox.url)).prompts).toBe(2);
  });

  it('rejects unknown and invalid faults', async () => {
    const sandbox = await start();
    for (const faults of [{ nope: 1 }, { loseRate: 2 }, 'text']) {
      expect((await call(`${sandbox.url}/sandbox/faults`, 'POST', faults)).status).toBe(400);
    }
  });
});

describe('durations', () => {
  it('set the time of each class, with loading at the first use and after POST /free', async () => {
    const sandbox = await start();
    await setFaults(sandbox.url, { durations: { KSampler: { ms: 10 }, VAEDecode: { ms: 50, loadMs: 300 } } });
    const took = async (id: string): Promise<number> => {
      await submit(sandbox, id, { steps: 5, seed: Math.floor(Math.random() * 1e9) });
      expect(await endOf(sandbox, id)).toBe('success');
      const { timeline } = await readStats(sandbox.url);
      const span = timeline.find(run => run.id === id);
      return (span?.endedAt ?? 0) - (span?.startedAt ?? 0);
    };
    expect(await took('cold')).toBeGreaterThanOrEqual(0.95 * (5 * 10 + 50 + 300));
    expect(await took('warm')).toBeGreaterThanOrEqual(0.95 * (5 * 10 + 50));
    await call(`${sandbox.url}/free`, 'POST', { unload_models: true, free_memory: true });
    expect(await took('cold again')).toBeGreaterThanOrEqual(0.95 * (5 * 10 + 50 + 300));
  });

  it('load a model in the place of another, and count that', async () => {
    const sandbox = await start();
    await setFaults(sandbox.url, { modelLoadMs: 200 });
    const [one, other] = [
      'qwen_image_edit_2509_fp8_e4m3fn.safetensors',
      'qwen_image_edit_2511_bf16.safetensors',
    ];
    for (const [n, model] of [one, one, other, one, one].entries()) {
      await submit(sandbox, `p${n}`, { steps: 1, seed: n, model });
      expect(await endOf(sandbox, `p${n}`)).toBe('success');
    }
    const { loads, timeline } = await readStats(sandbox.url);
    expect(loads).toEqual({ [one]: 2, [other]: 1 });
    const took = timeline.map(({ startedAt, endedAt }) => (endedAt ?? 0) - startedAt);
    for (const n of [0, 2, 3]) expect(took[n]).toBeGreaterThanOrEqual(0.95 * 200);
  });
});
