import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../../support/gateway.ts';
import { fetchJson } from '../../support/requests.ts';

let rig: Rig;
let png: Blob;
beforeAll(async () => {
  rig = await startRig({ OPENAI_MODEL_ALIASES: '*' });
  const image = sharp({ create: { width: 384, height: 320, channels: 3, background: 'red' } });
  png = new Blob([new Uint8Array(await image.png().toBuffer())], { type: 'image/png' });
});
afterAll(() => rig.close());

type Fields = readonly (readonly [name: string, value: string | Blob, file?: string])[];

async function send(fields: Fields, { to = rig, path = '/v1/images/edits', headers = {} } = {}) {
  const form = new FormData();
  for (const [name, value, file] of fields) {
    if (value instanceof Blob) form.append(name, value, file ?? 'image.png');
    else form.append(name, value);
  }
  const answer = await fetch(to.url + path, { method: 'POST', body: form, headers });
  const text = await answer.text();
  return { answer, text };
}

const images = z.object({ created: z.number(), data: z.array(z.object({ b64_json: z.base64() })) });

/** The parts of a form with all of what a client sends, in its order. */
const CLIENTS: Record<string, { path?: string; fields: (image: Blob) => Fields; count: number }> = {
  // backend/open_webui/routers/images.py: `image` for one, `image[]` for several, and a query where a version is set.
  'open-webui with one image': {
    fields: image => [
      ['model', 'qwen-image-edit-plus'],
      ['prompt', 'A red door'],
      ['n', '1'],
      ['size', '384x320'],
      ['response_format', 'b64_json'],
      ['image', image, '0b9c0000_image.png'],
    ],
    count: 1,
  },
  'open-webui with several images, as for gpt-image-1': {
    path: '/v1/images/edits?api-version=2025-04-01-preview',
    fields: image => [
      ['model', 'gpt-image-1'],
      ['prompt', 'A red door'],
      ['n', '2'],
      ['background', 'transparent'],
      ['image[]', image, '1_image.png'],
      ['image[]', image, '2_image.png'],
    ],
    count: 2,
  },
  // litellm/llms/openai/image_edit: always `image[]`, by its path where it is a file; the mask is a file, too.
  LiteLLM: {
    fields: image => [
      ['model', 'qwen-image-edit-plus-inpaint'],
      ['prompt', 'A red door'],
      ['quality', 'high'],
      ['size', '384x320'],
      ['user', 'u-1'],
      ['image[]', image, '/home/me/house.png'],
      ['mask', image, 'mask.png'],
    ],
    count: 1,
  },
  'LiteLLM with dall-e-2': {
    fields: image => [
      ['model', 'dall-e-2'],
      ['prompt', 'A red door'],
      ['size', '384x320'],
      ['image', image, 'image.png'],
    ],
    count: 1,
  },
};

describe('forms as other programs send them', () => {
  it.each(Object.entries(CLIENTS))('%s gets its images', async (_, { path, fields, count }) => {
    const { answer, text } = await send(fields(png), path === undefined ? {} : { path });
    expect([answer.status, text.slice(0, 200)]).toEqual([200, expect.anything()]);
    const { data } = images.parse(JSON.parse(text));
    expect(data).toHaveLength(count);
    const [first] = data;
    const { format } = await sharp(Buffer.from(first?.b64_json ?? '', 'base64')).metadata();
    expect(format).toBe('png');
    expect(answer.headers.get('x-job-id')?.split(',')).toHaveLength(count);
  });
});

describe('a form', () => {
  const PROMPT = ['prompt', 'A red door'] as const;

  it.each<[string, (image: Blob) => Fields, object]>([
    ['without an image', () => [PROMPT], { param: 'image', message: 'image takes 1 to 3 images, got none' }],
    ['with a text for an image', () => [['image', 'x'], PROMPT], { param: 'image', code: 'invalid_value' }],
    [
      'with two masks',
      image => [['image', image], ['mask', image], ['mask', image], PROMPT],
      { param: 'mask', message: 'mask takes one image' },
    ],
    [
      'with a file for a text',
      image => [
        ['image', image],
        ['prompt', image],
      ],
      { param: 'prompt' },
    ],
    [
      'with a prompt that is too long',
      image => [
        ['image', image],
        ['prompt', 'x'.repeat(50_000)],
      ],
      { param: 'prompt', message: 'prompt is too long' },
    ],
    [
      'with a seed that is none',
      image => [['image', image], PROMPT, ['seed', 'x']],
      { param: 'seed', code: 'invalid_value' },
    ],
    [
      'with a size that is too small',
      image => [['image', image], PROMPT, ['size', '5x5']],
      {
        param: 'size',
        code: 'invalid_input',
        message:
          'size takes an area from 324x324 to 2048x2048 (0.1 to 4 megapixels) in the workflow qwen-image-edit-plus, got 5x5',
      },
    ],
    [
      'with a size that is too large',
      image => [['image', image], PROMPT, ['size', '2049x2048']],
      { param: 'size', message: expect.stringMatching(/ got 2049x2048$/) },
    ],
  ])('%s is an error that names the field', async (_, fields, error) => {
    const { answer, text } = await send(fields(png));
    expect(answer.status).toBe(400);
    expect(JSON.parse(text)).toMatchObject({ error: { type: 'invalid_request_error', ...error } });
  });

  it.each<[string, (image: Blob, broken: Blob) => Fields, { param: string; message: RegExp }]>([
    ['image', (_, broken) => [['image', broken]], { param: 'image', message: /^image: a PNG file / }],
    [
      'image 2',
      (image, broken) => [
        ['image', image],
        ['image', broken],
      ],
      { param: 'image', message: /^image 2: a PNG file / },
    ],
    [
      'image 1',
      (image, broken) => [
        ['image[]', broken],
        ['image[]', image],
      ],
      { param: 'image', message: /^image 1: a PNG file / },
    ],
    [
      'mask',
      (image, broken) => [
        ['image', image],
        ['mask', broken],
      ],
      { param: 'mask', message: /^mask: a PNG file / },
    ],
  ])('with a broken file says that it is %s', async (_, fields, { param, message }) => {
    const { answer, text } = await send([...fields(png, png.slice(0, -30, png.type)), PROMPT]);
    expect([answer.status, JSON.parse(text).error]).toMatchObject([
      400,
      { param, code: 'input_not_an_image', message: expect.stringMatching(message) },
    ]);
  });

  it.each([
    ['JSON', 'application/json', '{"prompt": "x"}', 415],
    ['a form without a boundary', 'multipart/form-data', 'x', 400],
    ['a form that ends early', 'multipart/form-data; boundary=x', '--x\r\ncontent-disp', 400],
  ])('that is %s is rejected in the form of errors', async (_, type, body, status) => {
    const answer = await fetch(`${rig.url}/v1/images/edits`, {
      method: 'POST',
      headers: { 'content-type': type },
      body,
    });
    expect([answer.status, await answer.json()]).toMatchObject([status, { error: { param: null } }]);
  });

  it('with an Idempotency-Key that is too long is rejected', async () => {
    const headers = { 'idempotency-key': 'x'.repeat(201) };
    const { answer, text } = await send([['image', png], PROMPT], { headers });
    expect([answer.status, JSON.parse(text)]).toMatchObject([400, { error: { param: 'Idempotency-Key' } }]);
  });

  it('with fields that are unknown is taken, and its n seeds begin with its own; a header warns of them', async () => {
    const { answer } = await send([
      ['image', png],
      PROMPT,
      ['n', '3'],
      ['seed', '18446744073709551614'],
      ['steps', '1'],
      ['qualty', 'high'],
      ['größe', 'x'],
    ]);
    const header = answer.headers.get('x-warnings') ?? '';
    expect(header).toMatch(/^[ -~]+$/);
    expect(JSON.parse(header)).toEqual([
      'The unknown field "qualty" was ignored; did you mean "quality"?',
      'The unknown field "größe" was ignored',
    ]);
    const ids = (answer.headers.get('x-job-id') ?? '').split(',');
    const found = await Promise.all(
      ids.map(async id => Object((await fetchJson(`${rig.url}/debug/job/${id}`)).body.request)),
    );
    expect(found.map(({ seed }) => seed)).toEqual(['18446744073709551614', '18446744073709551615', '0']);
  });

  it('with many unknown fields of long names warns of some, in a header that proxies take', async () => {
    const many = Array.from({ length: 12 }, (_, n): [string, string] => [`${n}${'é'.repeat(90)}`, 'x']);
    const { answer } = await send([['image', png], PROMPT, ['steps', '1'], ...many]);
    const header = answer.headers.get('x-warnings') ?? '';
    expect([answer.status, header.length > 100, header.length < 2_000]).toEqual([200, true, true]);
    expect(JSON.parse(header)[0]).toContain('The unknown field "0éé');
  });
});

describe('an edit that its request waits for', () => {
  let slow: Rig;
  beforeAll(async () => {
    // One lane, so that nothing happens to a job that waits.
    slow = await startRig({ SANDBOX_STEP: '1s', LANES_PER_ENGINE: '1' });
  });
  afterAll(() => slow.close());

  const fields = (more: Fields = []): Fields => [
    ['image', png],
    ['prompt', 'slow'],
    ['size', '384x320'],
    ...more,
  ];

  /** Sends an edit; `id` is that of its job once it is stored. */
  async function begin(to: Rig, more: Fields = [], headers: Record<string, string> = {}) {
    const before = await newest(to);
    const sent = send(fields(more), { to, headers });
    await expect.poll(() => newest(to)).not.toBe(before);
    return { sent, id: await newest(to) };
  }

  async function newest({ url }: Rig): Promise<string | undefined> {
    const { body } = await fetchJson(`${url}/jobs?limit=1`);
    return Object.keys(Object(body.jobs))[0];
  }

  async function statusOf(to: Rig, id: string | undefined): Promise<string | undefined> {
    const { data } = await to.graphql<{ job: { status: string } }>(`{ job(id: "${id}") { status } }`);
    return data?.job.status;
  }

  it.each([
    // The delete cancels first, and the request may be told of that.
    ['deleted', 'DELETE', '', /^The edit was (deleted|canceled)/],
    ['canceled', 'POST', '/cancel', /^The edit was canceled/],
  ])('and that is %s has an error that clients do not repeat', async (_, method, path, message) => {
    const { sent, id } = await begin(slow);
    await (await fetch(`${slow.url}/jobs/${id}${path}`, { method })).text();
    const { answer, text } = await sent;
    expect([answer.status, answer.headers.get('x-should-retry')]).toEqual([409, 'false']);
    expect(JSON.parse(text).error).toMatchObject({
      code: 'canceled',
      message: expect.stringMatching(message),
    });
  });

  it.each<[string, Fields, number, RegExp]>([
    ['JSON', [], 409, /^{"error":{"message":"The edit was canceled/],
    ['events', [['stream', 'true']], 200, /event: error\ndata: .*"The edit was canceled/],
  ])(
    'that is one of several and canceled ends their response as %s, and the others are canceled while they wait',
    async (_, more, ...end) => {
      const first = await begin(slow, [], { prefer: 'respond-async' });
      await first.sent;
      await expect.poll(() => statusOf(slow, first.id)).toBe('PROCESSING');
      const { sent, id } = await begin(slow, [['n', '2'], ...more]);
      await (await fetch(`${slow.url}/jobs/${id}/cancel`, { method: 'POST' })).text();
      const { answer, text } = await sent;
      expect([answer.status, text]).toEqual([end[0], expect.stringMatching(end[1])]);
      const ids = answer.headers.get('x-job-id')?.split(',') ?? [];
      expect(ids).toEqual([expect.any(String), id]);
      for (const one of ids) {
        // Ends with the job.
        await (await fetch(`${slow.url}/events/${one}`)).text();
        expect(await statusOf(slow, one)).toBe('CANCELED');
      }
      expect(await statusOf(slow, first.id)).toBe('PROCESSING');
      await (await fetch(`${slow.url}/jobs/${first.id}`, { method: 'DELETE' })).text();
    },
  );

  it('for as long as it prefers is answered by 202, and goes on', async () => {
    const { sent, id } = await begin(slow, [], { prefer: 'respond-async, wait=1' });
    const { answer, text } = await sent;
    expect([answer.status, JSON.parse(text).jobs]).toEqual([202, [{ id, status_url: `/status/${id}` }]]);
    const { body } = await fetchJson(`${slow.url}/status/${id}`);
    expect(['queued', 'processing']).toContain(body.status);
    await (await fetch(`${slow.url}/jobs/${id}`, { method: 'DELETE' })).text();
  });

  it('ends with an error that clients repeat when its gateway stops, as JSON and as events', async () => {
    const stopping = await startRig({ SANDBOX_STEP: '1s' });
    const json = await begin(stopping);
    const events = await begin(stopping, [['stream', 'True']]);
    const closed = stopping.close();
    const { answer, text } = await json.sent;
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '2']);
    expect(JSON.parse(text).error).toMatchObject({ type: 'server_error', code: 'interrupted' });
    const streamed = await events.sent;
    expect(streamed.answer.headers.get('content-type')).toContain('text/event-stream');
    expect(streamed.text).toMatch(/^: accepted\n\n(.*\n)*event: error\ndata: .*"code":"interrupted".*\n\n$/);
    await closed;
  });
});
