import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFileArtifacts } from '../../../src/adapters/files/artifacts.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { startImageServer } from '../../support/image-server.ts';
import { postJson } from '../../support/requests.ts';
import { waitForEnd } from '../../support/watch.ts';

/** The chunks of a PNG, each with its length and checksum. Expects them to be whole. */
function chunksOf(png: Buffer): { type: string; bytes: Buffer }[] {
  const chunks: { type: string; bytes: Buffer }[] = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const bytes = png.subarray(at, at + 12 + length);
    expect(png.readUInt32BE(at + 8 + length)).toBe(crc32(png.subarray(at + 4, at + 8 + length)));
    chunks.push({ type: bytes.toString('latin1', 4, 8), bytes });
    at += bytes.length;
  }
  return chunks;
}

describe('a download', () => {
  const PROMPT = 'a secret wish';
  let folder: string;
  let gateway: Rig;
  let id: string;
  let whole: Buffer;
  let plain: Buffer;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'metadata-'));
    gateway = await startRig({ DATA_DIR: folder });
    const pictures = await startImageServer();
    const edit = { image1_url: `${pictures.url}/cat.png`, prompt: PROMPT, steps: 1 };
    id = String((await postJson(`${gateway.url}/edit-image`, edit)).body.job_id);
    expect(await waitForEnd(gateway.url, id)).toMatchObject({ status: 'COMPLETED' });
    await pictures.close();
    const download = async (query: string): Promise<Buffer> =>
      Buffer.from(await (await fetch(`${gateway.url}/download/${id}${query}`)).arrayBuffer());
    [plain, whole] = [await download(''), await download('?metadata=keep')];
  });
  afterAll(async () => {
    await gateway.close();
    await rm(folder, { recursive: true });
  });

  const artifacts = () => createFileArtifacts(join(folder, 'artifacts'));
  const ask = (query: string, headers: Record<string, string> = {}, method = 'GET') =>
    fetch(`${gateway.url}/download/${id}${query}`, { method, headers });

  it('is the stored file without the prompt, of the size that GraphQL reports', async () => {
    expect(plain.includes(PROMPT)).toBe(false);
    const query = `{ job(id: "${id}") { images { bytes } } }`;
    const answer = await postJson(`${gateway.url}/graphql`, { query });
    expect(answer.body).toEqual({ data: { job: { images: [{ bytes: plain.length }] } } });
    const stored = await artifacts().get(`outputs/${id}/1.png`);
    expect(stored === null ? null : await buffer(stored)).toEqual(plain);
    expect((await ask('', {}, 'HEAD')).headers.get('content-length')).toBe(String(plain.length));
  });

  it('is byte for byte the file that the engine wrote with ?metadata=keep', async () => {
    const text = chunksOf(whole).filter(({ type }) => ['tEXt', 'zTXt', 'iTXt', 'eXIf'].includes(type));
    const kept = Buffer.concat(text.map(({ bytes }) => bytes));
    expect(kept.includes(PROMPT)).toBe(true);
    expect(plain.length + kept.length).toBe(whole.length);
    expect(await sharp(whole).raw().toBuffer()).toEqual(await sharp(plain).raw().toBuffer());
  });

  it.each(['png', 'webp', 'jpeg'])('has no metadata as %s', async format => {
    const bytes = Buffer.from(await (await ask(`?format=${format}`)).arrayBuffer());
    expect(bytes.includes(PROMPT)).toBe(false);
    const { exif, xmp, comments } = await sharp(bytes).metadata();
    expect([exif, xmp, comments]).toEqual([undefined, undefined, undefined]);
  });

  it('accepts no other value of metadata', async () => {
    const answer = await ask('?metadata=drop');
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { detail: 'metadata takes keep, got "drop"' },
    ]);
  });

  it('supports ranges and has an ETag of its own, with and without metadata', async () => {
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

  it('leaves no file behind when its job is deleted', async () => {
    expect((await artifacts().list('outputs')).length).toBeGreaterThan(1);
    expect((await fetch(`${gateway.url}/jobs/${id}`, { method: 'DELETE' })).status).toBe(200);
    expect(await artifacts().list('')).toEqual([]);
  });
});
