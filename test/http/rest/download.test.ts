import { request } from 'node:http';
import { Readable } from 'node:stream';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchJson } from '../../support/requests.ts';
import { type Face, keepCompleted, startFace } from '../../support/rest-face.ts';

describe('GET /download/{job_id}', () => {
  let face: Face;
  let id: string;
  let image: Buffer;
  let url: string;
  beforeAll(async () => {
    face = await startFace();
    const kept = await keepCompleted(face);
    id = kept.job.id;
    image = kept.pictures[0] ?? Buffer.alloc(0);
    url = `${face.url}/download/${id}`;
  });
  afterAll(() => face.stop());

  const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer());

  it('sends the stored bytes with their headers', async () => {
    const response = await fetch(url);
    expect(response.status).toBe(200);
    expect(await bytesOf(response)).toEqual(image);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'image/png',
      'content-length': String(image.length),
      'content-disposition': `inline; filename="edited_image_${id}.png"`,
      'accept-ranges': 'bytes',
      'cache-control': 'private, no-cache',
      etag: expect.stringMatching(/^"[^"]+"$/),
      'last-modified': expect.stringMatching(/GMT$/),
    });
  });

  it('answers HEAD with the same headers and no body', async () => {
    const [get, head] = await Promise.all([fetch(url), fetch(url, { method: 'HEAD' })]);
    await get.body?.cancel();
    // These headers belong to the connection.
    const { date: _, connection: __, 'keep-alive': ___, ...expected } = Object.fromEntries(get.headers);
    expect(head.status).toBe(200);
    expect(Object.fromEntries(head.headers)).toMatchObject(expected);
    expect(await head.text()).toBe('');
  });

  it.each([
    ['bytes=0-9', 0, 10],
    ['bytes=10-', 10, undefined],
    ['bytes=-16', -16, undefined],
  ])('sends the range %s', async (range, start, end) => {
    const response = await fetch(url, { headers: { range } });
    const part = image.subarray(start, end);
    expect(response.status).toBe(206);
    expect(await bytesOf(response)).toEqual(part);
    const from = image.indexOf(part);
    expect(response.headers.get('content-range')).toBe(
      `bytes ${from}-${from + part.length - 1}/${image.length}`,
    );
    expect(response.headers.get('content-length')).toBe(String(part.length));
  });

  it('rejects a range outside the file', async () => {
    const answer = await fetchJson(url, { headers: { range: 'bytes=999999-' } });
    expect(answer.status).toBe(416);
    expect(answer.headers.get('content-range')).toBe(`bytes */${image.length}`);
    expect(answer.headers.get('content-disposition')).toBeNull();
    expect(answer.body).toEqual({ detail: expect.stringContaining(`${image.length} bytes`) });
  });

  it('sends the whole file if If-Range does not match', async () => {
    const response = await fetch(url, { headers: { range: 'bytes=0-9', 'if-range': '"another"' } });
    expect(response.status).toBe(200);
    expect(await bytesOf(response)).toEqual(image);
  });

  it('sends 304 if the client has it', async () => {
    const first = await fetch(url, { method: 'HEAD' });
    const since = await fetch(url, {
      headers: { 'if-modified-since': first.headers.get('last-modified') ?? '' },
    });
    const tagged = await fetch(url, { headers: { 'if-none-match': first.headers.get('etag') ?? '' } });
    for (const response of [since, tagged]) {
      expect(response.status).toBe(304);
      expect(response.headers.get('etag')).toBe(first.headers.get('etag'));
      expect(await response.text()).toBe('');
    }
  });

  it.each([
    ['format=webp&quality=80', 'image/webp', 'webp', 'webp'],
    ['format=webp', 'image/webp', 'webp', 'webp'],
    ['format=jpeg&quality=5', 'image/jpeg', 'jpeg', 'jpg'],
    ['format=jpg', 'image/jpeg', 'jpeg', 'jpg'],
  ])('converts with ?%s', async (query, type, format, extension) => {
    const response = await fetch(`${url}?${query}`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('content-disposition')).toBe(
      `inline; filename="edited_image_${id}.${extension}"`,
    );
    expect(await sharp(await bytesOf(response)).metadata()).toMatchObject({ format, width: 64, height: 48 });
    const etag = response.headers.get('etag') ?? '';
    expect(etag).toMatch(/^W\/"/);
    const again = await fetch(`${url}?${query}`, { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
    const head = await fetch(`${url}?${query}`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-type'), await head.text()]).toEqual([200, type, '']);
  });

  it('encodes smaller files at lower quality', async () => {
    const sizes = await Promise.all(
      [10, 100].map(
        async quality => (await bytesOf(await fetch(`${url}?format=jpeg&quality=${quality}`))).length,
      ),
    );
    expect(sizes[0]).toBeLessThan(sizes[1] ?? 0);
  });

  it('sends a PNG unchanged with ?format=png', async () => {
    expect(await bytesOf(await fetch(`${url}?format=png&quality=1`))).toEqual(image);
  });

  it('sends the nth image of a job that made several', async () => {
    const { job, pictures } = await keepCompleted(face, ['png', 'jpeg', 'webp']);
    for (const [index, expected] of pictures.entries()) {
      const response = await fetch(`${face.url}/download/${job.id}?index=${index}`);
      expect(await bytesOf(response)).toEqual(expected);
      expect(response.headers.get('content-type')).toBe(job.outputs[index]?.mimeType);
    }
    const last = await fetch(`${face.url}/download/${job.id}?index=2&format=png`);
    expect((await sharp(await bytesOf(last)).metadata()).format).toBe('png');
    expect(last.headers.get('content-disposition')).toBe(`inline; filename="edited_image_${job.id}_2.png"`);
    expect(await fetchJson(`${face.url}/download/${job.id}?index=3`)).toMatchObject({
      status: 404,
      body: { detail: 'Image file not found' },
    });
  });

  it.each([
    ['format=gif', 'format takes png, jpeg, jpg, webp, got "gif"'],
    ['format=webp&quality=0', 'quality takes an integer from 1 to 100, got 0'],
    ['format=webp&quality=101', 'quality takes an integer from 1 to 100, got 101'],
    ['quality=high', 'quality takes an integer from 1 to 100, got "high"'],
    ['index=-1', 'index takes an integer from 0 to 999, got "-1"'],
    ['format=png&format=webp', 'format takes png, jpeg, jpg, webp, got ["png","webp"]'],
  ])('rejects ?%s', async (query, detail) => {
    expect(await fetchJson(`${url}?${query}`)).toMatchObject({ status: 400, body: { detail } });
  });

  it.each([
    ['QUEUED', null, 'queued'],
    ['PROCESSING', 'a', 'processing'],
    ['ERROR', null, 'error'],
    ['CANCELED', null, 'error'],
  ] as const)('rejects a job that is %s', async (status, lane, reported) => {
    const job = await face.keep({ status, lane });
    expect(await fetchJson(`${face.url}/download/${job.id}`)).toMatchObject({
      status: 400,
      body: { detail: `Image not ready. Current status: ${reported}` },
    });
  });

  it('sends 404 if the image is missing', async () => {
    const { job } = await keepCompleted(face);
    await face.artifacts.remove(job.outputs[0]?.key ?? '');
    for (const query of ['', '?format=webp']) {
      const answer = await fetchJson(`${face.url}/download/${job.id}${query}`);
      expect(answer).toMatchObject({ status: 404, body: { detail: 'Image file not found' } });
      expect(answer.headers.get('etag')).toBeNull();
    }
  });

  it('hides why a broken image cannot be converted', async () => {
    const { job } = await keepCompleted(face);
    await face.artifacts.put(job.outputs[0]?.key ?? '', Buffer.from('not a image at all'));
    const answer = await fetchJson(`${face.url}/download/${job.id}?format=webp`);
    expect(answer).toMatchObject({
      status: 500,
      body: { detail: expect.stringMatching(/^Internal error, reference /) },
    });
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(answer.headers.get('etag')).toBeNull();
  });

  it('holds little of a large image in memory', async () => {
    const { job } = await keepCompleted(face);
    const size = 300 * 1024 ** 2;
    await face.artifacts.put(job.outputs[0]?.key ?? '', zeros(size));
    const before = process.memoryUsage.rss();
    const received = await new Promise<number>((resolve, reject) => {
      let count = 0;
      let most = 0;
      const get = request(`${face.url}/download/${job.id}`, response => {
        response.on('data', (chunk: Buffer) => {
          count += chunk.length;
          most = Math.max(most, process.memoryUsage.rss() - before);
        });
        response.on('end', () =>
          most < 150 * 1024 ** 2 ? resolve(count) : reject(new Error(`held ${most}`)),
        );
      });
      get.on('error', reject);
      get.end();
    });
    expect(received).toBe(size);
  });
});

function zeros(size: number): Readable {
  const chunk = Buffer.alloc(1024 ** 2);
  return Readable.from(
    (function* () {
      for (let sent = 0; sent < size; sent += chunk.length) yield chunk;
    })(),
  );
}
