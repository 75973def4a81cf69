import { afterEach, describe, expect, it } from 'vitest';
import type { SandboxOptions } from '../../src/sandbox/server.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { DAMAGES } from '../support/damaged-images.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { noisyImage } from '../support/images.ts';
import { fetchJson, postEdit, submit, submitByGraphQL } from '../support/requests.ts';
import { waitForEnd, watchOverWebSocket } from '../support/watch.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(options: SandboxOptions = {}): Promise<{ rig: Rig; engine: TestEngine }> {
  const engine = await startTestEngine({ control: true, ...options });
  closers.push(() => engine.stop());
  const rig = await startRig({ COMFYUI_URL: engine.url });
  closers.push(() => rig.close());
  return { rig, engine };
}

const uriOf = (bytes: Buffer): string => `data:;base64,${bytes.toString('base64')}`;

async function uploads(engine: TestEngine): Promise<unknown> {
  return (await fetchJson(`${engine.url}/sandbox/stats`)).body.uploads;
}

/** The error of an edit that is rejected. */
async function rejection(rig: Rig, input: object): Promise<unknown> {
  const { data } = await rig.graphql<{ editImage: unknown }>(
    `mutation ($input: EditImageInput!) {
      editImage(input: $input) { ... on EditImageRejected { code field message } }
    }`,
    { input: { prompt: 'x', ...input } },
  );
  return data?.editImage;
}

describe('an image that only decoding shows to be broken', () => {
  it.each(Object.entries(DAMAGES))('%s fails its job, and the engine does not get it', async (_, make) => {
    const { rig, engine } = await start();
    const { whole, damaged } = await make();
    const id = await submit(rig, { image1_url: uriOf(damaged) });
    const job = await waitForEnd(rig.url, id);
    expect(job).toMatchObject({ status: 'ERROR', error: { code: 'INPUT_NOT_AN_IMAGE' } });
    expect(job.error?.message).toMatch(
      /^Decoding input image 1 failed: a (PNG|JPEG|WebP) file that is broken or cut short$/,
    );
    expect(await uploads(engine)).toBe(0);
    // The lane takes the next job, whose image differs in the damage alone.
    const next = await waitForEnd(rig.url, await submit(rig, { image1_url: uriOf(whole) }));
    expect(next).toMatchObject({ status: 'COMPLETED' });
    expect(await uploads(engine)).toBe(1);
  });

  it('is named by its number, and REST tells the same error', async () => {
    const { rig } = await start();
    const { whole, damaged } = await DAMAGES['a lossless WebP whose pixels are noise']();
    const id = await submitByGraphQL(rig, {
      images: [{ dataUri: uriOf(whole) }, { dataUri: uriOf(damaged) }],
    });
    const snapshots = await watchOverWebSocket(rig.url, id);
    expect(snapshots.map(({ status }) => status)).toEqual(
      expect.arrayContaining([expect.stringMatching('QUEUED|PROCESSING'), 'ERROR']),
    );
    const error = 'Decoding input image 2 failed: a WebP file that is broken or cut short';
    expect(snapshots.at(-1)).toMatchObject({ status: 'ERROR', error: { message: error } });
    expect((await fetchJson(`${rig.url}/status/${id}`)).body).toMatchObject({ status: 'error', error });
  });

  it('is rejected at once as a mask and as an upload, which are decoded as they come', async () => {
    const { rig } = await start();
    const { damaged } = await DAMAGES['a PNG with fewer lines than its header says']();
    const whole = await noisyImage(120, 90).png().toBuffer();
    const images = [{ dataUri: uriOf(whole) }];
    expect(await rejection(rig, { images, mask: { dataUri: uriOf(damaged) } })).toEqual({
      code: 'INPUT_NOT_AN_IMAGE',
      field: 'mask',
      message: expect.stringMatching(/a PNG file that is broken or cut short$/),
    });
    const upload = await fetch(`${rig.url}/upload`, {
      method: 'POST',
      headers: { 'content-type': 'image/png' },
      body: new Uint8Array(damaged),
    });
    expect(upload.status).toBe(400);
    expect(await upload.text()).toMatch(/broken or cut short/);
  });
});

describe('an image that is cut short', () => {
  it.each(['png', 'jpeg', 'webp'] as const)('is rejected at the submit with its field: %s', async format => {
    const { rig } = await start();
    const bytes = await noisyImage(120, 90).toFormat(format).toBuffer();
    const cut = uriOf(bytes.subarray(0, -30));
    expect(await rejection(rig, { images: [{ dataUri: uriOf(bytes) }, { dataUri: cut }] })).toEqual({
      code: 'INPUT_NOT_AN_IMAGE',
      field: 'images.1',
      message: expect.stringMatching(/file that is broken or cut short$/),
    });
    const answer = await postEdit(rig, { image1_url: cut });
    expect([answer.status, await answer.json()]).toEqual([
      500,
      { detail: expect.stringMatching(/^Failed to download file from URL: .*broken or cut short$/) },
    ]);
    expect(await (await fetch(`${rig.url}/jobs`)).json()).toEqual({ jobs: {} });
  });
});
