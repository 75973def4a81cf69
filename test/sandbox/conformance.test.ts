/**
 * Replays what a real ComfyUI 0.3.64 was asked, in the same order against one sandbox, and compares what it said.
 *
 * Compared exactly: for each socket its events, their order, their keys and their values; for each HTTP exchange the
 * status, the content type and the body. Prompt ids, client ids and file names are the recorded ones, so they match.
 *
 * Not compared, because it says nothing about the wire:
 * - timestamps, tracebacks, the inputs of a node that failed (tensors): only their types;
 * - how many steps a socket heard of: the groups of a step are one, and `value` is only a number, because where a step
 *   falls between two requests is a matter of time;
 * - the order of what Python keeps in a set (cached nodes, executed nodes, errors of a node);
 * - the order between HTTP and a socket, which are different connections;
 * - in 00: values that describe the machine and its installed files, and `system.sandbox`, which is ours;
 * - in 06: `TinyFail` is an ImageScale that a fault makes raise, because the sandbox has no custom nodes;
 * - in 02: the bytes of pictures.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/server.ts';
import { isObject, type JsonObject } from '../../src/sandbox/wire/json.ts';
import { comparable, linesOf, type Recording, readRecording } from '../support/comfyui/recording.ts';
import {
  call,
  type Exchange,
  eventually,
  isType,
  openSocket,
  picture,
  readStats,
  setFaults,
  type TestSocket,
  upload,
} from '../support/comfyui/sandbox.ts';

const STEP_MS = 60;
/** For scenarios in which several requests fall into one step. */
const SLOW_STEP_MS = 300;

let sandbox: Sandbox;
let dir: string;

beforeAll(async () => {
  // A fresh ComfyUI comes with these two files.
  dir = await mkdtemp(join(tmpdir(), 'conformance-'));
  await mkdir(join(dir, 'input'));
  await mkdir(join(dir, 'output'));
  await writeFile(join(dir, 'input', 'example.png'), await picture(8, 8, '#000'));
  await writeFile(join(dir, 'output', '_output_images_will_be_put_here'), '');
  sandbox = await startSandbox({
    version: '0.3.64',
    stepMs: STEP_MS,
    control: true,
    dir,
    // The recorded server had one diffusion model: lists of names are part of its messages.
    missingModels: ['qwen_image_edit_2511_bf16.safetensors', 'qwen_image_edit_2511_fp8mixed.safetensors'],
  });
});
afterAll(async () => {
  await sandbox.stop();
  await rm(dir, { recursive: true });
});

/** Repeats the recorded request of this index. */
async function repeat(recording: Recording, index: number): Promise<Exchange> {
  const recorded = recording.calls[index];
  if (recorded === undefined) throw new Error(`the recording has no request ${index}`);
  const body = recorded.request === null ? undefined : recorded.request;
  return call(`${sandbox.url}${recorded.path}`, recorded.method, body);
}

async function repeatAll(recording: Recording, from: number, to: number): Promise<Exchange[]> {
  const answers: Exchange[] = [];
  for (let index = from; index <= to; index += 1) answers.push(await repeat(recording, index));
  return answers;
}

function expectSameAnswers(recording: Recording, answers: readonly Exchange[], typesOnly = false): void {
  expect(answers).toHaveLength(recording.calls.length);
  for (const [index, recorded] of recording.calls.entries()) {
    const answer = answers[index];
    if (answer === undefined) continue;
    expect(comparable(recorded, answer, typesOnly)).toEqual(comparable(recorded, recorded, typesOnly));
  }
}

function expectSameEvents(recording: Recording, name: string, socket: TestSocket): void {
  expect(linesOf(socket.frames)).toEqual(linesOf(recording.sockets[name] ?? []));
}

/** The client id of the recorded submit of this index. */
function clientOf(recording: Recording, index = 0): string {
  return submitted(recording, index, 'client_id');
}

function promptOf(recording: Recording, index = 0): string {
  return submitted(recording, index, 'prompt_id');
}

function submitted(recording: Recording, index: number, key: string): string {
  const request = recording.calls[index]?.request;
  if (typeof request !== 'object' || request === null) throw new Error(`request ${index} has no body`);
  return String(Reflect.get(request, key));
}

async function whenIdle(socket: TestSocket, promptId: string): Promise<void> {
  await socket.until(frame => isType(frame, 'executing_null', promptId));
}

async function whenExecuting(socket: TestSocket, promptId: string): Promise<void> {
  await socket.until(frame => isType(frame, 'executing', promptId));
}

async function afterSteps(socket: TestSocket, promptId: string, steps: number): Promise<void> {
  await socket.until(
    frame => isType(frame, 'progress', promptId) && 'data' in frame && frame.data.value === steps,
  );
}

// In this order: each scenario finds the queue's numbers, the cache and the files that the one before it left.
describe('the sandbox speaks as a recorded ComfyUI does', () => {
  it('00: describes itself', async () => {
    const recording = readRecording('00_server');
    const answers = await repeatAll(recording, 0, recording.calls.length - 1);
    const ours = answers.map(answer => ({ ...answer, body: withoutSandboxMark(answer.body) }));
    expectSameAnswers(recording, ours, true);
    for (const name of ['KSampler', 'TextEncodeQwenImageEditPlus', 'SaveImage', 'ImageScaleToTotalPixels']) {
      const index = recording.calls.findIndex(({ path }) => path === `/object_info/${name}`);
      expect(answers[index]?.body).toEqual(recording.calls[index]?.body);
    }
  });

  it('01: names what is uploaded', async () => {
    const recording = readRecording('01_upload');
    const [a, b, other] = await Promise.all([
      picture(320, 240, '#a33'),
      picture(200, 300, '#3a3'),
      picture(320, 240, '#33a'),
    ]);
    const folder = { subfolder: 'qwen-edit' };
    const answers = [
      await upload(sandbox.url, 'a.png', a, folder),
      await upload(sandbox.url, 'b.png', b, folder),
      await upload(sandbox.url, 'a.png', a, folder),
      await upload(sandbox.url, 'a.png', other, folder),
      await upload(sandbox.url, 'a.png', a, { ...folder, overwrite: 'true' }),
      await upload(sandbox.url, 'a.png', a, { subfolder: '../../outside' }),
    ];
    expectSameAnswers(recording, answers);
  });

  it('02: runs a graph with previews', async () => {
    const recording = readRecording('02_success_two_images');
    const a = await openSocket(sandbox.url, clientOf(recording));
    const submit = await repeat(recording, 0);
    await whenExecuting(a, promptOf(recording));
    const midway = await repeatAll(recording, 1, 3);
    await whenIdle(a, promptOf(recording));
    const after = await repeatAll(recording, 4, recording.calls.length - 1);
    await a.close();
    expectSameAnswers(recording, [submit, ...midway, ...after]);
    expectSameEvents(recording, 'a', a);
    for (const [index, recorded] of recording.calls.slice(4).entries()) {
      const disposition = recorded.headers['Content-Disposition'];
      if (disposition !== undefined)
        expect(after[index]?.headers.get('content-disposition')).toBe(disposition);
      expect(after[index]?.headers.has('etag')).toBe('Etag' in recorded.headers);
    }
  });

  it('03: answers from its cache', async () => {
    const recording = readRecording('03_rerun_all_cached');
    const a = await openSocket(sandbox.url, clientOf(recording));
    const submit = await repeat(recording, 0);
    await whenIdle(a, promptOf(recording));
    const rest = await repeatAll(recording, 1, recording.calls.length - 1);
    await a.close();
    expectSameAnswers(recording, [submit, ...rest]);
    expectSameEvents(recording, 'a', a);
  });

  it('04: sends previews of the old kind to a client that did not ask for the new', async () => {
    const recording = readRecording('04_rerun_new_seed_legacy_previews');
    const a = await openSocket(sandbox.url, clientOf(recording), false);
    const submit = await repeat(recording, 0);
    await whenIdle(a, promptOf(recording));
    await a.close();
    expectSameAnswers(recording, [submit]);
    expectSameEvents(recording, 'a', a);
  });

  it('05: refuses twelve bad prompts in the same words', async () => {
    const recording = readRecording('05_rejected_prompts');
    expectSameAnswers(recording, await repeatAll(recording, 0, recording.calls.length - 1));
  });

  it('06: tells of a node that raises', async () => {
    const recording = asImageScale(readRecording('06_execution_error'));
    await setFaults(sandbox.url, {
      failNode: { class: 'ImageScale', message: 'CUDA out of memory. Tried to allocate 2.00 GiB' },
    });
    const a = await openSocket(sandbox.url, clientOf(recording));
    const submit = await repeat(recording, 0);
    await whenIdle(a, promptOf(recording));
    const rest = await repeatAll(recording, 1, recording.calls.length - 1);
    await a.close();
    await setFaults(sandbox.url, {});
    expectSameAnswers(recording, [submit, ...rest]);
    expectSameEvents(recording, 'a', a);
  });

  it('07: interrupts what runs and takes out what waits', async () => {
    const recording = readRecording('07_interrupt_running_and_delete_pending');
    await setFaults(sandbox.url, { stepMs: SLOW_STEP_MS });
    const a = await openSocket(sandbox.url, clientOf(recording));
    const answers = [await repeat(recording, 0)];
    await whenExecuting(a, promptOf(recording));
    answers.push(...(await repeatAll(recording, 1, 2)));
    await afterSteps(a, promptOf(recording), 3);
    answers.push(...(await repeatAll(recording, 3, 6)));
    await afterSteps(a, promptOf(recording, 1), 2);
    answers.push(await repeat(recording, 7));
    await whenIdle(a, promptOf(recording, 1));
    answers.push(...(await repeatAll(recording, 8, recording.calls.length - 1)));
    await a.close();
    expectSameAnswers(recording, answers);
    expectSameEvents(recording, 'a', a);
  });

  it('08: tells a socket that returns where the prompt is', async () => {
    const recording = readRecording('08_reconnect_midway_same_client_id');
    const id = clientOf(recording);
    await setFaults(sandbox.url, { stepMs: STEP_MS });
    const a = await openSocket(sandbox.url, id);
    const submit = await repeat(recording, 0);
    await afterSteps(a, promptOf(recording), 3);
    await a.close();
    await eventually(
      () => readStats(sandbox.url),
      stats => !stats.sockets.includes(id),
    );
    const b = await openSocket(sandbox.url, id);
    await whenIdle(b, promptOf(recording));
    await b.close();
    expectSameAnswers(recording, [submit]);
    expectSameEvents(recording, 'a', a);
    expectSameEvents(recording, 'b', b);
  });

  it('09: gives everything to the second socket of an id', async () => {
    const recording = readRecording('09_two_sockets_one_client_id');
    const a = await openSocket(sandbox.url, clientOf(recording));
    const b = await openSocket(sandbox.url, clientOf(recording));
    const submit = await repeat(recording, 0);
    await whenIdle(b, promptOf(recording));
    await a.close();
    await b.close();
    expectSameAnswers(recording, [submit]);
    expectSameEvents(recording, 'a', a);
    expectSameEvents(recording, 'b', b);
  });

  it('10: runs a prompt id as often as it is submitted', async () => {
    const recording = readRecording('10_same_prompt_id_twice');
    const id = promptOf(recording);
    await setFaults(sandbox.url, { stepMs: SLOW_STEP_MS });
    const a = await openSocket(sandbox.url, clientOf(recording));
    const answers = [await repeat(recording, 0)];
    await whenExecuting(a, id);
    answers.push(...(await repeatAll(recording, 1, 2)));
    await a.until(() => a.frames.filter(frame => isType(frame, 'executing_null', id)).length === 2);
    answers.push(await repeat(recording, 3));
    await a.close();
    expectSameAnswers(recording, answers);
    expectSameEvents(recording, 'a', a);
  });

  it('11: orders its queue by number', async () => {
    const recording = readRecording('11_front_of_queue_and_clear');
    await setFaults(sandbox.url, { stepMs: 2 * SLOW_STEP_MS });
    const a = await openSocket(sandbox.url, clientOf(recording));
    const answers = [await repeat(recording, 0)];
    await whenExecuting(a, promptOf(recording));
    answers.push(...(await repeatAll(recording, 1, 7)));
    await whenIdle(a, promptOf(recording));
    answers.push(await repeat(recording, 8));
    await a.close();
    expectSameAnswers(recording, answers);
    expectSameEvents(recording, 'a', a);
  });
});

function withoutSandboxMark(body: unknown): unknown {
  if (!isObject(body) || !isObject(body.system)) return body;
  return {
    ...body,
    system: Object.fromEntries(Object.entries(body.system).filter(([key]) => key !== 'sandbox')),
  };
}

/** What an ImageScale needs besides its picture, as the request tells it and as `current_inputs` does. */
const IMAGE_SCALE = { upscale_method: 'lanczos', width: 64, height: 64, crop: 'disabled' };
const IMAGE_SCALE_SHOWN = { upscale_method: ['lanczos'], width: [64], height: [64], crop: ['disabled'] };

/** The recording with the node that only raises told as an ImageScale with all its inputs. */
function asImageScale(recording: Recording): Recording {
  const frames = Object.entries(recording.sockets).map(([name, heard]) => [
    name,
    heard.map(frame => ('data' in frame ? { ...frame, data: changeEntries(frame.data) } : frame)),
  ]);
  const calls = recording.calls.map(recorded => ({
    ...recorded,
    request: change(recorded.request),
    body: change(recorded.body),
  }));
  return { calls, sockets: Object.fromEntries(frames) };
}

function change(value: unknown): unknown {
  if (value === 'TinyFail') return 'ImageScale';
  if (Array.isArray(value)) return value.map(change);
  return isObject(value) ? changeEntries(value) : value;
}

function changeEntries(value: JsonObject): JsonObject {
  const entries = Object.entries(value).map(([key, item]) => {
    if (key === 'current_inputs' && isObject(item)) return [key, { ...item, ...IMAGE_SCALE_SHOWN }];
    const fails = key === 'inputs' && value.class_type === 'TinyFail' && isObject(item);
    return [key, fails ? { ...item, ...IMAGE_SCALE } : change(item)];
  });
  return Object.fromEntries(entries);
}
