import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import sharp from 'sharp';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/server.ts';
import {
  call,
  editGraph,
  eventually,
  isType,
  type Node,
  nameOf,
  openSocket,
  picture,
  readHistory,
  readStats,
  storedName,
  type TestSocket,
  upload,
} from '../support/comfyui/sandbox.ts';

const running: Sandbox[] = [];

async function start(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startSandbox({ stepMs: 0, control: true, ...options });
  running.push(sandbox);
  return sandbox;
}

afterEach(async () => {
  for (const sandbox of running.splice(0)) await sandbox.stop();
});

/** Submits under this id, which is the client's too. */
async function submit(sandbox: Sandbox, id: string, prompt: unknown): Promise<void> {
  const { status, body } = await call(`${sandbox.url}/prompt`, 'POST', {
    prompt,
    prompt_id: id,
    client_id: id,
  });
  expect([status, body]).toMatchObject([200, { prompt_id: id }]);
}

async function runToEnd(sandbox: Sandbox, id: string, prompt: unknown): Promise<TestSocket> {
  const socket = await openSocket(sandbox.url, id);
  await submit(sandbox, id, prompt);
  await socket.until(frame => isType(frame, 'executing_null', id));
  await socket.close();
  return socket;
}

/** The bytes of the one picture that the prompt saved. */
async function resultOf(sandbox: Sandbox, id: string): Promise<Buffer> {
  const entry = (await readHistory(sandbox.url)).get(id);
  expect(entry?.status.status_str).toBe('success');
  const [image] = entry?.outputs['60']?.images ?? [];
  const { status, bytes, contentType } = await call(`${sandbox.url}/view?${new URLSearchParams(image)}`);
  expect([status, contentType]).toEqual([200, 'image/png']);
  return bytes;
}

async function withPicture(sandbox: Sandbox, width = 400, height = 300): Promise<string> {
  return storedName(await upload(sandbox.url, 'in.png', await picture(width, height, '#2a6')));
}

type Graph = Record<string, Node>;

const graphSchema = z.record(
  z.string(),
  z.object({ class_type: z.string(), inputs: z.record(z.string(), z.unknown()) }),
);

/** The graph of one of the project's workflows. */
function readGraph(name: string): Graph {
  return graphSchema.parse(JSON.parse(readFileSync(`workflows/${name}/graph.json`, 'utf8')));
}

function setInputs(graph: Graph, id: string, inputs: Record<string, unknown>): void {
  Object.assign(graph[id]?.inputs ?? {}, inputs);
}

describe('a run', () => {
  it.each(['qwen-image-edit-plus', 'qwen-image-edit-plus-lightning', 'qwen-image-edit-2511'])(
    'makes a picture of the asked size with the %s graph',
    async name => {
      const sandbox = await start();
      const image = await withPicture(sandbox, 640, 480);
      const graph = readGraph(name);
      for (const id of ['78', '106', '108']) setInputs(graph, id, { image });
      setInputs(graph, '93', { width: 331, height: 250 });
      const socket = await runToEnd(sandbox, 'p', graph);
      // VAEEncode keeps the middle, to a multiple of 8.
      const result = await resultOf(sandbox, 'p');
      expect(await sharp(result).metadata()).toMatchObject({ format: 'png', width: 328, height: 248 });
      expect(result.includes(Buffer.from('tEXtprompt\0{'))).toBe(true);
      expect(socket.frames.filter(frame => isType(frame, 'progress'))).toHaveLength(
        Number(graph['3']?.inputs.steps),
      );
    },
  );

  it('gives the same bytes for the same graph and other ones for another seed', async () => {
    const bytes: Buffer[] = [];
    for (const seed of [5, 5, 6]) {
      const sandbox = await start();
      const image = await withPicture(sandbox);
      await runToEnd(sandbox, 'p', editGraph({ image, prefix: 'a/b', seed }));
      bytes.push(await resultOf(sandbox, 'p'));
    }
    const [first, again, other] = bytes;
    expect(again?.equals(first ?? Buffer.alloc(0))).toBe(true);
    const pixels = await Promise.all([first, other].map(file => sharp(file).raw().toBuffer()));
    expect(pixels[1]?.equals(pixels[0] ?? Buffer.alloc(0))).toBe(false);
  });

  it('shows previews of 256 pixels on the longer side, few of them different', async () => {
    const sandbox = await start({ stepMs: 1 });
    const image = await withPicture(sandbox);
    const socket = await runToEnd(sandbox, 'p', editGraph({ image, prefix: 'x', steps: 40 }));
    const frames = socket.frames.flatMap(frame => ('binary' in frame ? [frame.binary] : []));
    expect(frames).toHaveLength(40);
    const pictures = frames.map(frame => frame.subarray(8 + frame.readUInt32BE(4)));
    expect(new Set(pictures.map(jpeg => jpeg.toString('base64'))).size).toBeLessThanOrEqual(12);
    const { format, width, height } = await sharp(pictures[0]).metadata();
    expect([format, Math.max(width ?? 0, height ?? 0)]).toEqual(['jpeg', 256]);
  });

  it('keeps all digits of a seed', async () => {
    const sandbox = await start();
    const image = await withPicture(sandbox);
    await runToEnd(sandbox, 'p', editGraph({ image, prefix: 'x', seed: '18446744073709551615' }));
    const { bytes } = await call(`${sandbox.url}/history/p`);
    expect(bytes.toString()).toContain('"seed":18446744073709551615,');
  });

  it('never fails on odd text', { timeout: 60_000 }, async () => {
    const sandbox = await start();
    const image = await withPicture(sandbox, 64, 48);
    let run = 0;
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.constant('<svg>&amp;]]>\0\ud800'),
    );
    const property = fc.asyncProperty(text, async prompt => {
      run += 1;
      await runToEnd(
        sandbox,
        `p${run}`,
        editGraph({ image, prefix: 'x', prompt, megapixels: 0.01, steps: 1 }),
      );
      await resultOf(sandbox, `p${run}`);
    });
    await fc.assert(property, { numRuns: 25 });
  });

  it('turns a picture as its EXIF data says', async () => {
    const sandbox = await start();
    const turned = await sharp(await picture(320, 160, '#a00'))
      .jpeg()
      .withMetadata({ orientation: 6 })
      .toBuffer();
    await upload(sandbox.url, 'turned.jpg', turned);
    await runToEnd(sandbox, 'p', editGraph({ image: 'turned.jpg', prefix: 'x' }));
    const { width = 0, height = 0 } = await sharp(await resultOf(sandbox, 'p')).metadata();
    expect(height).toBeGreaterThan(width);
  });

  it('fails at run time when an upload is no picture', async () => {
    const sandbox = await start();
    await upload(sandbox.url, 'text.png', Buffer.from('no picture at all'));
    const socket = await runToEnd(sandbox, 'p', editGraph({ image: 'text.png', prefix: 'x' }));
    const error = socket.frames.find(frame => isType(frame, 'execution_error'));
    expect(error).toMatchObject({ data: { node_id: '78', exception_type: 'PIL.UnidentifiedImageError' } });
    expect((await call(`${sandbox.url}/history/p`)).body).toMatchObject({
      p: { status: { status_str: 'error' } },
    });
  });

  it('numbers the files of a prefix and refuses one that leads outside', async () => {
    const sandbox = await start();
    const image = await withPicture(sandbox);
    for (const [index, prefix] of ['a/x', 'a/x', 'b/x', '../x'].entries()) {
      await runToEnd(sandbox, `p${index}`, editGraph({ image, prefix, seed: index }));
    }
    const saved = [...(await readHistory(sandbox.url)).values()].map(entry => entry.outputs['60']?.images[0]);
    expect(saved).toEqual([
      { filename: 'x_00001_.png', subfolder: 'a', type: 'output' },
      { filename: 'x_00002_.png', subfolder: 'a', type: 'output' },
      { filename: 'x_00001_.png', subfolder: 'b', type: 'output' },
      undefined,
    ]);
  });

  it('runs only SaveImage again when only its prefix changed', async () => {
    const sandbox = await start();
    const image = await withPicture(sandbox);
    await runToEnd(sandbox, 'p1', editGraph({ image, prefix: 'one' }));
    const socket = await runToEnd(sandbox, 'p2', editGraph({ image, prefix: 'two' }));
    const nodes = socket.frames.flatMap(frame =>
      isType(frame, 'executing') && 'data' in frame ? [frame.data.node] : [],
    );
    expect(nodes).toEqual(['60']);
  });
});

describe('cancelling', () => {
  it('interrupts the running prompt within a step, and only if its id is meant', async () => {
    const sandbox = await start({ stepMs: 30_000 });
    const image = await withPicture(sandbox);
    const socket = await openSocket(sandbox.url, 'p');
    await submit(sandbox, 'p', editGraph({ image, prefix: 'x' }));
    await socket.until(frame => isType(frame, 'executing'));
    await call(`${sandbox.url}/interrupt`, 'POST', { prompt_id: 'another' });
    expect((await readStats(sandbox.url)).running).toBe('p');
    await call(`${sandbox.url}/interrupt`, 'POST', { prompt_id: 'p' });
    await socket.until(frame => isType(frame, 'execution_interrupted', 'p'));
    await socket.until(frame => isType(frame, 'executing_null', 'p'));
    expect((await readStats(sandbox.url)).interrupted).toEqual({ p: 1 });
  });

  it('takes a waiting prompt out without a trace', async () => {
    const sandbox = await start({ stepMs: 30_000 });
    const image = await withPicture(sandbox);
    for (const id of ['p1', 'p2', 'p3']) await submit(sandbox, id, editGraph({ image, prefix: id }));
    await call(`${sandbox.url}/queue`, 'POST', { delete: ['p2', 'unknown'] });
    expect(await readStats(sandbox.url)).toMatchObject({ running: 'p1', pending: ['p3'] });
    expect((await call(`${sandbox.url}/history/p2`)).body).toEqual({});
  });

  it('kills whatever runs when the version knows no targets', async () => {
    const sandbox = await start({ stepMs: 50, version: 'legacy' });
    const image = await withPicture(sandbox);
    const socket = await openSocket(sandbox.url, 'p', false);
    await submit(sandbox, 'p', editGraph({ image, prefix: 'x', steps: 1_000 }));
    await socket.until(frame => isType(frame, 'preview'));
    await call(`${sandbox.url}/interrupt`, 'POST', { prompt_id: 'another' });
    await socket.until(frame => isType(frame, 'execution_interrupted', 'p'));
    const types = new Set(socket.frames.map(nameOf));
    expect(types).not.toContain('progress_state');
    expect(types).toContain('progress');
  });
});

describe('sockets', () => {
  it('makes the newer socket deaf when the older of the same id ends', async () => {
    const sandbox = await start();
    const image = await withPicture(sandbox);
    const older = await openSocket(sandbox.url, 'same');
    const newer = await openSocket(sandbox.url, 'same');
    await older.close();
    await eventually(
      () => readStats(sandbox.url),
      stats => stats.sockets.length === 0,
    );
    const heard = newer.frames.length;
    const other = await openSocket(sandbox.url, 'other');
    await submit(sandbox, 'same', editGraph({ image, prefix: 'x' }));
    // `status` goes to everybody who is still known; the last one says that nothing is left.
    await other.until(
      frame => isType(frame, 'status') && JSON.stringify(frame).includes('"queue_remaining":1'),
    );
    await eventually(
      () => readStats(sandbox.url),
      stats => stats.completed.same === 1,
    );
    expect(newer.frames).toHaveLength(heard);
  });

  it('gives an id to a client without one', async () => {
    const sandbox = await start();
    const socket = await openSocket(sandbox.url, '');
    expect(socket.frames[0]).toMatchObject({ data: { sid: expect.stringMatching(/^[0-9a-f]{32}$/) } });
  });

  it('lets everybody hear the progress of a prompt without a client', async () => {
    const sandbox = await start();
    const image = await withPicture(sandbox);
    const socket = await openSocket(sandbox.url, 'listener');
    await call(`${sandbox.url}/prompt`, 'POST', {
      prompt: editGraph({ image, prefix: 'x' }),
      prompt_id: 'p',
    });
    await socket.until(frame => 'binary' in frame && frame.binary.readUInt32BE(0) === 1);
    await eventually(
      () => readStats(sandbox.url),
      stats => stats.completed.p === 1,
    );
    expect(socket.frames.some(frame => isType(frame, 'execution_start'))).toBe(false);
  });
});

describe('files', () => {
  it('serves ranges, refuses paths that lead outside, and knows what is not there', async () => {
    const sandbox = await start();
    const bytes = await picture(20, 20, '#fff');
    await upload(sandbox.url, 'a.png', bytes, { subfolder: 'sub' });
    const view = (query: string, headers = {}) => fetch(`${sandbox.url}/api/view?${query}`, { headers });
    const part = await view('filename=a.png&subfolder=sub&type=input', { range: 'bytes=8-15' });
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 8-15/${bytes.length}`]);
    expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(8, 16));
    const statuses = await Promise.all(
      [
        'filename=a.png&subfolder=../x&type=input',
        'filename=a.png&type=elsewhere',
        'filename=',
        'filename=none.png',
        'type=input',
      ].map(async query => (await view(query)).status),
    );
    expect(statuses).toEqual([403, 400, 400, 404, 404]);
  });
});

describe('versions and gaps', () => {
  it('wants resolution_steps and checks every list in 0.8.0, but not in 0.3.64', async () => {
    for (const [version, status] of [
      ['0.8.0', 400],
      ['0.3.64', 200],
    ] as const) {
      const sandbox = await start({ version });
      const graph = editGraph({ image: await withPicture(sandbox), prefix: 'x' });
      const without = structuredClone(graph);
      delete without['93']?.inputs.resolution_steps;
      setInputs(graph, '93', { upscale_method: 'nope' });
      for (const prompt of [graph, without]) {
        expect((await call(`${sandbox.url}/prompt`, 'POST', { prompt })).status).toBe(status);
      }
    }
  });

  it('lacks the models and nodes it is told to lack', async () => {
    const sandbox = await start({
      missingModels: ['qwen_image_edit_2509_fp8_e4m3fn.safetensors'],
      missingNodes: ['CFGNorm'],
    });
    const graph = editGraph({ image: await withPicture(sandbox), prefix: 'x' });
    const refused = await call(`${sandbox.url}/prompt`, 'POST', { prompt: graph });
    expect(refused.body).toMatchObject({ node_errors: { 37: { errors: [{ type: 'value_not_in_list' }] } } });
    expect((await call(`${sandbox.url}/object_info/CFGNorm`)).body).toEqual({});
    expect((await call(`${sandbox.url}/models/diffusion_models`)).body).toHaveLength(2);
    expect((await call(`${sandbox.url}/models/none`)).status).toBe(404);
  });

  it('loses its worker to a link into nothing while HTTP goes on', async () => {
    const sandbox = await start();
    const graph = editGraph({ image: await withPicture(sandbox), prefix: 'x' });
    setInputs(graph, '3', { unknown: ['999', 0] });
    await submit(sandbox, 'p', graph);
    await submit(sandbox, 'q', editGraph({ image: 'in.png', prefix: 'y' }));
    await eventually(
      () => readStats(sandbox.url),
      stats => stats.timeline[0]?.endedAt != null,
    );
    expect(await readStats(sandbox.url)).toMatchObject({ running: 'p', pending: ['q'], completed: {} });
  });

  it('answers what Python cannot digest with 500', async () => {
    const sandbox = await start();
    const bodies = [{ prompt: null }, { prompt: { 1: null } }, { prompt: {}, number: 'x' }, []];
    for (const body of bodies) expect((await call(`${sandbox.url}/prompt`, 'POST', body)).status).toBe(500);
    expect((await call(`${sandbox.url}/interrupt`, 'POST', [])).status).toBe(500);
    expect((await call(`${sandbox.url}/history?max_items=x`)).status).toBe(500);
    expect((await call(`${sandbox.url}/sandbox/none`)).status).toBe(404);
  });

  it('refuses pages of other sites', async () => {
    const sandbox = await start();
    const { host } = new URL(sandbox.url);
    const statusFor = (origin: string): Promise<number> =>
      fetch(`${sandbox.url}/queue`, { headers: { origin } }).then(response => response.status);
    expect(await statusFor('http://elsewhere.example')).toBe(403);
    expect(await statusFor('http://127.0.0.1:1')).toBe(403);
    expect(await statusFor(`http://${host}`)).toBe(200);
  });

  it('reads no file outside its folders', async () => {
    const sandbox = await start();
    const prompt = editGraph({ image: '../../../../etc/hostname', prefix: 'x' });
    const { body } = await call(`${sandbox.url}/prompt`, 'POST', { prompt });
    expect(body).toMatchObject({ node_errors: { 78: { errors: [{ type: 'custom_validation_failed' }] } } });
  });

  it('hides its controls unless they are asked for', async () => {
    const sandbox = await start({ control: false });
    expect((await call(`${sandbox.url}/sandbox/stats`)).status).toBe(404);
    expect((await call(`${sandbox.url}/sandbox/faults`, 'POST', {})).status).toBe(405);
  });
});
