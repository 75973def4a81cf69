import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import sharp from 'sharp';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createFileArtifacts } from '../../src/adapters/files/artifacts.ts';
import { createEngineClient, type EngineClient } from '../../src/comfyui/client.ts';
import { EngineUnreachable } from '../../src/comfyui/unreachable.ts';
import { collectOutputs, findOutputs } from '../../src/dispatch/run/collect.ts';
import type { Artifacts } from '../../src/jobs/image-stores.ts';
import { type RecordedLog, recordLog } from '../support/log.ts';
import { collectGarbage } from '../support/memory.ts';
import { listen } from '../support/servers.ts';

const MIB = 1024 * 1024;
const PROMPT = 'a secret wish';

let folder: string;
let artifacts: Artifacts;
let engine: Server;
let client: EngineClient;
let log: RecordedLog;
/** What `/view` gives for each name. */
let files: Map<string, () => Readable>;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'collect-'));
  artifacts = createFileArtifacts(folder);
  log = recordLog();
  files = new Map();
  engine = createServer((request, response) => {
    const name = new URL(request.url ?? '/', 'http://engine').searchParams.get('filename') ?? '';
    const file = files.get(name)?.();
    if (file === undefined) response.writeHead(404).end();
    else file.once('error', () => response.destroy()).pipe(response);
  });
  client = createEngineClient({ url: `http://127.0.0.1:${await listen(engine)}`, timeoutMs: 5_000 });
});
afterEach(async () => {
  await client.close();
  engine.closeAllConnections();
  await new Promise(resolve => engine.close(resolve));
  await rm(folder, { recursive: true });
});

function collect(...names: string[]) {
  const named = names.map(filename => ({ filename, subfolder: 'QwenEdit', type: 'output' as const }));
  const entry = { outcome: { kind: 'succeeded' as const }, files: { '9': named } };
  return collectOutputs({ client, artifacts, log }, 'job', entry, '9');
}

const read = async (key: string): Promise<Buffer> => {
  const stream = await artifacts.get(key);
  if (stream === null) throw new Error(`There is no ${key}`);
  return buffer(stream);
};

/** A PNG of a valid head and this much of what no decoder will look at. */
function* largePng(head: Buffer, type: string, length: number): Generator<Buffer> {
  const chunk = Buffer.alloc(8);
  chunk.writeUInt32BE(length);
  chunk.write(type, 4);
  yield Buffer.concat([head.subarray(0, 33), chunk]);
  for (let sent = 0; sent < length; sent += MIB) yield Buffer.alloc(Math.min(MIB, length - sent), 7);
  yield Buffer.concat([Buffer.alloc(4), head.subarray(33)]);
}

it('stores JPEG and WebP without the engine’s metadata, and the metadata beside them', async () => {
  const picture = sharp({ create: { width: 40, height: 30, channels: 3, background: 'teal' } });
  for (const [kind, mimeType] of [
    ['jpeg', 'image/jpeg'],
    ['webp', 'image/webp'],
  ] as const) {
    const extension = kind === 'jpeg' ? 'jpg' : kind;
    const told = picture.clone().withExif({ IFD0: { ImageDescription: PROMPT } });
    const file = await told.toFormat(kind).toBuffer();
    expect(file.includes(PROMPT)).toBe(true);
    files.set(`a.${kind}`, () => Readable.from([file]));
    const [output] = await collect(`a.${kind}`);
    const stored = await read(`outputs/job/1.${extension}`);
    expect(stored.includes(PROMPT)).toBe(false);
    expect(output).toMatchObject({
      key: `outputs/job/1.${extension}`,
      mimeType,
      bytes: stored.length,
      width: 40,
      height: 30,
      removed: { key: 'outputs/job/1.removed' },
    });
    expect((await read('outputs/job/1.removed')).includes(PROMPT)).toBe(true);
  }
});

it('stores nothing beside an image without metadata', async () => {
  const plain = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'teal' } })
    .png()
    .toBuffer();
  for (const name of ['a.png', 'b.png']) files.set(name, () => Readable.from([plain]));
  const outputs = await collect('a.png', 'b.png');
  expect(outputs.map(({ removed }) => removed)).toEqual([null, null]);
  expect((await artifacts.list('')).map(({ key }) => key)).toEqual([
    'outputs/job/1.png',
    'outputs/job/2.png',
  ]);
});

it('streams a large image, and drops metadata that is too large', async () => {
  const held = (): number => {
    collectGarbage();
    return process.memoryUsage().arrayBuffers;
  };
  const plain = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'teal' } })
    .png()
    .toBuffer();
  for (const type of ['IDAT', 'tEXt']) {
    const before = held();
    let most = 0;
    files.set('a.png', () =>
      Readable.from(
        (function* () {
          let count = 0;
          for (const part of largePng(plain, type, 64 * MIB)) {
            if (count++ % 8 === 0) most = Math.max(most, held() - before);
            yield part;
          }
        })(),
        { objectMode: false },
      ),
    );
    const [output] = await collect('a.png');
    expect(most).toBeLessThan(32 * MIB);
    expect(output?.bytes).toBe(type === 'IDAT' ? plain.length + 12 + 64 * MIB : plain.length);
    expect(output?.removed).toBeNull();
    expect(log.has('warn', 'too large to be kept')).toBe(type === 'tEXt');
  }
  expect((await read('outputs/job/1.png')).equals(plain)).toBe(true);
});

it('keeps nothing when the engine disconnects in the middle, and rejects', async () => {
  files.set('a.png', () =>
    Readable.from(
      (function* () {
        yield Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
        yield Buffer.alloc(MIB);
        throw new Error('gone');
      })(),
    ),
  );
  await expect(collect('a.png')).rejects.toThrow(
    new EngineUnreachable('GET /view broke off: UND_ERR_SOCKET'),
  );
  expect(await artifacts.list('')).toEqual([]);
});

it('takes a temporary file only when there is no output file', async () => {
  const png = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'teal' } })
    .png()
    .toBuffer();
  for (const name of ['a.png', 'b.png']) files.set(name, () => Readable.from([png]));
  const file = (filename: string, type: string) => ({ filename, subfolder: '', type });
  const entry = (...list: ReturnType<typeof file>[]) => ({
    outcome: { kind: 'succeeded' as const },
    files: { '9': list },
  });
  const collecting = { client, artifacts, log };
  const both = entry(file('a.png', 'temp'), file('b.png', 'output'));
  expect(await collectOutputs(collecting, 'job', both, '9')).toMatchObject([{ filename: 'b.png' }]);
  const preview = entry(file('a.png', 'temp'), file('c.png', 'input'));
  expect(await collectOutputs(collecting, 'job', preview, '9')).toMatchObject([
    { filename: 'a.png', enginePath: '../temp/a.png' },
  ]);
});

it('finds a whole image by the name of its job, and no part of one', async () => {
  const png = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'teal' } })
    .png()
    .toBuffer();
  const save = { class_type: 'SaveImage', inputs: { filename_prefix: 'QwenEdit/api_x', images: ['8', 0] } };
  const find = (graph: Record<string, typeof save>) =>
    findOutputs({ client, artifacts, log }, 'job', { graph, outputNode: '9' });
  expect(await find({ '9': save })).toEqual([]);
  files.set('api_x_00001_.png', () => Readable.from([png.subarray(0, png.length - 20)]));
  expect(await find({ '9': save })).toEqual([]);
  expect(await artifacts.list('')).toEqual([]);
  files.set('api_x_00001_.png', () => Readable.from([png]));
  expect(await find({ '9': save })).toMatchObject([{ filename: 'api_x_00001_.png', bytes: png.length }]);
  const batch = {
    class_type: 'EmptySD3LatentImage',
    inputs: { filename_prefix: '', images: [], batch_size: 2 },
  };
  expect(await find({ '5': batch, '9': save })).toEqual([]);
});
