import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFileArtifacts } from '../../../src/adapters/files/artifacts.ts';
import { findPrivateChunks, withoutSpans } from '../../../src/http/rest/png-metadata.ts';
import { startPictures } from '../../support/image-server.ts';
import { send } from '../../support/requests.ts';
import { type Face, keepCompleted, startFace } from '../../support/rest-face.ts';
import { startTestGateway, type TestGateway, waitForEnd } from '../../support/rest-gateway.ts';

function chunkOf(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const whole = Buffer.alloc(body.length + 8);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc32(body), body.length + 4);
  return whole;
}

const SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');
const isPrivate = (type: string): boolean => ['tEXt', 'zTXt', 'iTXt', 'eXIf'].includes(type);

/** The bytes in pieces of these sizes, over and over. */
function* pieces(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

describe('the private chunks of a PNG', () => {
  const chunks = fc.array(
    fc.tuple(
      fc.constantFrom('IDAT', 'pHYs', 'tEXt', 'zTXt', 'iTXt', 'eXIf', 'tEXT', 'IEND'),
      fc.uint8Array({ maxLength: 40 }),
    ),
    { maxLength: 12 },
  );

  it('are left out, and nothing else, however the file comes in pieces and whatever part is asked for', async () => {
    await fc.assert(
      fc.asyncProperty(
        chunks,
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }),
        fc.tuple(fc.nat(), fc.nat()),
        async (given, sizes, [a, b]) => {
          const made = given.map(([type, data]) => ({ type, bytes: chunkOf(type, Buffer.from(data)) }));
          const file = Buffer.concat([SIGNATURE, ...made.map(({ bytes }) => bytes)]);
          const wanted = Buffer.concat([
            SIGNATURE,
            ...made.filter(({ type }) => !isPrivate(type)).map(({ bytes }) => bytes),
          ]);
          const stripped = withoutSpans(
            file.length,
            await findPrivateChunks(Readable.from(pieces(file, sizes))),
          );
          expect(stripped.size).toBe(wanted.length);
          expect(await buffer(stripped.strip(Readable.from(pieces(file, sizes)), 0))).toEqual(wanted);
          const [start, end] = [a % wanted.length, b % wanted.length].sort((x, y) => x - y);
          if (start === undefined || end === undefined) return;
          const source = stripped.sourceRange({ start, end });
          const part = file.subarray(source.start, source.end + 1);
          expect(await buffer(stripped.strip(Readable.from(pieces(part, sizes)), source.start))).toEqual(
            wanted.subarray(start, end + 1),
          );
        },
      ),
    );
  });

  it('are looked for in PNG only, and as far as a file goes', async () => {
    expect(await findPrivateChunks(Readable.from([Buffer.alloc(100_000)]))).toEqual([]);
    expect(await findPrivateChunks(Readable.from([]))).toEqual([]);
    const cut = Buffer.concat([SIGNATURE, chunkOf('tEXt', randomBytes(100)).subarray(0, 50)]);
    expect(await findPrivateChunks(Readable.from([cut]))).toEqual([{ start: 8, end: 58 }]);
  });
});

describe('a download of what an earlier version stored', () => {
  const PROMPT = 'a secret wish';
  let face: Face;
  let url: string;
  let stored: Buffer;
  let plain: Buffer;
  beforeAll(async () => {
    face = await startFace();
    const { job, pictures } = await keepCompleted(face);
    plain = pictures[0] ?? Buffer.alloc(0);
    const note = Buffer.from(`prompt\0{"6": {"inputs": {"text": "${PROMPT}"}}}`);
    stored = Buffer.concat([
      plain.subarray(0, 33),
      chunkOf('tEXt', note),
      chunkOf('iTXt', note),
      chunkOf('zTXt', note),
      plain.subarray(33, -12),
      chunkOf('eXIf', note),
      plain.subarray(-12),
    ]);
    await face.artifacts.put(job.outputs[0]?.key ?? '', stored);
    url = `${face.url}/download/${job.id}`;
  });
  afterAll(() => face.stop());

  const bytesOf = async (answer: Response): Promise<Buffer> => Buffer.from(await answer.arrayBuffer());

  it('leaves out what the engine wrote of the prompt, and is the same picture', async () => {
    const answer = await fetch(url);
    const bytes = await bytesOf(answer);
    expect(bytes).toEqual(plain);
    expect(answer.headers.get('content-length')).toBe(String(plain.length));
    expect(await sharp(bytes).raw().toBuffer()).toEqual(await sharp(stored).raw().toBuffer());
  });

  it('keeps it when it is asked to, as another file', async () => {
    const [without, whole] = await Promise.all([fetch(url), fetch(`${url}?metadata=keep`)]);
    expect(await bytesOf(whole)).toEqual(stored);
    expect(whole.headers.get('content-length')).toBe(String(stored.length));
    expect(whole.headers.get('etag')).not.toBe(without.headers.get('etag'));
    await without.body?.cancel();
  });

  it('says the same of itself by HEAD, in parts, and to who has it', async () => {
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(String(plain.length));
    const etag = head.headers.get('etag') ?? '';
    const part = await fetch(url, { headers: { range: 'bytes=20-60', 'if-range': etag } });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe(`bytes 20-60/${plain.length}`);
    expect(await bytesOf(part)).toEqual(plain.subarray(20, 61));
    const rest = await fetch(url, { headers: { range: 'bytes=-30' } });
    expect(await bytesOf(rest)).toEqual(plain.subarray(-30));
    expect((await fetch(url, { headers: { 'if-none-match': etag } })).status).toBe(304);
  });

  it.each(['png', 'webp', 'jpeg'])('says nothing of the prompt as %s either', async format => {
    const bytes = await bytesOf(await fetch(`${url}?format=${format}`));
    expect(bytes.includes(PROMPT)).toBe(false);
    const { exif, xmp, comments } = await sharp(bytes).metadata();
    expect([exif, xmp, comments]).toEqual([undefined, undefined, undefined]);
  });

  it('takes no other word for it', async () => {
    const answer = await fetch(`${url}?metadata=drop`);
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { detail: 'metadata takes keep, got "drop"' },
    ]);
  });
});

describe('a download of what a run made', () => {
  const PROMPT = 'a secret wish';
  let folder: string;
  let gateway: TestGateway;
  let id: string;
  let whole: Buffer;
  let plain: Buffer;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metadata-'));
    gateway = await startTestGateway({ DATA_DIR: folder });
    const pictures = await startPictures();
    const edit = { image1_url: `${pictures.url}/cat.png`, prompt: PROMPT, steps: 1 };
    id = String((await send(`${gateway.url}/edit-image`, edit)).body.job_id);
    expect(await waitForEnd(gateway.url, id)).toMatchObject({ status: 'COMPLETED' });
    await pictures.stop();
    const download = async (query: string): Promise<Buffer> =>
      Buffer.from(await (await fetch(`${gateway.url}/download/${id}${query}`)).arrayBuffer());
    [plain, whole] = [await download(''), await download('?metadata=keep')];
  });
  afterAll(async () => {
    await gateway.stop();
    await rm(folder, { recursive: true });
  });

  const artifacts = () => createFileArtifacts(join(folder, 'artifacts'));
  const ask = (query: string, headers: Record<string, string> = {}, method = 'GET') =>
    fetch(`${gateway.url}/download/${id}${query}`, { method, headers });

  it('is the stored file, as long as GraphQL says, without a word of the prompt', async () => {
    expect(plain.includes(PROMPT)).toBe(false);
    const query = `{ job(id: "${id}") { images { bytes } } }`;
    const answer = await send(`${gateway.url}/graphql`, { query });
    expect(answer.body).toEqual({ data: { job: { images: [{ bytes: plain.length }] } } });
    const stored = await artifacts().get(`outputs/${id}/1.png`);
    expect(stored === null ? null : await buffer(stored)).toEqual(plain);
    expect((await ask('', {}, 'HEAD')).headers.get('content-length')).toBe(String(plain.length));
  });

  it('is the file that the engine wrote when it is asked to be, byte for byte', async () => {
    const kept = (await findPrivateChunks(Readable.from([whole]))).map(({ start, end }) =>
      whole.subarray(start, end),
    );
    expect(Buffer.concat(kept).includes(PROMPT)).toBe(true);
    expect(plain.length + Buffer.concat(kept).length).toBe(whole.length);
    expect(await sharp(whole).raw().toBuffer()).toEqual(await sharp(plain).raw().toBuffer());
    // Every chunk that was put back is whole, its sum included.
    for (let at = 8; at < whole.length; ) {
      const length = whole.readUInt32BE(at);
      expect(whole.readUInt32BE(at + 8 + length)).toBe(crc32(whole.subarray(at + 4, at + 8 + length)));
      at += 12 + length;
    }
  });

  it('goes out in parts, and is told apart from the other, both ways', async () => {
    const tags = new Set<string>();
    for (const [query, file] of [
      ['', plain],
      ['?metadata=keep', whole],
    ] as const) {
      const head = await ask(query, {}, 'HEAD');
      expect(head.headers.get('content-length')).toBe(String(file.length));
      const etag = head.headers.get('etag') ?? '';
      tags.add(etag);
      for (const [start, end] of [
        [0, 0],
        [20, 50],
        [30, file.length - 20],
        [file.length - 5, file.length - 1],
      ] as const) {
        const part = await ask(query, { range: `bytes=${start}-${end}`, 'if-range': etag });
        expect(part.status).toBe(206);
        expect(part.headers.get('content-range')).toBe(`bytes ${start}-${end}/${file.length}`);
        expect(Buffer.from(await part.arrayBuffer())).toEqual(file.subarray(start, end + 1));
      }
      expect((await ask(query, { 'if-none-match': etag })).status).toBe(304);
      expect((await ask(query, { range: `bytes=${file.length}-` })).status).toBe(416);
    }
    expect(tags.size).toBe(2);
  });

  it('leaves nothing behind when its job is deleted', async () => {
    expect((await artifacts().list('outputs')).length).toBeGreaterThan(1);
    expect((await fetch(`${gateway.url}/jobs/${id}`, { method: 'DELETE' })).status).toBe(200);
    expect(await artifacts().list('')).toEqual([]);
  });
});
