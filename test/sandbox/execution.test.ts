import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Sandbox } from '../../src/sandbox/server.ts';
import { anyCharacter } from '../support/characters.ts';
import {
  call,
  editGraph,
  isType,
  nameOf,
  openSocket,
  plainPng,
  readHistory,
  readStats,
  startTestSandbox,
  submitGraph,
  type TestSocket,
  upload,
  uploadInput,
} from '../support/comfyui/sandbox.ts';

async function runToEnd(sandbox: Sandbox, id: string, prompt: unknown): Promise<TestSocket> {
  const socket = await openSocket(sandbox.url, id);
  await submitGraph(sandbox, id, prompt);
  await socket.until(frame => isType(frame, 'executing_null', id));
  await socket.close();
  return socket;
}

/** The bytes of the image that the prompt saved. */
async function resultOf(sandbox: Sandbox, id: string): Promise<Buffer> {
  const entry = (await readHistory(sandbox.url)).get(id);
  expect(entry?.status.status_str).toBe('success');
  const [image] = entry?.outputs['60']?.images ?? [];
  const { status, bytes, contentType } = await call(`${sandbox.url}/view?${new URLSearchParams(image)}`);
  expect([status, contentType]).toEqual([200, 'image/png']);
  return bytes;
}

const graphSchema = z.record(
  z.string(),
  z.object({ class_type: z.string(), inputs: z.record(z.string(), z.unknown()) }),
);

/** The graph of one of the project's workflows. */
function readGraph(name: string): z.infer<typeof graphSchema> {
  return graphSchema.parse(JSON.parse(readFileSync(`workflows/${name}/graph.json`, 'utf8')));
}

describe('execution', () => {
  it.each(['qwen-image-edit-plus', 'qwen-image-edit-plus-lightning', 'qwen-image-edit-2511'])(
    'saves an image of the requested size with the %s graph',
    async name => {
      const sandbox = await startTestSandbox();
      const image = await uploadInput(sandbox, 640, 480);
      const graph = readGraph(name);
      for (const id of ['78', '106', '108']) Object.assign(graph[id]?.inputs ?? {}, { image });
      Object.assign(graph['93']?.inputs ?? {}, { width: 331, height: 250 });
      const socket = await runToEnd(sandbox, 'p', graph);
      // VAEEncode crops to a multiple of 8.
      const result = await resultOf(sandbox, 'p');
      expect(await sharp(result).metadata()).toMatchObject({ format: 'png', width: 328, height: 248 });
      expect(result.includes(Buffer.from('tEXtprompt\0{'))).toBe(true);
      expect(socket.frames.filter(frame => isType(frame, 'progress'))).toHaveLength(
        Number(graph['3']?.inputs.steps),
      );
    },
  );

  it('produces the same bytes for the same graph, and others for another seed', async () => {
    const bytes: Buffer[] = [];
    for (const seed of [5, 5, 6]) {
      const sandbox = await startTestSandbox();
      const image = await uploadInput(sandbox);
      await runToEnd(sandbox, 'p', editGraph({ image, prefix: 'a/b', seed }));
      bytes.push(await resultOf(sandbox, 'p'));
    }
    const [first, again, other] = bytes;
    expect(again?.equals(first ?? Buffer.alloc(0))).toBe(true);
    const pixels = await Promise.all([first, other].map(file => sharp(file).raw().toBuffer()));
    expect(pixels[1]?.equals(pixels[0] ?? Buffer.alloc(0))).toBe(false);
  });

  it('sends previews of 256 pixels on the longer side, of which at most 12 differ', async () => {
    const sandbox = await startTestSandbox({ stepMs: 1 });
    const image = await uploadInput(sandbox);
    const socket = await runToEnd(sandbox, 'p', editGraph({ image, prefix: 'x', steps: 40 }));
    const frames = socket.frames.flatMap(frame => ('binary' in frame ? [frame.binary] : []));
    expect(frames).toHaveLength(40);
    const jpegs = frames.map(frame => frame.subarray(8 + frame.readUInt32BE(4)));
    const different = new Set(jpegs.map(jpeg => jpeg.toString('base64'))).size;
    expect(different).toBeGreaterThanOrEqual(2);
    expect(different).toBeLessThanOrEqual(12);
    const { format, width, height } = await sharp(jpegs[0]).metadata();
    expect([format, Math.max(width ?? 0, height ?? 0)]).toEqual(['jpeg', 256]);
  });

  it('keeps all digits of a seed', async () => {
    const sandbox = await startTestSandbox();
    const image = await uploadInput(sandbox);
    await runToEnd(sandbox, 'p', editGraph({ image, prefix: 'x', seed: '18446744073709551615' }));
    const { bytes } = await call(`${sandbox.url}/history/p`);
    expect(bytes.toString()).toContain('"seed":18446744073709551615,');
  });

  it('draws any prompt text, valid XML or not', { timeout: 60_000 }, async () => {
    const sandbox = await startTestSandbox();
    const image = await uploadInput(sandbox, 64, 48);
    let run = 0;
    const text = fc.oneof(
      fc.string({ unit: anyCharacter, maxLength: 200 }),
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

  it('rotates an image by its EXIF orientation', async () => {
    const sandbox = await startTestSandbox();
    const turned = await sharp(await plainPng(320, 160, '#a00'))
      .jpeg()
      .withMetadata({ orientation: 6 })
      .toBuffer();
    await upload(sandbox.url, 'turned.jpg', turned);
    await runToEnd(sandbox, 'p', editGraph({ image: 'turned.jpg', prefix: 'x' }));
    const { width = 0, height = 0 } = await sharp(await resultOf(sandbox, 'p')).metadata();
    expect(height).toBeGreaterThan(width);
  });

  it('fails at run time when the uploaded file is not an image', async () => {
    const sandbox = await startTestSandbox();
    await upload(sandbox.url, 'text.png', Buffer.from('not an image'));
    const socket = await runToEnd(sandbox, 'p', editGraph({ image: 'text.png', prefix: 'x' }));
    const error = socket.frames.find(frame => isType(frame, 'execution_error'));
    expect(error).toMatchObject({ data: { node_id: '78', exception_type: 'PIL.UnidentifiedImageError' } });
    expect((await call(`${sandbox.url}/history/p`)).body).toMatchObject({
      p: { status: { status_str: 'error' } },
    });
  });

  it('numbers the files of a prefix, and rejects a prefix that leads outside', async () => {
    const sandbox = await startTestSandbox();
    const image = await uploadInput(sandbox);
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

  it('executes only SaveImage again when only its prefix changed', async () => {
    const sandbox = await startTestSandbox();
    const image = await uploadInput(sandbox);
    await runToEnd(sandbox, 'p1', editGraph({ image, prefix: 'one' }));
    const socket = await runToEnd(sandbox, 'p2', editGraph({ image, prefix: 'two' }));
    const nodes = socket.frames.flatMap(frame =>
      isType(frame, 'executing') && 'data' in frame ? [frame.data.node] : [],
    );
    expect(nodes).toEqual(['60']);
  });
});

describe('cancellation', () => {
  it('interrupts the running prompt within a step, and only if the id is its own', async () => {
    const sandbox = await startTestSandbox({ stepMs: 30_000 });
    const image = await uploadInput(sandbox);
    const socket = await openSocket(sandbox.url, 'p');
    await submitGraph(sandbox, 'p', editGraph({ image, prefix: 'x' }));
    await socket.until(frame => isType(frame, 'executing'));
    await call(`${sandbox.url}/interrupt`, 'POST', { prompt_id: 'another' });
    expect((await readStats(sandbox.url)).running).toBe('p');
    await call(`${sandbox.url}/interrupt`, 'POST', { prompt_id: 'p' });
    await socket.until(frame => isType(frame, 'execution_interrupted', 'p'));
    await socket.until(frame => isType(frame, 'executing_null', 'p'));
    expect((await readStats(sandbox.url)).interrupted).toEqual({ p: 1 });
  });

  it('deletes a pending prompt without a history entry', async () => {
    const sandbox = await startTestSandbox({ stepMs: 30_000 });
    const image = await uploadInput(sandbox);
    for (const id of ['p1', 'p2', 'p3']) await submitGraph(sandbox, id, editGraph({ image, prefix: id }));
    await call(`${sandbox.url}/queue`, 'POST', { delete: ['p2', 'unknown'] });
    expect(await readStats(sandbox.url)).toMatchObject({ running: 'p1', pending: ['p3'] });
    expect((await call(`${sandbox.url}/history/p2`)).body).toEqual({});
  });

  it('interrupts whatever runs in a version without targeted interrupts', async () => {
    const sandbox = await startTestSandbox({ stepMs: 50, version: 'legacy' });
    const image = await uploadInput(sandbox);
    const socket = await openSocket(sandbox.url, 'p', false);
    await submitGraph(sandbox, 'p', editGraph({ image, prefix: 'x', steps: 1_000 }));
    await socket.until(frame => isType(frame, 'preview'));
    await call(`${sandbox.url}/interrupt`, 'POST', { prompt_id: 'another' });
    await socket.until(frame => isType(frame, 'execution_interrupted', 'p'));
    const types = new Set(socket.frames.map(nameOf));
    expect(types).not.toContain('progress_state');
    expect(types).toContain('progress');
  });
});
