import { readFileSync } from 'node:fs';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Sandbox } from '../../src/sandbox/server.ts';
import {
  call,
  isType,
  openSocket,
  readHistory,
  startTestSandbox,
  submitGraph,
  upload,
} from '../support/comfyui/sandbox.ts';

const values = z.array(z.int().min(0).max(255));
/** What these nodes made on a ComfyUI 0.3.64: bytes of masks, and of RGB images. */
const recorded = z
  .object({
    width: z.int(),
    height: z.int(),
    mask: values,
    destination: values,
    source: values,
    grown: values,
    shrunk: values,
    thresholded: values,
    scaled: values,
    pasted: values,
  })
  .parse(JSON.parse(readFileSync(new URL('../fixtures/masks.json', import.meta.url), 'utf8')));
const { width, height } = recorded;

async function uploaded(sandbox: Sandbox, name: string, bytes: readonly number[], channels: 1 | 3) {
  const png = await sharp(Buffer.from(bytes), { raw: { width, height, channels } }).png().toBuffer();
  await upload(sandbox.url, name, png);
  return name;
}

/** The bytes that each SaveImage of a graph saved, by node. */
async function run(sandbox: Sandbox, graph: Record<string, object>): Promise<Map<string, number[]>> {
  const socket = await openSocket(sandbox.url, 'masks');
  await submitGraph(sandbox, 'masks', graph);
  await socket.until(frame => isType(frame, 'executing_null', 'masks'));
  await socket.close();
  const entry = (await readHistory(sandbox.url)).get('masks');
  expect(entry?.status.status_str).toBe('success');
  const saved = new Map<string, number[]>();
  for (const [node, { images = [] }] of Object.entries(entry?.outputs ?? {})) {
    const { bytes } = await call(`${sandbox.url}/view?${new URLSearchParams(images[0])}`);
    saved.set(node, [...(await sharp(bytes).removeAlpha().raw().toBuffer())]);
  }
  return saved;
}

const node = (class_type: string, inputs: Record<string, unknown>) => ({ class_type, inputs });
const save = (from: string, filename_prefix: string) =>
  node('SaveImage', { images: [from, 0], filename_prefix });
const grey = (bytes: readonly number[] | undefined) => bytes?.filter((_, at) => at % 3 === 0);

describe('the nodes of masks', () => {
  it('make the same pixels as those of ComfyUI', async () => {
    const sandbox = await startTestSandbox();
    const image = await uploaded(sandbox, 'mask.png', recorded.mask, 1);
    const saved = await run(sandbox, {
      1: node('LoadImageMask', { image, channel: 'red' }),
      2: node('LoadImage', { image }),
      4: node('GrowMask', { mask: ['1', 0], expand: 2, tapered_corners: true }),
      5: node('GrowMask', { mask: ['4', 0], expand: -1, tapered_corners: false }),
      6: node('ThresholdMask', { mask: ['1', 0], value: 0 }),
      7: node('ImageScale', {
        image: ['2', 0],
        upscale_method: 'nearest-exact',
        width: 8,
        height: 16,
        crop: 'center',
      }),
      8: node('LoadImage', { image: await uploaded(sandbox, 'destination.png', recorded.destination, 3) }),
      9: node('LoadImage', { image: await uploaded(sandbox, 'source.png', recorded.source, 3) }),
      10: node('ImageCompositeMasked', {
        destination: ['8', 0],
        source: ['9', 0],
        x: 2,
        y: 1,
        resize_source: false,
        mask: ['1', 0],
      }),
      14: node('MaskToImage', { mask: ['4', 0] }),
      15: node('MaskToImage', { mask: ['5', 0] }),
      16: node('MaskToImage', { mask: ['6', 0] }),
      grown: save('14', 'grown'),
      shrunk: save('15', 'shrunk'),
      thresholded: save('16', 'thresholded'),
      scaled: save('7', 'scaled'),
      pasted: save('10', 'pasted'),
    });
    for (const name of ['grown', 'shrunk', 'thresholded', 'scaled'] as const) {
      expect(grey(saved.get(name)), name).toEqual(recorded[name]);
    }
    // ComfyUI computes in floating point, so that a blended value may be one less.
    const differences = saved.get('pasted')?.map((value, at) => Math.abs(value - (recorded.pasted[at] ?? 0)));
    expect(Math.max(...(differences ?? [255]))).toBeLessThanOrEqual(1);
  });

  it('take the transparency of an image as LoadImage and LoadImageMask do', async () => {
    const sandbox = await startTestSandbox();
    const opacity = await sharp(Buffer.from(recorded.mask), { raw: { width, height, channels: 1 } })
      .png()
      .toBuffer();
    const clear = { create: { width, height, channels: 3, background: 'red' } } as const;
    await upload(sandbox.url, 'clear.png', await sharp(clear).joinChannel(opacity).png().toBuffer());
    const saved = await run(sandbox, {
      1: node('LoadImage', { image: 'clear.png' }),
      2: node('LoadImageMask', { image: 'clear.png', channel: 'alpha' }),
      3: node('InvertMask', { mask: ['2', 0] }),
      4: node('MaskToImage', { mask: ['1', 1] }),
      5: node('MaskToImage', { mask: ['3', 0] }),
      transparency: save('4', 'transparency'),
      opacity: save('5', 'opacity'),
    });
    expect(grey(saved.get('transparency'))).toEqual(recorded.mask.map(value => 255 - value));
    expect(grey(saved.get('opacity'))).toEqual(recorded.mask);
  });
});
