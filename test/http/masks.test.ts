import fc from 'fast-check';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { fetchJson, postJson } from '../support/requests.ts';
import { waitForEnd } from '../support/watch.ts';

const INPAINT = 'qwen-image-edit-plus-inpaint';
/** A size that the workflow does not scale, at MEGAPIXELS. */
const WIDTH = 384;
const HEIGHT = 320;
const MEGAPIXELS = (WIDTH * HEIGHT) / 1024 ** 2;

const uriOf = (bytes: Buffer) => `data:image/png;base64,${bytes.toString('base64')}`;

interface Area {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly value: number;
}

/** A mask with painted rectangles, as its values. */
function paint(areas: readonly Area[], width = WIDTH, height = HEIGHT): Buffer {
  const values = Buffer.alloc(width * height);
  for (const area of areas) {
    for (let y = area.top; y < Math.min(height, area.top + area.height); y += 1) {
      values.fill(area.value, y * width + area.left, y * width + Math.min(width, area.left + area.width));
    }
  }
  return values;
}

const toPng = (values: Buffer, width = WIDTH, height = HEIGHT) =>
  sharp(values, { raw: { width, height, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toBuffer();

describe('a mask', () => {
  let rig: Rig;
  /** The pixels of the source, as RGB. */
  let source: Buffer;
  let sourceUri: string;
  let maskUri: string;
  const middle = { left: 101, top: 77, width: 90, height: 60, value: 255 };

  beforeAll(async () => {
    rig = await startRig({ SANDBOX_STEP: '0ms', JOB_TTL: '1h' });
    const noise = sharp({
      create: {
        width: WIDTH,
        height: HEIGHT,
        channels: 3,
        background: 'grey',
        noise: { type: 'gaussian', mean: 128, sigma: 60 },
      },
    });
    const png = await noise.png().toBuffer();
    source = await sharp(png).raw().toBuffer();
    sourceUri = uriOf(png);
    maskUri = uriOf(await toPng(paint([middle])));
  });
  afterAll(() => rig.close());

  const edit = (fields: object, headers?: Record<string, string>) =>
    postJson(
      `${rig.url}/edit-image`,
      { image1_url: sourceUri, prompt: 'a red door', steps: 1, megapixels: MEGAPIXELS, ...fields },
      headers,
    );

  const submit = async (fields: object): Promise<string> => {
    const { status, body } = await edit(fields);
    expect([status, body]).toEqual([200, expect.objectContaining({ job_id: expect.any(String) })]);
    return String(body.job_id);
  };

  const pixelsOf = async (
    id: string,
    query = '',
  ): Promise<{ pixels: Buffer; width: number; height: number }> => {
    expect((await waitForEnd(rig.url, id)).status).toBe('COMPLETED');
    const file = await fetch(`${rig.url}/download/${id}${query}`);
    const { data, info } = await sharp(Buffer.from(await file.arrayBuffer()))
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { pixels: data, width: info.width, height: info.height };
  };

  /** How many pixels differ where the mask is 0, and where it is 255. */
  const differing = (pixels: Buffer, values: Buffer): { outside: number; inside: number } => {
    const count = { outside: 0, inside: 0 };
    for (const [at, value] of values.entries()) {
      if (pixels.subarray(at * 3, at * 3 + 3).equals(source.subarray(at * 3, at * 3 + 3))) continue;
      if (value === 0) count.outside += 1;
      if (value === 255) count.inside += 1;
    }
    return count;
  };

  it('changes what is painted and not one other pixel', async () => {
    const values = paint([middle]);
    const { pixels, width, height } = await pixelsOf(await submit({ mask_url: maskUri }));
    expect({ width, height }).toEqual({ width: WIDTH, height: HEIGHT });
    const { outside, inside } = differing(pixels, values);
    expect(outside).toBe(0);
    expect(inside).toBeGreaterThan(middle.width * middle.height * 0.99);
  });

  it('leaves every pixel outside of random paint as it is, also with soft edges', async () => {
    const area = fc.record({
      left: fc.nat(WIDTH - 1),
      top: fc.nat(HEIGHT - 1),
      width: fc.integer({ min: 1, max: WIDTH }),
      height: fc.integer({ min: 1, max: HEIGHT }),
      value: fc.integer({ min: 1, max: 255 }),
    });
    const painted = fc.array(area, { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(painted, fc.nat(2 ** 31), async (areas, seed) => {
        const values = paint(areas);
        const id = await submit({ mask_url: uriOf(await toPng(values)), seed });
        expect(differing((await pixelsOf(id)).pixels, values).outside).toBe(0);
      }),
      { numRuns: 12 },
    );
  });

  it('is blended in where it is grey', async () => {
    const half = { ...middle, value: 128 };
    const seed = 5;
    const [full, soft] = await Promise.all(
      [middle, half].map(async area =>
        pixelsOf(await submit({ mask_url: uriOf(await toPng(paint([area]))), seed })),
      ),
    );
    const at = ((middle.top + 30) * WIDTH + middle.left + 45) * 3;
    const between = ((full?.pixels[at] ?? 0) * 128 + (source[at] ?? 0) * 127) / 255;
    expect(Math.abs((soft?.pixels[at] ?? 0) - between)).toBeLessThanOrEqual(1);
  });

  it('follows an image that is scaled', async () => {
    const size = 0.5 * MEGAPIXELS;
    const [changed, whole] = await Promise.all(
      [middle, { ...middle, left: 0, top: 0, width: 1, height: 1 }].map(async area =>
        pixelsOf(
          await submit({ mask_url: uriOf(await toPng(paint([area]))), megapixels: Math.max(0.1, size) }),
        ),
      ),
    );
    if (changed === undefined || whole === undefined) throw new Error('two results');
    const { width, height } = changed;
    expect(width).toBeLessThan(WIDTH);
    const values = paint([middle]);
    let outside = 0;
    let inside = 0;
    for (let at = 0; at < width * height; at += 1) {
      const [x, y] = [at % width, Math.floor(at / width)];
      // The single painted corner of the other result.
      if (x < 2 && y < 2) continue;
      const differs = !changed.pixels
        .subarray(at * 3, at * 3 + 3)
        .equals(whole.pixels.subarray(at * 3, at * 3 + 3));
      if (!differs) continue;
      const from =
        Math.floor(((y + 0.5) * HEIGHT) / height) * WIDTH + Math.floor(((x + 0.5) * WIDTH) / width);
      const near = [0, -1, 1, -WIDTH, WIDTH].some(step => values[from + step] === 255);
      if (near) inside += 1;
      else outside += 1;
    }
    expect(outside).toBe(0);
    expect(inside).toBeGreaterThan(1000);
  });

  it('runs the first workflow that takes one, unless one is named', async () => {
    const { body } = await fetchJson(`${rig.url}/debug/job/${await submit({ mask_url: maskUri })}`);
    expect(body.request).toMatchObject({
      workflow: INPAINT,
      mask: { source: 'data:', mime_type: 'image/png', width: WIDTH, height: HEIGHT },
    });
    const without = await fetchJson(`${rig.url}/debug/job/${await submit({ mask_url: '' })}`);
    expect(without.body.request).toMatchObject({ workflow: 'qwen-image-edit-plus' });
    expect(without.body.request).not.toHaveProperty('mask');
  });

  it.each([
    [
      { workflow: 'qwen-image-edit-plus' },
      `mask_url is not an input of the workflow qwen-image-edit-plus: it is one of ${INPAINT}`,
    ],
    [
      { workflow: INPAINT, mask_url: null },
      `mask_url is missing: the workflow ${INPAINT} takes a mask of what to change`,
    ],
    [
      { mask_url: 'mask.png' },
      'mask_url takes an http(s) URL or a data: URI of an image, upload:<id> or job:<id>, got "mask.png"',
    ],
    [{ mask_url: 'upload:nope' }, 'mask_url is not one of your uploads, or it has expired'],
  ])('is rejected with the field and the reason: %j', async (fields, detail) => {
    expect(await edit({ mask_url: maskUri, ...fields })).toMatchObject({ status: 400, body: { detail } });
  });

  it.each([
    [
      100,
      300,
      `mask_url is 100 × 300 pixels and image 1 is ${WIDTH} × ${HEIGHT}: takes a mask of the size or the shape of image 1`,
    ],
    [WIDTH, HEIGHT, 'mask_url changes nothing: takes an image that is white or transparent where to edit'],
  ])('of %d × %d pixels, all black, is rejected', async (width, height, detail) => {
    const mask_url = uriOf(await toPng(paint([], width, height), width, height));
    expect(await edit({ mask_url })).toMatchObject({ status: 400, body: { detail } });
  });

  it('has the shape of image 1 as it is shown, not as a camera stored it', async () => {
    const stored = sharp({ create: { width: HEIGHT, height: WIDTH, channels: 3, background: 'green' } });
    const turned = uriOf(await stored.withMetadata({ orientation: 6 }).jpeg().toBuffer());
    const { pixels } = await pixelsOf(await submit({ image1_url: turned, mask_url: maskUri }));
    expect(pixels).toHaveLength(WIDTH * HEIGHT * 3);
    const upright = await toPng(paint([middle], HEIGHT, WIDTH), HEIGHT, WIDTH);
    expect((await edit({ image1_url: turned, mask_url: uriOf(upright) })).status).toBe(400);
  });

  it('is fetched behind the same guard as images', async () => {
    const { status, body } = await edit({ mask_url: 'http://169.254.169.254/mask.png' });
    expect([status, body.detail]).toEqual([
      500,
      expect.stringMatching(/^Failed to download file from URL: /),
    ]);
  });

  it('can be an upload, and is kept, shown, retried and deleted with its job', async () => {
    const bytes = await toPng(paint([middle]));
    const stored = await fetchJson(`${rig.url}/upload`, {
      method: 'POST',
      headers: { 'content-type': 'image/png' },
      body: new Uint8Array(bytes),
    });
    const id = await submit({ mask_url: `upload:${stored.body.upload_id}` });
    await waitForEnd(rig.url, id);
    const asked = `query ($id: ID!) { job(id: $id) { request { mask { id url source width height mimeType bytes } } } }`;
    interface Asked {
      job: { request: { mask: { url: string } | null } };
    }
    const { data } = await rig.graphql<Asked>(asked, { id });
    expect(data?.job.request.mask).toEqual({
      id: `${id}:mask`,
      url: `${rig.url}/input/${id}?slot=mask`,
      source: `upload:${stored.body.upload_id}`,
      width: WIDTH,
      height: HEIGHT,
      mimeType: 'image/png',
      bytes: expect.any(Number),
    });
    const shown = await fetch(data?.job.request.mask?.url ?? '');
    expect(shown.headers.get('content-type')).toBe('image/png');
    expect(
      await sharp(Buffer.from(await shown.arrayBuffer()))
        .toColourspace('b-w')
        .raw()
        .toBuffer(),
    ).toEqual(paint([middle]));

    const retried = await rig.graphql<{ retryJob: { id: string } }>(
      'mutation ($id: ID!) { retryJob(id: $id) { ... on EditJob { id } } }',
      { id },
    );
    const again = retried.data?.retryJob.id ?? '';
    expect((await fetch(`${rig.url}/jobs/${id}`, { method: 'DELETE' })).status).toBe(200);
    expect((await fetch(shown.url)).status).toBe(404);
    const { pixels } = await pixelsOf(again);
    expect(differing(pixels, paint([middle])).outside).toBe(0);
    expect((await fetch(`${rig.url}/input/${again}?slot=mask`)).status).toBe(200);
  });

  it('is part of what an idempotency key stands for', async () => {
    const key = { 'idempotency-key': 'masked' };
    const first = await edit({ mask_url: maskUri }, key);
    const second = await edit({ mask_url: maskUri }, key);
    expect([first.status, second.body.job_id]).toEqual([200, first.body.job_id]);
    const other = uriOf(await toPng(paint([{ ...middle, left: 0 }])));
    expect((await edit({ mask_url: other }, key)).status).toBe(409);
    expect((await edit({}, key)).status).toBe(409);
  });

  it('is bytes, a URL or a source for the client', async () => {
    const client = createClient({ url: rig.url });
    const bytes = new Uint8Array(await toPng(paint([middle])));
    for (const mask of [new Blob([bytes]), bytes, maskUri, { dataUri: maskUri }]) {
      const result = await client.edit({
        images: [sourceUri],
        mask,
        prompt: 'a red door',
        steps: 1,
        megapixels: MEGAPIXELS,
      });
      if (result.__typename !== 'EditJob') throw new Error(result.message);
      expect(differing((await pixelsOf(result.id)).pixels, paint([middle])).outside).toBe(0);
    }
    await client.close();
  });

  it('is an input of GraphQL, for the workflows that say so', async () => {
    const { data } = await rig.graphql<{ workflows: { name: string; takesMask: boolean }[] }>(
      '{ workflows { name takesMask } }',
    );
    expect(data?.workflows.filter(({ takesMask }) => takesMask)).toEqual([
      { name: INPAINT, takesMask: true },
    ]);
    const submitted = async (input: object) =>
      (
        await rig.graphql<{ editImage: Record<string, unknown> }>(
          `mutation ($input: EditImageInput!) { editImage(input: $input) {
            ... on EditJob { id request { workflow } }
            ... on EditInvalidInput { code field message }
            ... on EditImageRejected { code field } } }`,
          {
            input: {
              images: [{ dataUri: sourceUri }],
              prompt: 'a red door',
              steps: 1,
              megapixels: MEGAPIXELS,
              ...input,
            },
          },
        )
      ).data?.editImage;
    const job = await submitted({ mask: { dataUri: maskUri } });
    expect(job).toMatchObject({ request: { workflow: INPAINT } });
    expect(differing((await pixelsOf(String(job?.id))).pixels, paint([middle])).outside).toBe(0);
    expect(await submitted({ mask: { dataUri: maskUri }, workflow: 'qwen-image-edit-plus' })).toEqual({
      code: 'INVALID_INPUT',
      field: 'mask',
      message: expect.stringMatching(/^mask is not an input of the workflow qwen-image-edit-plus: /),
    });
    expect(await submitted({ mask: { dataUri: 'data:;base64,AAAA' } })).toEqual({
      code: 'INPUT_NOT_AN_IMAGE',
      field: 'mask',
    });
  });
});
