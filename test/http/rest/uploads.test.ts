import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, as, KEYS, postGraphQL } from '../../support/requests.ts';
import { watchOverSse } from '../../support/watch.ts';

const picture = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: { r: 10, g: 200, b: 90 } } });

let rig: Rig;
let keyed: Rig;
let png: Buffer;
beforeAll(async () => {
  rig = await startRig({ MAX_IMAGE_BYTES: '1MiB', MAX_IMAGE_PIXELS: '1000000' });
  keyed = await startRig({ API_KEYS });
  png = await picture(120, 80).png().toBuffer();
});
afterAll(async () => {
  await rig.close();
  await keyed.close();
});

/** The 415 message of `/upload`, which names images and forms, and not JSON. */
const TAKES = /^Send (?!.*JSON)(?=.*image\/png)(?=.*image\/jpeg)(?=.*image\/webp)(?=.*multipart\/form-data)/;

interface Sent {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function upload(
  bytes: Uint8Array | FormData,
  headers: Record<string, string> = { 'content-type': 'image/png' },
  gateway: Rig = rig,
): Promise<Sent> {
  const body = bytes instanceof FormData ? bytes : new Uint8Array(bytes);
  const answer = await fetch(`${gateway.url}/upload`, { method: 'POST', headers, body });
  return { status: answer.status, body: await answer.json() };
}

function form(bytes: Uint8Array, name = 'file', after: readonly string[] = []): FormData {
  const given = new FormData();
  given.append(
    name,
    new Blob([new Uint8Array(bytes)], { type: 'application/x-nonsense' }),
    '../../etc/passwd',
  );
  for (const field of after) given.append(field, 'a field after it');
  return given;
}

const stored = async (gateway: Rig = rig): Promise<string[]> =>
  (await readdir(join(gateway.dataDir, 'artifacts'), { recursive: true, withFileTypes: true }))
    .filter(entry => entry.isFile() && entry.parentPath.includes('uploads'))
    .map(entry => entry.name);

describe('POST /upload', () => {
  it.each<[string, () => Promise<Sent>]>([
    ['as the body', () => upload(png)],
    ['without an image type', () => upload(png, { 'content-type': 'application/octet-stream' })],
    ['under a wrong type', () => upload(png, { 'content-type': 'image/jpeg' })],
    ['as a file of a form', () => upload(form(png), {})],
    ['as a file of a form under any name', () => upload(form(png, 'image'), {})],
  ])('accepts an image %s', async (_, send) => {
    const { status, body } = await send();
    expect(status).toBe(201);
    expect(body).toEqual({
      upload_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      width: 120,
      height: 80,
      mime_type: 'image/png',
      bytes: png.length,
      expires_at: expect.stringMatching(/Z$/),
    });
    const left = Date.parse(String(body.expires_at)) - Date.now();
    expect(left).toBeGreaterThan(3_590_000);
    expect(left).toBeLessThanOrEqual(3_600_000);
  });

  it.each<[string, () => Promise<Sent>, number, RegExp]>([
    ['text', () => upload(Buffer.from('hello')), 400, /not a JPEG, PNG or WebP image/],
    ['nothing', () => upload(Buffer.alloc(0)), 400, /^The image was not accepted: /],
    ['half an image', () => upload(png.subarray(0, png.length / 2)), 400, /broken or cut short/],
    [
      'an SVG',
      () => upload(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')),
      400,
      /not a JPEG, PNG or WebP image/,
    ],
    ['too many bytes', () => upload(Buffer.concat([png, Buffer.alloc(1024 ** 2)])), 413, /larger than 1 MiB/],
    [
      'too many bytes in a form',
      () => upload(form(Buffer.concat([png, Buffer.alloc(1024 ** 2)])), {}),
      413,
      /larger than 1 MiB/,
    ],
    [
      'too many pixels',
      async () => upload(await picture(2000, 2000).png().toBuffer()),
      413,
      /the limit is 1 million pixels/,
    ],
    ['another type', () => upload(png, { 'content-type': 'text/html' }), 415, TAKES],
    [
      'an incomplete form',
      () =>
        upload(Buffer.from('--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nhal'), {
          'content-type': 'multipart/form-data; boundary=x',
        }),
      400,
      /^The form cannot be read: /,
    ],
    [
      'an invalid form',
      () => upload(Buffer.from('{}'), { 'content-type': 'multipart/form-data; boundary=x' }),
      400,
      /^The form cannot be read: /,
    ],
    [
      'a form with two files',
      () => {
        const two = form(png, 'first', ['a']);
        two.append('second', new Blob([new Uint8Array(png)]), 'b.png');
        return upload(two, {});
      },
      400,
      /^The form has more than one file: send one image per request/,
    ],
    [
      'a form with two large files',
      () => {
        const large = Buffer.concat([png, Buffer.alloc(900_000)]);
        const two = form(large);
        two.append('second', new Blob([new Uint8Array(large)]), 'b.png');
        return upload(two, {});
      },
      400,
      /^The form has more than one file: send one image per request/,
    ],
    [
      'a form with many fields after its file',
      () =>
        upload(
          form(
            png,
            'file',
            Array.from({ length: 50 }, (_, index) => `f${index}`),
          ),
          {},
        ),
      400,
      /^The form has too many fields/,
    ],
    [
      'a form without a chosen file',
      () => upload(form(Buffer.alloc(0)), {}),
      400,
      /^The image was not accepted: /,
    ],
    [
      'a form that breaks off after its file',
      () =>
        upload(
          Buffer.concat([
            Buffer.from('--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n'),
            png,
            Buffer.from('\r\n--x\r\nContent-Disposition: form-data; name="g"\r\n\r\nhal'),
          ]),
          { 'content-type': 'multipart/form-data; boundary=x' },
        ),
      400,
      /^The form cannot be read: /,
    ],
    ['JSON', () => upload(Buffer.from('{}'), { 'content-type': 'application/json' }), 415, TAKES],
    ['no type', () => upload(png, {}), 415, TAKES],
    ['a form without a file', () => upload(new FormData(), {}), 415, TAKES],
  ])('rejects %s and keeps nothing of it', async (_, send, status, detail) => {
    const before = await stored();
    const answer = await send();
    expect(answer).toEqual({ status, body: { detail: expect.stringMatching(detail) } });
    expect(await stored()).toEqual(before);
  });

  it('names the other fields of a form, which it ignores', async () => {
    const given = new FormData();
    given.append('note', 'a field before it');
    for (const [name, value] of form(png, 'file', ['prompt'])) given.append(name, value);
    const { status, body } = await upload(given, {});
    expect(status).toBe(201);
    expect(body).toMatchObject({
      width: 120,
      warnings: ['The unknown form field "note" was ignored', 'The unknown form field "prompt" was ignored'],
    });
  });

  it('keeps nothing of an aborted upload', async () => {
    const before = await stored();
    const cut = request(`${rig.url}/upload`, {
      method: 'POST',
      headers: { 'content-type': 'image/png', 'content-length': '900000' },
    });
    cut.on('error', () => {});
    cut.write(png);
    await once(cut, 'socket');
    await expect.poll(async () => (await stored()).length).toBeGreaterThan(before.length);
    cut.destroy();
    await expect.poll(() => stored()).toEqual(before);
    expect((await upload(png)).status).toBe(201);
  });

  it('holds little of an upload in memory, and stops reading above the limit', async () => {
    const before = process.memoryUsage.rss();
    const sending = request(`${rig.url}/upload`, {
      method: 'POST',
      headers: { 'content-type': 'image/png' },
    });
    sending.on('error', () => {});
    const answered = once(sending, 'response');
    let done = false;
    let sent = 0;
    const chunk = Buffer.alloc(64 * 1024, 1);
    const pump = (): void => {
      while (!done && sent < 2 * 1024 ** 3) {
        sent += chunk.length;
        if (!sending.write(chunk)) {
          sending.once('drain', pump);
          return;
        }
      }
    };
    sending.once('socket', pump);
    const [response] = await answered;
    done = true;
    expect(response.statusCode).toBe(413);
    sending.destroy();
    expect(sent).toBeLessThan(200 * 1024 ** 2);
    expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 1024 ** 2);
  });

  it.each([[{ origin: 'https://evil.example' }], [{ 'sec-fetch-site': 'cross-site' }], [{ origin: 'null' }]])(
    'takes no form of another site: %j',
    async headers => {
      const body = '--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nhello\r\n--x--\r\n';
      const sending = request(`${rig.url}/upload`, {
        method: 'POST',
        headers: { 'content-type': 'multipart/form-data; boundary=x', ...headers },
      });
      sending.end(body);
      const [response] = await once(sending, 'response');
      response.resume();
      expect(response.statusCode).toBe(403);
    },
  );
});

const EDIT =
  'mutation ($input: EditImageInput!) { editImage(input: $input) { ... on EditJob { id request { images { source width height } } } ... on EditError { code message } } }';

describe('an edit', () => {
  it('uses an upload, over GraphQL and REST', async () => {
    const { body } = await upload(png);
    const { data } = await postGraphQL(rig.url, EDIT, {
      input: { images: [{ uploadId: body.upload_id }], prompt: 'x', steps: 1, megapixels: 0.1 },
    });
    const source = `upload:${body.upload_id}`;
    expect(data?.editImage).toMatchObject({ request: { images: [{ source, width: 120, height: 80 }] } });
    const answer = await fetch(`${rig.url}/edit-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        image1_url: source,
        image3_url: source,
        prompt: 'x',
        steps: 1,
        megapixels: 0.1,
      }),
    });
    const { job_id } = await answer.json();
    expect((await watchOverSse(rig.url, job_id)).at(-1)?.status).toBe('COMPLETED');
  });

  it('uses the output image of another job', async () => {
    const { body } = await upload(png);
    const send = async (image: string): Promise<string> => {
      const answer = await fetch(`${rig.url}/edit-image`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ image1_url: image, prompt: 'x', steps: 1, megapixels: 0.1 }),
      });
      const { job_id, detail } = await answer.json();
      expect(detail).toBeUndefined();
      await watchOverSse(rig.url, job_id);
      return job_id;
    };
    const first = await send(`upload:${body.upload_id}`);
    const second = await send(`job:${first}`);
    const sizes = await Promise.all(
      [first, second].map(async id => {
        const { width, height } = await sharp(
          Buffer.from(await (await fetch(`${rig.url}/download/${id}`)).arrayBuffer()),
        ).metadata();
        return { width, height };
      }),
    );
    const { data } = await postGraphQL(rig.url, EDIT, {
      input: { images: [{ jobId: second }], prompt: 'x', steps: 1, megapixels: 0.1 },
    });
    expect(data?.editImage).toMatchObject({
      request: { images: [{ source: `job:${second}`, ...sizes[1] }] },
    });
  });

  it.each([
    [{ uploadId: '00000000-0000-4000-8000-000000000000' }, /is not one of your uploads/],
    [{ uploadId: '../../../etc/passwd' }, /is not one of your uploads/],
    [{ jobId: '00000000-0000-4000-8000-000000000000' }, /is not one of your jobs/],
    [{ jobId: 'x' }, /is not one of your jobs/],
  ])('with %j is rejected with a reason', async (image, message) => {
    const { data } = await postGraphQL(rig.url, EDIT, { input: { images: [image], prompt: 'x' } });
    expect(data?.editImage).toEqual({ code: 'INVALID_INPUT', message: expect.stringMatching(message) });
  });

  it('accepts exactly one source per image', async () => {
    const { errors } = await postGraphQL(rig.url, EDIT, {
      input: { images: [{ uploadId: 'a', jobId: 'b' }], prompt: 'x' },
    });
    expect(errors).toHaveLength(1);
  });

  it('cannot use uploads and jobs of other callers, which are reported as unknown', async () => {
    const type = { 'content-type': 'image/png' };
    expect((await upload(png, type, keyed)).status).toBe(401);
    const { body } = await upload(png, { ...type, ...as(KEYS.alice) }, keyed);
    const edit = async (image: object, key: string) =>
      (
        await postGraphQL(
          keyed.url,
          EDIT,
          { input: { images: [image], prompt: 'x', steps: 1, megapixels: 0.1 } },
          as(key),
        )
      ).data?.editImage;
    const none = '00000000-0000-4000-8000-000000000000';
    expect(await edit({ uploadId: body.upload_id }, KEYS.bob)).toEqual(
      await edit({ uploadId: none }, KEYS.bob),
    );
    const job = await edit({ uploadId: body.upload_id }, KEYS.alice);
    expect(job).toMatchObject({ id: expect.any(String) });
    expect(await edit({ uploadId: body.upload_id }, KEYS.olga)).toMatchObject({ id: expect.any(String) });
    const id = typeof job === 'object' && job !== null && 'id' in job ? job.id : '';
    expect(await edit({ jobId: id }, KEYS.bob)).toEqual(await edit({ jobId: none }, KEYS.bob));
  });
});

describe('an unused upload', () => {
  it('expires, and each use postpones that', async () => {
    const short = await startRig({ UPLOAD_TTL: '1500ms' });
    try {
      const type = { 'content-type': 'image/png' };
      const [used, unused] = [await upload(png, type, short), await upload(png, type, short)];
      const use = async ({ body }: Sent) =>
        (
          await postGraphQL(short.url, EDIT, {
            input: { images: [{ uploadId: body.upload_id }], prompt: 'x', steps: 1, megapixels: 0.1 },
          })
        ).data?.editImage;
      const over = Date.parse(String(unused.body.expires_at));
      while (Date.now() < over + 50) expect(await use(used)).toMatchObject({ id: expect.any(String) });
      expect(await use(unused)).toMatchObject({ code: 'INVALID_INPUT' });
      expect(await use(used)).toMatchObject({ id: expect.any(String) });
    } finally {
      await short.close();
    }
  });
});
