import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { animation, failure, loader, plainImage } from '../support/images.ts';

describe('an image sent again', () => {
  it('gives the same result, with its own bytes', async () => {
    const images = loader();
    const bytes = await plainImage().png().toBuffer();
    const first = await images.fromReader(async () => ({ bytes }));
    const again = new Uint8Array(bytes);
    const second = await images.fromReader(async () => ({ bytes: again }));
    if (!first.ok || !second.ok) throw new Error('A good picture was refused');
    expect({ ...second.image, bytes }).toEqual(first.image);
    expect(second.image.bytes).toBe(again);
  });

  it('is verified again if one bit differs', async () => {
    const images = loader();
    const bytes = await sharp({ create: { width: 90, height: 90, channels: 3, background: 'teal' } })
      .jpeg()
      .toBuffer();
    expect(await images.fromReader(async () => ({ bytes }))).toMatchObject({ ok: true });
    const cut = bytes.subarray(0, bytes.length - 40);
    for (let turn = 0; turn < 2; turn += 1) {
      expect(await images.fromReader(async () => ({ bytes: cut }))).toEqual(
        failure('INPUT_NOT_AN_IMAGE', /cut short/),
      );
    }
  });

  it('is rotated per EXIF each time, and reduced to its first frame each time', async () => {
    const images = loader();
    const turned = await sharp({ create: { width: 60, height: 40, channels: 3, background: 'teal' } })
      .jpeg()
      .withMetadata({ orientation: 6 })
      .toBuffer();
    const frames = await animation(20, 20);
    for (let turn = 0; turn < 2; turn += 1) {
      expect(await images.fromReader(async () => ({ bytes: turned }))).toMatchObject({
        ok: true,
        image: { width: 40, height: 60 },
      });
      expect(await images.fromReader(async () => ({ bytes: frames }))).toMatchObject({
        ok: true,
        image: { width: 20, height: 20, mimeType: 'image/png' },
      });
    }
  });

  it('has the size that a decoder reports, with metadata and without', async () => {
    const plain = await plainImage().png().toBuffer();
    const words = await plainImage()
      .png()
      .withMetadata({ exif: { IFD0: { ImageDescription: 'x' } } })
      .toBuffer();
    for (const bytes of [plain, words]) {
      const { width, height } = await sharp(bytes).metadata();
      expect(await loader().fromReader(async () => ({ bytes }))).toMatchObject({
        ok: true,
        image: { width, height },
      });
    }
  });
});
