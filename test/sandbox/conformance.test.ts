/**
 * Replays the requests of a recorded ComfyUI 0.3.64 in the same order against one sandbox, and compares the responses.
 *
 * Compared exactly: for each socket its events, their order, keys and values; for each HTTP exchange the status, the
 * content type and the body. Prompt ids, client ids and file names are those of the recording, so they match.
 *
 * Not compared, because it is not part of the protocol:
 * - timestamps, tracebacks and the inputs of a failed node (tensors): only their types;
 * - how many sampling steps a socket received: the groups of a step count as one and `value` is compared by type, because
 *   which step falls between two requests depends on timing;
 * - the order of what Python keeps in a set (cached nodes, executed nodes, errors of a node);
 * - the order between HTTP and a socket, which are different connections;
 * - in 00: values that describe the machine and its installed files, and `system.sandbox`, which ComfyUI does not have;
 * - in 06: `TinyFail` becomes an ImageScale that a fault makes raise, because the sandbox has no custom nodes;
 * - in 02: the bytes of images.
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
  isType,
  openSocket,
  plainPng,
  readStats,
  setFaults,
  type TestSocket,
  upload,
} from '../support/comfyui/sandbox.ts';
import { eventually } from '../support/watch.ts';

const STEP_MS = 60;
/** For scenarios that send several requests within one step. */
const SLOW_STEP_MS = 300;

let sandbox: Sandbox;
let dir: string;

beforeAll(async () => {
  // A new ComfyUI installation has these two files.
  dir = await mkdtemp(join(tmpdir(), 'conformance-'));
  await mkdir(join(dir, 'input'));
  await mkdir(join(dir, 'output'));
  await writeFile(join(dir, 'input', 'example.png'), await plainPng(8, 8, '#000'));
  await writeFile(join(dir, 'output', '_output_images_will_be_put_here'), '');
  sandbox = await startSandbox({
    version: '0.3.64',
    stepMs: STEP_MS,
    control: true,
    dir,
    // The recorded server had one diffusion model; lists of model names are part of its messages.
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
  const replies: Exchange[] = [];
  for (let index = from; index <= to; index += 1) replies.push(await repeat(recording, index));
  return replies;
}

function expectSameReplies(recording: Recording, replies: readonly Exchange[], typesOnly = false): void {
  expect(replies).toHaveLength(recording.calls.length);
  for (const [index, recorded] of recording.calls.entries()) {
    const reply = replies[index];
    if (reply === undefined) continue;
    expect(comparable(recorded, reply, typesOnly)).toEqual(comparable(recorded, recorded, typesOnly));
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

async function untilEnd(socket: TestSocket, promptId: string): Promise<void> {
  await socket.until(frame => isType(frame, 'executing_null', promptId));
}

async function untilExecuting(socket: TestSocket, promptId: string): Promise<void> {
  await socket.until(frame => isType(frame, 'executing', promptId));
}

async function untilStep(socket: TestSocket, promptId: string, steps: number): Promise<void> {
  await socket.until(
    frame => isType(frame, 'progress', promptId) && 'data' in frame && frame.data.value === steps,
  );
}

// The order matters: each scenario continues with the prompt numbers, the cache and the files of the previous one.
describe('the sandbox matches the recorded ComfyUI 0.3.64', () => {
  it('00: system stats, features and object info', async () => {
    const recording = readRecording('00_server');
    const replies = await repeatAll(recording, 0, recording.calls.length - 1);
    const ours = replies.map(reply => ({ ...reply, body: withoutSandboxMark(reply.body) }));
    expectSameReplies(recording, ours, true);
    for (const name of ['KSampler', 'TextEncodeQwenImageEditPlus', 'SaveImage', 'ImageScaleToTotalPixels']) {
      const index = recording.calls.findIndex(({ path }) => path === `/object_info/${name}`);
      expect(replies[index]?.body).toEqual(recording.calls[index]?.body);
    }
  });

  it('01: names of uploads', async () => {
    const recording = readRecording('01_upload');
    const [a, b, other] = await Promise.all([
      plainPng(320, 240, '#a33'),
      plainPng(200, 300, '#3a3'),
      plainPng(320, 240, '#33a'),
    ]);
    const folder = { subfolder: 'qwen-edit' };
    const replies = [
      await upload(sandbox.url, 'a.png', a, folder),
      await upload(sandbox.url, 'b.png', b, folder),
      await upload(sandbox.url, 'a.png', a, folder),
      await upload(sandbox.url, 'a.png', other, folder),
      await upload(sandbox.url, 'a.png', a, { ...folder, overwrite: 'true' }),
      await upload(sandbox.url, 'a.png', a, { subfolder: '../../outside' }),
    ];
    expectSameReplies(recording, replies);
  });

  it('02: a prompt with previews, its history and its images', async () => {
    const recording = readRecording('02_success_two_images');
    const a = await openSocket(sandbox.url, clientOf(recording));
    const submit = await repeat(recording, 0);
    await untilExecuting(a, promptOf(recording));
    const midway = await repeatAll(recording, 1, 3);
    await untilEnd(a, promptOf(recording));
    const after = await repeatAll(recording, 4, recording.calls.length - 1);
    await a.close();
    expectSameReplies(recording, [submit, ...midway, ...after]);
    expectSameEvents(recording, 'a', a);
    for (const [index, recorded] of recording.calls.slice(4).entries()) {
      const disposition = recorded.headers['Content-Disposition'];
      if (disposition !== undefined)
        expect(after[index]?.headers.get('content-disposition')).toBe(disposition);
      expect(after[index]?.headers.has('etag')).toBe('Etag' in recorded.headers);
    }
  });

  it('03: a prompt that is entirely cached', async () => {
    const recording = readRecording('03_rerun_all_cached');
    const a = await openSocket(sandbox.url, clientOf(recording));
    const submit = await repeat(recording, 0);
    await untilEnd(a, promptOf(recording));
    const rest = await repeatAll(recording, 1, recording.calls.length - 1);
    await a.close();
    expectSameReplies(recording, [submit, ...rest]);
    expectSameEvents(recording, 'a', a);
  });

  it('04: previews without metadata for a client without feature flags', async () => {
    const recording = readRecording('04_rerun_new_seed_legacy_previews');
    const a = await openSocket(sandbox.url, clientOf(recording), false);
    const submit = await repeat(recording, 0);
    await untilEnd(a, promptOf(recording));
    await a.close();
    expectSameReplies(recording, [submit]);
    expectSameEvents(recording, 'a', a);
  });

  it('05: validation errors of twelve invalid prompts', async () => {
    const recording = readRecording('05_rejected_prompts');
    expectSameReplies(recording, await repeatAll(recording, 0, recording.calls.length - 1));
  });

  it('06: a node that raises', async () => {
    const recording = asImageScale(readRecording('06_execution_error'));
    await setFaults(sandbox.url, {
      failNode: { class: 'ImageScale', message: 'CUDA out of memory. Tried to allocate 2.00 GiB' },
    });
    const a = await openSocket(sandbox.url, clientOf(recording));
    const submit = await repeat(recording, 0);
    await untilEnd(a, promptOf(recording));
    const rest = await repeatAll(recording, 1, recording.calls.length - 1);
    await a.close();
    await setFaults(sandbox.url, {});
    expectSameReplies(recording, [submit, ...rest]);
    expectSameEvents(recording, 'a', a);
  });

  it('07: interrupting the running prompt and deleting a pending one', async () => {
    const recording = readRecording('07_interrupt_running_and_delete_pending');
    await setFaults(sandbox.url, { stepMs: SLOW_STEP_MS });
    const a = await openSocket(sandbox.url, clientOf(recording));
    const replies = [await repeat(recording, 0)];
    await untilExecuting(a, promptOf(recording));
    replies.push(...(await repeatAll(recording, 1, 2)));
    await untilStep(a, promptOf(recording), 3);
    replies.push(...(await repeatAll(recording, 3, 6)));
    await untilStep(a, promptOf(recording, 1), 2);
    replies.push(await repeat(recording, 7));
    await untilEnd(a, promptOf(recording, 1));
    replies.push(...(await repeatAll(recording, 8, recording.calls.length - 1)));
    await a.close();
    expectSameReplies(recording, replies);
    expectSameEvents(recording, 'a', a);
  });

  it('08: reconnecting during a prompt', async () => {
    const recording = readRecording('08_reconnect_midway_same_client_id');
    const id = clientOf(recording);
    // No step comes before the second socket has said its features.
    await setFaults(sandbox.url, { stepMs: SLOW_STEP_MS });
    const a = await openSocket(sandbox.url, id);
    const submit = await repeat(recording, 0);
    await untilStep(a, promptOf(recording), 3);
    await a.close();
    await eventually(
      () => readStats(sandbox.url),
      stats => !stats.sockets.includes(id),
    );
    const b = await openSocket(sandbox.url, id);
    await setFaults(sandbox.url, { stepMs: STEP_MS });
    await untilEnd(b, promptOf(recording));
    await b.close();
    expectSameReplies(recording, [submit]);
    expectSameEvents(recording, 'a', a);
    expectSameEvents(recording, 'b', b);
  });

  it('09: two sockets of one client id, of which the second receives everything', async () => {
    const recording = readRecording('09_two_sockets_one_client_id');
    const a = await openSocket(sandbox.url, clientOf(recording));
    const b = await openSocket(sandbox.url, clientOf(recording));
    const submit = await repeat(recording, 0);
    await untilEnd(b, promptOf(recording));
    await a.close();
    await b.close();
    expectSameReplies(recording, [submit]);
    expectSameEvents(recording, 'a', a);
    expectSameEvents(recording, 'b', b);
  });

  it('10: a prompt id submitted twice runs twice', async () => {
    const recording = readRecording('10_same_prompt_id_twice');
    const id = promptOf(recording);
    await setFaults(sandbox.url, { stepMs: SLOW_STEP_MS });
    const a = await openSocket(sandbox.url, clientOf(recording));
    const replies = [await repeat(recording, 0)];
    await untilExecuting(a, id);
    replies.push(...(await repeatAll(recording, 1, 2)));
    await a.until(() => a.frames.filter(frame => isType(frame, 'executing_null', id)).length === 2);
    replies.push(await repeat(recording, 3));
    await a.close();
    expectSameReplies(recording, replies);
    expectSameEvents(recording, 'a', a);
  });

  it('11: the order of the queue, and clearing it', async () => {
    const recording = readRecording('11_front_of_queue_and_clear');
    await setFaults(sandbox.url, { stepMs: 2_000 });
    const a = await openSocket(sandbox.url, clientOf(recording));
    const replies = [await repeat(recording, 0)];
    await untilExecuting(a, promptOf(recording));
    replies.push(...(await repeatAll(recording, 1, 7)));
    await untilEnd(a, promptOf(recording));
    replies.push(await repeat(recording, 8));
    await a.close();
    expectSameReplies(recording, replies);
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

/** The inputs of ImageScale besides its image, as the request contains them and as `current_inputs` does. */
const IMAGE_SCALE = { upscale_method: 'lanczos', width: 64, height: 64, crop: 'disabled' };
const IMAGE_SCALE_SHOWN = { upscale_method: ['lanczos'], width: [64], height: [64], crop: ['disabled'] };

/** The recording with the node that raises replaced by an ImageScale with all its inputs. */
function asImageScale(recording: Recording): Recording {
  const sockets = Object.entries(recording.sockets).map(([name, frames]) => [
    name,
    frames.map(frame => ('data' in frame ? { ...frame, data: changeEntries(frame.data) } : frame)),
  ]);
  const calls = recording.calls.map(recorded => ({
    ...recorded,
    request: change(recorded.request),
    body: change(recorded.body),
  }));
  return { calls, sockets: Object.fromEntries(sockets) };
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
