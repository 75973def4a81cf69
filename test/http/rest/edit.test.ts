import { request } from 'node:http';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../../support/gateway.ts';
import { noisyImage } from '../../support/images.ts';
import { recordLog } from '../../support/log.ts';
import { fetchJson, postJson } from '../../support/requests.ts';
import { waitForEnd, waitUntil } from '../../support/watch.ts';

describe('POST /edit-image', () => {
  const log = recordLog();
  let gateway: Rig;
  let valid: { image1_url: string; prompt: string; steps: number };
  beforeAll(async () => {
    gateway = await startRig({ FETCH_TIMEOUT: '5s', MAX_IMAGE_BYTES: '1MiB' }, log);
    valid = { image1_url: `${gateway.images.url}/a.jpg`, prompt: 'a forest', steps: 1 };
  });
  afterAll(() => gateway.close());

  const edit = (body: object | string, headers?: Record<string, string>) =>
    postJson(`${gateway.url}/edit-image`, body, headers);

  const jobIds = async (): Promise<string[]> => {
    const { body } = await fetchJson(`${gateway.url}/jobs`);
    return Object.keys(body.jobs ?? {}).sort();
  };

  const requestOf = async (id: unknown): Promise<unknown> =>
    (await fetchJson(`${gateway.url}/debug/job/${id}`)).body.request;

  it('responds as documented, with the URL of the status', async () => {
    const answer = await edit(valid);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      job_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      status: 'queued',
      message: 'Image editing started',
    });
    expect(answer.headers.get('location')).toBe(`/status/${answer.body.job_id}`);
  });

  it('fills in the documented defaults', async () => {
    const { body } = await edit({ ...valid, steps: null, image2_url: null, image3_url: '', seed: null });
    expect(await requestOf(body.job_id)).toEqual({
      images: [
        {
          slot: 1,
          source: valid.image1_url,
          mime_type: 'image/jpeg',
          width: 96,
          height: 64,
          bytes: expect.any(Number),
        },
      ],
      prompt: 'a forest',
      negative_prompt: '',
      seed: expect.stringMatching(/^\d+$/),
      steps: 40,
      cfg: 4,
      megapixels: 1,
      workflow: 'qwen-image-edit-plus',
      parameters: {},
      priority: 'normal',
      label: null,
      metadata: {},
    });
  });

  it.each([
    '',
    '{}',
    '{"prompt": "x"}',
    '{"image1_url": "http://127.0.0.1/a.jpg"}',
    '{"image1_url": "", "prompt": "x"}',
    '{"image1_url": "http://127.0.0.1/a.jpg", "prompt": ""}',
    '{"image1_url": "http://127.0.0.1/a.jpg", "prompt": "  "}',
    '{"image1_url": null, "prompt": "x"}',
    '{"image1_url": "http://127.0.0.1/a.jpg", "prompt": null}',
    '{"image2_url": "http://127.0.0.1/a.jpg", "prompt": "x"}',
  ])('requires image1_url and prompt: %j', async body => {
    expect(await edit(body)).toMatchObject({
      status: 400,
      body: { detail: 'Both image1_url and prompt are required' },
    });
  });

  it('requires image1_url and prompt without a body', async () => {
    const answer = await fetchJson(`${gateway.url}/edit-image`, { method: 'POST' });
    expect(answer).toMatchObject({
      status: 400,
      body: { detail: 'Both image1_url and prompt are required' },
    });
  });

  it.each([
    ['"steps": 0', 'steps takes an integer from 1 to 100, got 0'],
    ['"steps": 101', 'steps takes an integer from 1 to 100, got 101'],
    ['"steps": 40.5', 'steps takes an integer from 1 to 100, got 40.5'],
    ['"steps": "abc"', 'steps takes an integer from 1 to 100, got "abc"'],
    ['"steps": "101"', 'steps takes an integer from 1 to 100, got "101"'],
    ['"steps": "30.5"', 'steps takes an integer from 1 to 100, got "30.5"'],
    ['"steps": ""', 'steps takes an integer from 1 to 100, got ""'],
    ['"cfg": "4,5"', 'cfg takes a number from 1 to 20, got "4,5"'],
    ['"cfg": "NaN"', 'cfg takes a number from 1 to 20, got "NaN"'],
    ['"megapixels": "1e400"', 'megapixels takes a number from 0.1 to 4, got "1e400"'],
    [
      '"seed": "99999999999999999999"',
      'seed takes an integer from 0 to 18446744073709551615, as a number or a decimal string, got 99999999999999999999',
    ],
    ['"steps": true', 'steps takes an integer from 1 to 100, got true'],
    ['"steps": [18446744073709551615]', 'steps takes an integer from 1 to 100, got [18446744073709552000]'],
    ['"steps": 18446744073709551615', 'steps takes an integer from 1 to 100, got 18446744073709551615'],
    ['"cfg": 0.9', 'cfg takes a number from 1 to 20, got 0.9'],
    ['"cfg": 20.1', 'cfg takes a number from 1 to 20, got 20.1'],
    ['"cfg": 1e400', 'cfg takes a number from 1 to 20, got Infinity'],
    ['"megapixels": 0', 'megapixels takes a number from 0.1 to 4, got 0'],
    ['"megapixels": 4.5', 'megapixels takes a number from 0.1 to 4, got 4.5'],
    ['"negative_prompt": 7', 'negative_prompt takes a text, got 7'],
    ['"prompt": {"a": 1}', 'prompt takes a text, got {"a":1}'],
    [
      '"image1_url": 5',
      'image1_url takes an http(s) URL or a data: URI of an image, upload:<id> or job:<id>, got 5',
    ],
    [
      '"image1_url": "portrait.jpg"',
      'image1_url takes an http(s) URL or a data: URI of an image, upload:<id> or job:<id>, got "portrait.jpg"',
    ],
    [
      '"image2_url": "file:///etc/passwd"',
      'image2_url takes an http(s) URL or a data: URI of an image, upload:<id> or job:<id>, got "file:///etc/passwd"',
    ],
    ['"image3_url": "data:image/png;base64,@@"', 'image3_url: the data URI is not valid base64'],
    [
      '"seed": -1',
      'seed takes an integer from 0 to 18446744073709551615, as a number or a decimal string, got -1',
    ],
    [
      '"seed": 18446744073709551616',
      'seed takes an integer from 0 to 18446744073709551615, as a number or a decimal string, got 18446744073709551616',
    ],
    ['"priority": "urgent"', 'priority takes low, normal, high, got "urgent"'],
    ['"workflow": 1', 'workflow takes the name of a workflow, got 1'],
  ])('rejects %s', async (field, detail) => {
    const text = `${JSON.stringify(valid).slice(0, -1)}, ${field}}`;
    expect(await edit(text)).toMatchObject({ status: 400, body: { detail } });
  });

  it('rejects an unknown workflow, naming the known ones', async () => {
    const { status, body } = await edit({ ...valid, workflow: 'qwen-image-edit-plsu' });
    expect(status).toBe(400);
    expect(body.detail).toMatch(/^workflow takes one of .*qwen-image-edit-plus.*got "qwen-image-edit-plsu"/);
  });

  it('takes numbers that come as texts', async () => {
    const { body } = await edit({
      ...valid,
      steps: ' 2.0 ',
      cfg: '4.5',
      megapixels: '2e-1',
      seed: '18_446_744_073_709_551_615',
    });
    expect(Object.keys(body)).toEqual(['job_id', 'status', 'message']);
    expect(await requestOf(body.job_id)).toMatchObject({
      steps: 2,
      cfg: 4.5,
      megapixels: 0.2,
      seed: '18446744073709551615',
    });
  });

  it('ignores unknown fields, and names them in the response and to operators', async () => {
    const answer = await edit({
      ...valid,
      image4_url: 'http://x',
      image_url: 'http://x',
      negativ_prompt: 'x',
      negativePrompt: 'x',
      Steps: 5,
      width: -5,
    });
    expect(answer.status).toBe(200);
    const warnings = [
      'The unknown field "image4_url" was ignored: the images are image1_url, image2_url, image3_url',
      'The unknown field "image_url" was ignored; did you mean "image1_url"?',
      'The unknown field "negativ_prompt" was ignored; did you mean "negative_prompt"?',
      'The unknown field "negativePrompt" was ignored; did you mean "negative_prompt"?',
      'The unknown field "Steps" was ignored; did you mean "steps"?',
      'The unknown field "width" was ignored',
    ];
    expect(answer.body.warnings).toEqual(warnings);
    const { body } = await fetchJson(`${gateway.url}/debug/job/${answer.body.job_id}`);
    expect(body).toMatchObject({ warnings, request: { steps: 1, negative_prompt: '', parameters: {} } });
  });

  it('names few of very many unknown fields, without their control characters', async () => {
    const many = Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`x${index}`, 1]));
    const name = `a\u001b[31m\u202e${'y'.repeat(500_000)}`;
    const { body } = await edit({ ...valid, [name]: 1, ...many });
    expect(body.warnings).toHaveLength(11);
    expect(body.warnings).toContain('49991 more unknown fields were ignored');
    expect(JSON.stringify(body).length).toBeLessThan(1500);
    expect(String(body.warnings)).not.toMatch(/\p{C}/u);
  });

  it('keeps the warnings of a repeated request', async () => {
    const headers = { 'idempotency-key': crypto.randomUUID() };
    const first = await edit({ ...valid, foo: 1 }, headers);
    const again = await edit({ ...valid, foo: 1 }, headers);
    expect(first.body.warnings).toEqual(['The unknown field "foo" was ignored']);
    expect(again.body).toMatchObject({ job_id: first.body.job_id, warnings: first.body.warnings });
  });

  it('accepts the parameters of the chosen workflow as fields', async () => {
    const workflow = 'qwen-image-edit-2511';
    const { body } = await edit({ ...valid, workflow, weights: 'fp8mixed' });
    expect(body).not.toHaveProperty('warnings');
    expect(await requestOf(body.job_id)).toMatchObject({ workflow, parameters: { weights: 'fp8mixed' } });
    expect((await edit({ ...valid, weights: 'fp8mixed' })).body.warnings).toEqual([
      'The unknown field "weights" was ignored',
    ]);
    expect(await edit({ ...valid, workflow, weights: 'fp4' })).toMatchObject({
      status: 400,
      body: { detail: 'weights takes one of bf16, fp8mixed, int8_convrot, got "fp4"' },
    });
  });

  it.each([
    ['18446744073709551615', '18446744073709551615'],
    ['9007199254740993', '9007199254740993'],
    ['"18446744073709551615"', '18446744073709551615'],
    ['0', '0'],
    ['12345', '12345'],
  ])('keeps every digit of the seed %s', async (seed, kept) => {
    const { body } = await edit(`${JSON.stringify(valid).slice(0, -1)}, "seed": ${seed}}`);
    expect(await requestOf(body.job_id)).toMatchObject({ seed: kept });
    const graphql = await postJson(`${gateway.url}/graphql`, {
      query: `{ job(id: "${body.job_id}") { request { seed } } }`,
    });
    expect(graphql.body.data).toEqual({ job: { request: { seed: kept } } });
  });

  it('keeps the slots of images, gaps included', async () => {
    const { body } = await edit({ ...valid, image3_url: `${gateway.images.url}/c.webp` });
    expect(await requestOf(body.job_id)).toMatchObject({
      images: [
        { slot: 1, mime_type: 'image/jpeg' },
        { slot: 3, mime_type: 'image/webp', source: `${gateway.images.url}/c.webp` },
      ],
    });
    expect(await waitForEnd(gateway.url, String(body.job_id))).toMatchObject({ status: 'COMPLETED' });
  });

  it('accepts images as data URIs', async () => {
    const png = await sharp({ create: { width: 32, height: 32, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    const { status, body } = await edit({
      ...valid,
      image1_url: `data:image/png;base64,${png.toString('base64')}`,
    });
    expect(status).toBe(200);
    expect(await requestOf(body.job_id)).toMatchObject({
      images: [{ slot: 1, source: 'data:', mime_type: 'image/png', width: 32 }],
    });
  });

  it('accepts large images as data URIs, in any spelling and order', async () => {
    const png = await noisyImage(300, 300).png().toBuffer();
    const base64 = png.toString('base64');
    const spellings = [
      base64,
      png.toString('base64url'),
      encodeURIComponent(base64),
      base64.replace(/.{76}/g, '$& '),
    ];
    for (const spelling of spellings) {
      const { status, body } = await edit({
        image2_url: ` data:image/webp;base64,${spelling}`,
        prompt: 'ein Wald über Nacht',
        image1_url: `data:;base64,${spelling}`,
        steps: 1,
      });
      expect(status).toBe(200);
      expect(await requestOf(body.job_id)).toMatchObject({
        prompt: 'ein Wald über Nacht',
        images: [
          { slot: 1, source: 'data:', mime_type: 'image/png', width: 300, bytes: png.byteLength },
          { slot: 2, source: 'data:', mime_type: 'image/png', width: 300, bytes: png.byteLength },
        ],
      });
      for (const slot of [1, 2]) {
        const input = await fetch(`${gateway.url}/input/${body.job_id}?slot=${slot}`);
        expect(Buffer.from(await input.arrayBuffer()).equals(png)).toBe(true);
      }
    }
  });

  it('rejects large data URIs as it does small ones, and stores no job', async () => {
    const before = await jobIds();
    const large = `data:image/png;base64,${(await noisyImage(700, 700).png().toBuffer()).toString('base64')}`;
    const noImage = `data:image/png;base64,${Buffer.alloc(60_000, 'no image').toString('base64')}`;
    const cases = [
      [{ ...valid, image1_url: large }, 500, /larger than 1 MiB$/],
      [{ ...valid, image3_url: noImage }, 500, /not a JPEG, PNG or WebP image/],
      [{ ...valid, image1_url: noImage, steps: 0 }, 400, /^steps takes an integer from 1 to 100, got 0$/],
      [
        { ...valid, prompt: noImage },
        400,
        /^prompt takes a text of at most 10000 characters, got "data:image.png;base64,bm8g/,
      ],
      [{ ...valid, workflow: noImage }, 400, /^workflow /],
      [`{"image1_url": "${noImage}", "prompt": "x",}`, 400, /not valid JSON: .* position 800\d\d/],
    ] as const;
    for (const [body, status, detail] of cases) {
      const answer = await edit(body);
      expect({ status: answer.status, detail: answer.body.detail }).toEqual({
        status,
        detail: expect.stringMatching(detail),
      });
    }
    expect(await jobIds()).toEqual(before);
  });

  it.each([
    ['image1_url', '/missing.jpg', 'the server answered 404'],
    ['image2_url', '/text', /not a JPEG, PNG or WebP image/],
    ['image3_url', '/large', 'larger than 1 MiB'],
  ])('reports why %s%s cannot be fetched, and stores no job', async (field, path, reason) => {
    const before = await jobIds();
    const { status, body } = await edit({ ...valid, [field]: gateway.images.url + path });
    expect(status).toBe(500);
    expect(Object.keys(body)).toEqual(['detail']);
    // Which image it is has to be said only where there are several.
    const place = field === 'image1_url' ? '' : `${field}: `;
    expect(body.detail).toContain(`Failed to download file from URL: ${place}`);
    expect(body.detail).toMatch(reason);
    expect(await jobIds()).toEqual(before);
  });

  it('names the first of several images, and the mask, that cannot be fetched', async () => {
    const missing = `${gateway.images.url}/missing.jpg`;
    const detail = async (fields: object) => (await edit({ ...valid, ...fields })).body.detail;
    expect(await detail({ image1_url: missing, image2_url: valid.image1_url })).toBe(
      'Failed to download file from URL: image1_url: the server answered 404',
    );
    expect(await detail({ mask_url: missing })).toBe(
      'Failed to download file from URL: mask_url: the server answered 404',
    );
  });

  it.each([
    'http://127.0.0.1:1/a.jpg',
    'http://10.0.0.1/a.jpg',
    'http://169.254.169.254/latest/meta-data',
    'http://host.invalid/a.jpg',
  ])('reports that %s cannot be fetched', async url => {
    expect(await edit({ ...valid, image1_url: url })).toMatchObject({
      status: 500,
      body: { detail: expect.stringMatching(/^Failed to download file from URL: \S/) },
    });
  });

  it('stores one job for a request repeated with the same Idempotency-Key', async () => {
    const headers = { 'idempotency-key': crypto.randomUUID() };
    const first = await edit({ ...valid, seed: 1 }, headers);
    const again = await edit({ seed: 1, ...valid }, headers);
    expect(again.status).toBe(200);
    expect(again.body.job_id).toBe(first.body.job_id);
    expect(await edit({ ...valid, seed: 2 }, headers)).toMatchObject({
      status: 409,
      body: { detail: 'Idempotency-Key was used before with another input' },
    });
  });

  it('rejects an Idempotency-Key that is too long', async () => {
    const { status, body } = await edit(valid, { 'idempotency-key': 'k'.repeat(201) });
    expect(status).toBe(400);
    expect(body.detail).toMatch(/^Idempotency-Key takes a text of 1 to 200 characters, got /);
  });

  it('accepts a priority in upper and lower case', async () => {
    for (const priority of ['high', 'HIGH']) {
      const { body } = await edit({ ...valid, priority });
      expect(await requestOf(body.job_id)).toMatchObject({ priority: 'high' });
    }
  });

  it('stops fetching when the client disconnects, and stores no job', async () => {
    const before = await jobIds();
    const upload = request(`${gateway.url}/edit-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    });
    // The request is aborted on purpose.
    upload.on('error', () => {});
    upload.end(JSON.stringify({ ...valid, image1_url: `${gateway.images.url}/hanging` }));
    await gateway.images.hanging;
    const closed = new Promise(resolve => upload.once('close', resolve));
    upload.destroy();
    await Promise.all([closed, gateway.images.aborted]);
    expect(await jobIds()).toEqual(before);
    expect(log.lines.filter(line => line.level === 'error')).toEqual([]);
  });
});

describe('a full queue', () => {
  it('is reported with 429 and Retry-After', async () => {
    const gateway = await startRig({ MAX_QUEUE: '1', LANES_PER_ENGINE: '1', SANDBOX_STEP: '1s' });
    try {
      const body = { image1_url: `${gateway.images.url}/a.png`, prompt: 'x' };
      const running = await postJson(`${gateway.url}/edit-image`, body);
      await waitUntil(gateway.url, String(running.body.job_id), ({ status }) => status === 'PROCESSING');
      const waiting = await postJson(`${gateway.url}/edit-image`, body);
      expect(waiting.status).toBe(200);
      expect((await fetchJson(`${gateway.url}/status/${waiting.body.job_id}`)).body).toMatchObject({
        status: 'queued',
        progress: 0,
        prompt_id: null,
        queue_position: 0,
      });
      const rejected = await postJson(`${gateway.url}/edit-image`, body);
      expect(rejected).toMatchObject({ status: 429, body: { detail: expect.stringContaining('full') } });
      expect(Number(rejected.headers.get('retry-after'))).toBeGreaterThan(0);
    } finally {
      await gateway.close();
    }
  });
});
