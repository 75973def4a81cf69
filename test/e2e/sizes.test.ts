import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { referenceSize } from '../../src/workflows/bind/size.ts';
import { shipped } from '../support/comfyui/workflows.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { watchOverWebSocket } from '../support/watch.ts';

/** Pictures of 1:1, 3:2, 9:16 and 21:9, and one whose sides divide by nothing useful. */
const SHAPES = [
  [1024, 1024],
  [1200, 800],
  [720, 1280],
  [2100, 900],
  [1023, 767],
] as const;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '1ms', PREVIEW_RATE: '0' });
});
afterAll(() => rig.close());

async function picture(width: number, height: number): Promise<string> {
  const png = await sharp({ create: { width, height, channels: 3, background: 'teal' } })
    .png()
    .toBuffer();
  return `data:image/png;base64,${png.toString('base64')}`;
}

async function submit(dataUri: string, megapixels: number): Promise<string> {
  const { data, errors } = await rig.graphql<{ editImage: { id: string } }>(
    'mutation ($input: EditImageInput!) { editImage(input: $input) { ... on EditJob { id } ... on EditError { message } } }',
    { input: { images: [{ dataUri }], prompt: 'p', steps: 1, megapixels } },
  );
  if (data === null) throw new Error(JSON.stringify(errors));
  return data.editImage.id;
}

describe('the size of the result', () => {
  const cases = SHAPES.flatMap(([width, height]) =>
    [0.25, 1, 1.5].map(megapixels => ({ width, height, megapixels })),
  );

  it.each(cases)(
    'of $width x $height at $megapixels megapixels is the one that the job tells',
    async ({ width, height, megapixels }) => {
      const { manifest } = await shipped('qwen-image-edit-plus');
      const id = await submit(await picture(width, height), megapixels);
      const job = (await watchOverWebSocket(rig.url, id)).at(-1);
      const size = job?.size;
      const image = job?.images[0];
      if (size == null || image === undefined) throw new Error(JSON.stringify(job));

      const bytes = Buffer.from(await (await fetch(image.url)).arrayBuffer());
      const { width: sentWidth, height: sentHeight } = await sharp(bytes).metadata();
      expect({ width: sentWidth, height: sentHeight }).toEqual(size);
      expect({ width: image.width, height: image.height }).toEqual(size);

      const { multipleOf, areaTolerance, reference } = manifest.size;
      expect([size.width % multipleOf, size.height % multipleOf]).toEqual([0, 0]);
      const area = (size.width * size.height) / (megapixels * 1024 * 1024);
      expect(Math.abs(area - 1)).toBeLessThanOrEqual(areaTolerance);
      expect(Math.abs(size.width / size.height / (width / height) - 1)).toBeLessThan(0.05);
      // At its own area the encoder must leave the size as it is, or the edit shifts against the original.
      if (megapixels === 1 && reference !== undefined) expect(referenceSize(size, reference)).toEqual(size);
    },
  );
});
