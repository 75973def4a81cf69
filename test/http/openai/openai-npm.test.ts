import OpenAI, { toFile } from 'openai';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, as, fetchJson, KEYS } from '../../support/requests.ts';

/** Of a size that the workflows do not change. */
const QUICK = { prompt: 'a red door', size: '384x320' } as const;
/** The sandbox takes half a second. `steps` is a parameter of the gateway's own. */
const SLOW = { prompt: 'slow', size: '384x320', ...{ steps: 100 } } as const;

let rig: Rig;
let png: Buffer;
beforeAll(async () => {
  rig = await startRig({
    API_KEYS,
    OPENAI_MODEL_ALIASES: 'gpt-image-1,dall-e-2=qwen-image-edit-plus-lightning',
  });
  png = await sharp({ create: { width: 384, height: 320, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
});
afterAll(() => rig.close());

const image = (name = 'red.png') => toFile(png, name, { type: 'image/png' });

function clientOf(options: Partial<ConstructorParameters<typeof OpenAI>[0]> = {}): OpenAI {
  return new OpenAI({ baseURL: `${rig.url}/v1`, apiKey: KEYS.alice, maxRetries: 0, ...options });
}

/** The package also fetches `data:,` to learn what its fetch can do. */
const isOurs = (url: unknown): boolean => String(url).startsWith(rig.url);

/** The jobs of Alice with their statuses, the newest first. */
async function jobs(): Promise<[id: string, status: string][]> {
  const { body } = await fetchJson(`${rig.url}/jobs`, { headers: as(KEYS.alice) });
  const found: object = Object(body.jobs);
  return Object.entries(found).map(([id, { status }]) => [id, String(status)]);
}

async function jobOf(id: string): Promise<Record<string, unknown>> {
  const query = `{ job(id: "${id}") { status error { code } metadata { key value } request { workflow seed images { slot } } } }`;
  const { body } = await fetchJson(`${rig.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...as(KEYS.alice) },
    body: JSON.stringify({ query }),
  });
  return Object(Object(body.data).job);
}

/** The status with which a job ends. */
async function endOf(id: string): Promise<unknown> {
  const url = `${rig.url}/events/${id}`;
  // The stream ends with the job.
  await (await fetch(url, { headers: as(KEYS.alice) })).text();
  return (await jobOf(id)).status;
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of source) all.push(one);
  return all;
}

/** The error that a call rejects with. */
async function errorOf(call: Promise<unknown>) {
  const error = await call.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OpenAI.APIError)) throw new Error(`rejected with ${String(error)}`);
  const { status, message, type, param, code } = error;
  return { name: error.constructor.name, status, message, type, param, code };
}

describe('an edit by the openai package', () => {
  it('gives the image as base64 and says its size', async () => {
    const answer = await clientOf().images.edit({ image: await image(), ...QUICK, user: 'u-1' });
    const bytes = Buffer.from(answer.data?.[0]?.b64_json ?? '', 'base64');
    const { format, width, height } = await sharp(bytes).metadata();
    expect({ format, size: answer.size }).toEqual({ format: 'png', size: `${width}x${height}` });
    expect(answer).toMatchObject({ output_format: 'png', background: 'opaque', usage: { total_tokens: 0 } });
    const [[id = ''] = []] = await jobs();
    expect(await jobOf(id)).toMatchObject({ metadata: [{ key: 'user', value: 'u-1' }] });
  });

  it('takes three images, gives n results by URLs that need no key, in the requested format', async () => {
    const { data, response } = await clientOf()
      .images.edit({
        image: [await image('1.png'), await image('2.png'), await image('3.png')],
        ...QUICK,
        n: 3,
        model: 'dall-e-2',
        response_format: 'url',
        output_format: 'webp',
        output_compression: 70,
      })
      .withResponse();
    const ids = (response.headers.get('x-job-id') ?? '').split(',');
    const requests = await Promise.all(ids.map(async id => Object((await jobOf(id)).request)));
    expect(new Set(requests.map(({ seed }) => seed)).size).toBe(3);
    expect(requests[0]).toMatchObject({
      workflow: 'qwen-image-edit-plus-lightning',
      images: [{ slot: 1 }, { slot: 2 }, { slot: 3 }],
    });
    const urls = (data.data ?? []).map(({ url }) => url ?? '');
    expect(urls).toHaveLength(3);
    const formats = urls.map(async url => {
      const file = await fetch(url);
      return (await sharp(Buffer.from(await file.arrayBuffer())).metadata()).format;
    });
    expect(await Promise.all(formats)).toEqual(['webp', 'webp', 'webp']);
  });

  it('converts what it sends as base64', async () => {
    const answer = await clientOf().images.edit({ image: await image(), ...QUICK, output_format: 'jpeg' });
    const bytes = Buffer.from(answer.data?.[0]?.b64_json ?? '', 'base64');
    expect((await sharp(bytes).metadata()).format).toBe('jpeg');
  });

  it('changes only where the mask is transparent, by the workflow that takes one', async () => {
    const mask = await sharp({
      create: { width: 384, height: 320, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 1 } },
    })
      .composite([
        {
          input: {
            create: { width: 100, height: 100, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 1 } },
          },
          left: 20,
          top: 20,
          blend: 'dest-out',
        },
      ])
      .png()
      .toBuffer();
    const call = { image: await image(), ...QUICK, mask: await toFile(mask, 'mask.png') };
    const { data, response } = await clientOf()
      .images.edit({ ...call, model: 'gpt-image-1' })
      .withResponse();
    expect(await jobOf(response.headers.get('x-job-id') ?? '')).toMatchObject({
      request: { workflow: 'qwen-image-edit-plus-inpaint' },
    });
    const { data: pixels, info } = await sharp(Buffer.from(data.data?.[0]?.b64_json ?? '', 'base64'))
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    const at = (x: number, y: number) => [...pixels.subarray(3 * (y * info.width + x)).subarray(0, 3)];
    expect(at(info.width - 5, info.height - 5)).toEqual([255, 0, 0]);
    expect(at(70, 70)).not.toEqual([255, 0, 0]);
    expect(await errorOf(clientOf().images.edit({ ...call, model: 'qwen-image-edit-plus' }))).toMatchObject({
      name: 'BadRequestError',
      param: 'mask',
      code: 'invalid_input',
    });
  });

  it('streams partial images, then the result', async () => {
    const stream = await clientOf().images.edit({
      image: await image(),
      ...SLOW,
      model: 'gpt-image-1',
      stream: true,
      partial_images: 2,
      output_format: 'jpeg',
    });
    const seen: unknown[] = [];
    for await (const event of stream) {
      const { format, width, height } = await sharp(Buffer.from(event.b64_json, 'base64')).metadata();
      expect(event).toMatchObject({ background: 'opaque', quality: 'auto', output_format: 'jpeg' });
      expect([format, event.size]).toEqual(['jpeg', `${width}x${height}`]);
      expect(event.created_at).toBeGreaterThan(1e9);
      seen.push(
        event.type === 'image_edit.partial_image'
          ? event.partial_image_index
          : [event.type, event.usage.total_tokens],
      );
    }
    expect(seen).toEqual([0, 1, ['image_edit.completed', 0]]);
  });

  it('cancels its job when it is aborted, and so does a stream that is left', async () => {
    const leave = new AbortController();
    const before = (await jobs()).length;
    const call = clientOf()
      .images.edit({ image: await image(), ...SLOW }, { signal: leave.signal })
      .catch((error: unknown) => error);
    await expect.poll(async () => (await jobs()).length).toBe(before + 1);
    leave.abort();
    expect(await call).toBeInstanceOf(OpenAI.APIUserAbortError);
    const [[first = ''] = []] = await jobs();
    expect(await endOf(first)).toBe('CANCELED');

    const { data, response } = await clientOf()
      .images.edit({ image: await image(), ...SLOW, stream: true })
      .withResponse();
    data.controller.abort();
    const second = response.headers.get('x-job-id') ?? '';
    expect(await endOf(second)).toBe('CANCELED');
  });

  it('is one job when it is repeated with its key after its connection broke', async () => {
    let tries = 0;
    const before = (await jobs()).length;
    const broken: typeof fetch = async (url, init) => {
      if (!isOurs(url)) return fetch(url, init);
      tries += 1;
      if (tries > 1) return fetch(url, init);
      const leave = new AbortController();
      const first = fetch(url, { ...init, signal: leave.signal }).catch((error: unknown) => error);
      await expect.poll(async () => (await jobs()).length).toBe(before + 1);
      leave.abort();
      await first;
      throw new TypeError('fetch failed');
    };
    const answer = await clientOf({ fetch: broken, maxRetries: 2 }).images.edit(
      { image: await image(), ...SLOW },
      { headers: { 'Idempotency-Key': 'once' } },
    );
    expect(answer.data).toHaveLength(1);
    expect(tries).toBe(2);
    expect(await jobs()).toHaveLength(before + 1);
  });
});

describe('errors have the classes of the openai package', () => {
  const cases: [string, string, Record<string, unknown>, object][] = [
    [
      'an unknown model',
      KEYS.alice,
      { model: 'gpt-4' },
      { name: 'NotFoundError', status: 404, code: 'model_not_found', param: 'model' },
    ],
    ['a wrong key', 'nobody', {}, { name: 'AuthenticationError', status: 401, code: 'invalid_api_key' }],
    [
      'n above 10',
      KEYS.alice,
      { n: 11 },
      { name: 'BadRequestError', message: '400 n takes an integer from 1 to 10, got 11', param: 'n' },
    ],
    [
      'a size that is none',
      KEYS.alice,
      { size: 'big' },
      { name: 'BadRequestError', param: 'size', type: 'invalid_request_error' },
    ],
    [
      'a size that no workflow makes',
      KEYS.alice,
      { size: '8192x8192' },
      { name: 'BadRequestError', param: 'size' },
    ],
    ['an empty prompt', KEYS.alice, { prompt: '' }, { name: 'BadRequestError', param: 'prompt' }],
    ['a fourth image', KEYS.alice, { images: 4 }, { name: 'BadRequestError', param: 'image' }],
    [
      'a file that is no image',
      KEYS.alice,
      { text: true },
      { name: 'BadRequestError', param: 'image', code: 'input_not_an_image' },
    ],
  ];

  it.each(cases)('%s', async (_, apiKey, { images = 1, text = false, ...fields }, expected) => {
    const files = Array.from({ length: Number(images) }, () =>
      text ? toFile(Buffer.from('this is no image'), 'a.png') : image(),
    );
    const call = { image: await Promise.all(files), ...QUICK, ...fields };
    expect(await errorOf(clientOf({ apiKey }).images.edit(call))).toMatchObject(expected);
  });

  it('another edit under the same key is a conflict, and is not repeated', async () => {
    const headers = { 'Idempotency-Key': 'conflict' };
    let requests = 0;
    const client = clientOf({
      maxRetries: 2,
      fetch: (url, init) => {
        if (isOurs(url)) requests += 1;
        return fetch(url, init);
      },
    });
    await client.images.edit({ image: await image(), ...QUICK }, { headers });
    const other = client.images.edit({ image: await image(), ...QUICK, prompt: 'another' }, { headers });
    expect(await errorOf(other)).toMatchObject({ name: 'ConflictError', code: 'idempotency_key_in_use' });
    expect(requests).toBe(2);
  });

  it('a job that is canceled elsewhere ends its stream with an error', async () => {
    const { data, response } = await clientOf()
      .images.edit({ image: await image(), ...SLOW, stream: true })
      .withResponse();
    const id = response.headers.get('x-job-id');
    const read = errorOf(collect(data));
    await fetch(`${rig.url}/jobs/${id}/cancel`, { method: 'POST', headers: as(KEYS.alice) });
    expect(await read).toMatchObject({ code: 'canceled' });
  });

  it('images cannot be made of a prompt alone', async () => {
    expect(await errorOf(clientOf().images.generate({ prompt: 'a cat' }))).toMatchObject({
      name: 'NotFoundError',
      code: 'unknown_url',
    });
  });
});

it('lists workflows and aliases as models', async () => {
  const ids = (await collect(await clientOf().models.list())).map(({ id }) => id);
  expect(ids).toEqual(expect.arrayContaining(['qwen-image-edit-plus', 'gpt-image-1', 'dall-e-2']));
  expect(await clientOf().models.retrieve('gpt-image-1')).toMatchObject({
    object: 'model',
    id: 'gpt-image-1',
  });
  expect(await errorOf(clientOf().models.retrieve('gpt-4'))).toMatchObject({ code: 'model_not_found' });
});

describe('Prefer: respond-async', () => {
  const form = (fields: Record<string, string> = {}) => {
    const data = new FormData();
    data.append('image', new Blob([new Uint8Array(png)]), 'red.png');
    for (const [name, value] of Object.entries({ ...QUICK, ...fields })) data.append(name, value);
    return data;
  };
  const send = (headers: Record<string, string>) =>
    fetch(`${rig.url}/v1/images/edits`, {
      method: 'POST',
      headers: { ...as(KEYS.alice), ...headers },
      body: form(),
    });

  it('is answered before the edit, which goes on', async () => {
    const answer = await send({ prefer: 'respond-async' });
    expect([answer.status, answer.headers.get('preference-applied')]).toEqual([202, 'respond-async']);
    const { jobs: made } = await answer.json();
    expect(answer.headers.get('location')).toBe(`/status/${made[0].id}`);
    expect(await endOf(made[0].id)).toBe('COMPLETED');
  });

  it('with wait is answered with the images that are ready by then', async () => {
    const answer = await send({ prefer: 'respond-async, wait=60' });
    expect(answer.status).toBe(200);
    expect((await answer.json()).data).toHaveLength(1);
  });

  it('forms of other sites are rejected', async () => {
    const answer = await send({ origin: 'https://elsewhere.example' });
    expect([answer.status, Object.keys(await answer.json())]).toEqual([403, ['error']]);
  });
});
