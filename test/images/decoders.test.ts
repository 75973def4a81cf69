import sharp from 'sharp';
import { expect, it } from 'vitest';
import { blockOtherDecoders } from '../../src/images/decode.ts';
import { animation, failure, loader, plainImage, ultraHdr } from '../support/images.ts';

// In a file of its own, because blocking is for the whole process.
it('blocks every decoder of the process except JPEG, PNG and WebP', async () => {
  const gif = await plainImage(2, 2).gif().toBuffer();
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
  const tiff = await plainImage(2, 2).tiff().toBuffer();
  expect((await sharp(svg).metadata()).format).toBe('svg');
  blockOtherDecoders();
  for (const bytes of [gif, svg, tiff]) {
    await expect(sharp(bytes).metadata()).rejects.toThrow(/unsupported/);
    expect(await loader().fromReader(async () => ({ bytes }))).toEqual(failure('INPUT_NOT_AN_IMAGE'));
  }
  for (const bytes of [
    await plainImage().png().toBuffer(),
    await plainImage().jpeg().toBuffer(),
    await ultraHdr(64, 64),
    await plainImage().webp().toBuffer(),
    await animation(4, 4),
  ]) {
    expect(await loader().fromReader(async () => ({ bytes }))).toMatchObject({ ok: true });
  }
});
