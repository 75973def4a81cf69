import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { VerifiedImage } from '../../src/images/verify.ts';
import { loader } from '../support/images.ts';

const WIDTH = 16;
const HEIGHT = 16;
const SIZE = { width: WIDTH, height: HEIGHT };
/** Every value of a byte once. */
const RAMP = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
const grey = () => sharp(RAMP, { raw: { ...SIZE, channels: 1 } });
const plain = (channels: 3 | 4, background: string) => sharp({ create: { ...SIZE, channels, background } });

async function load(bytes: Buffer): Promise<VerifiedImage> {
  const result = await loader().fromReader(async () => ({ bytes }));
  if (!result.ok) throw new Error(result.failure.message);
  return result.image;
}

/** The values of the mask that is made of an image. */
async function valuesOf(bytes: Buffer, size = SIZE): Promise<Buffer> {
  const made = await loader().toMask(await load(bytes), size);
  if (!made.ok) throw new Error(made.message);
  const { image } = made;
  expect(image).toMatchObject({ ...size, mimeType: 'image/png', extension: 'png' });
  expect(await sharp(image.bytes).metadata()).toMatchObject({ ...size, channels: 1, depth: 'uchar' });
  return sharp(image.bytes).toColourspace('b-w').raw().toBuffer();
}

describe('a mask', () => {
  it.each([
    ['a grey PNG', () => grey().toColourspace('b-w').png()],
    ['an RGB PNG', () => grey().toColourspace('srgb').png()],
    ['a PNG with a palette', () => grey().toColourspace('srgb').png({ palette: true, colours: 256 })],
    ['a lossless WebP', () => grey().toColourspace('srgb').webp({ lossless: true })],
    ['a PNG with a profile of its own', () => grey().toColourspace('srgb').withIccProfile('p3').png()],
    ['an opaque RGBA PNG, as browsers write it', () => grey().toColourspace('srgb').ensureAlpha().png()],
  ])('changes what is white in %s', async (_title, image) => {
    const bytes = await image().toBuffer();
    const { data } = await sharp(bytes, { ignoreIcc: true })
      .extractChannel(0)
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect(await valuesOf(bytes)).toEqual(data);
  });

  it('changes what is transparent when anything is, whatever the colours', async () => {
    const bytes = await plain(3, 'white')
      .joinChannel(await grey().toColourspace('b-w').png().toBuffer())
      .png()
      .toBuffer();
    expect(await valuesOf(bytes)).toEqual(Buffer.from(RAMP.map(value => 255 - value)));
  });

  it('of another size and the same shape is scaled to the nearest pixel', async () => {
    const values = await valuesOf(await grey().toColourspace('b-w').png().toBuffer(), {
      width: 32,
      height: 32,
    });
    for (const [at, value] of values.entries()) {
      const [x, y] = [at % 32, Math.floor(at / 32)];
      expect(value).toBe((y >> 1) * WIDTH + (x >> 1));
    }
  });

  it('may be a pixel off in its shape, which is rounding', async () => {
    const bytes = await sharp({ create: { width: 33, height: 25, channels: 3, background: 'white' } })
      .png()
      .toBuffer();
    expect((await valuesOf(bytes, { width: 4000, height: 3001 })).every(value => value === 255)).toBe(true);
  });

  it('of another shape is rejected with both sizes', async () => {
    const image = await load(await plain(3, 'white').png().toBuffer());
    expect(await loader().toMask(image, { width: 64, height: 48 })).toEqual({
      ok: false,
      message: 'is 16 × 16 pixels and image 1 is 64 × 48: takes a mask of the size or the shape of image 1',
    });
  });

  it.each([
    ['black', () => plain(3, 'black')],
    ['black and opaque', () => plain(4, 'black')],
  ])('that is all %s is rejected, since it changes nothing', async (_title, image) => {
    expect(await loader().toMask(await load(await image().png().toBuffer()), SIZE)).toEqual({
      ok: false,
      message: 'changes nothing: takes an image that is white or transparent where to edit',
    });
  });
});
