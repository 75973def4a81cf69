import sharp, { type Sharp } from 'sharp';
import { expect } from 'vitest';

/** A plain picture, small in bytes. */
export function picture(width = 40, height = 30): Sharp {
  return sharp({ create: { width, height, channels: 3, background: '#a04020' } });
}

/** A noisy picture, whose last lines take as many bytes as its first. */
export function noise(width: number, height: number): Sharp {
  return sharp({
    create: {
      width,
      height,
      channels: 3,
      background: 'grey',
      noise: { type: 'gaussian', mean: 128, sigma: 40 },
    },
  });
}

/** A JPEG with a gain map for brighter screens behind it, as phones take it. */
export async function ultraHdr(width: number, height: number): Promise<Buffer> {
  const jpeg = picture(width, height).jpeg();
  // The types of sharp do not know this method yet.
  const withGainMap: unknown = Reflect.get(jpeg, 'withGainMap');
  if (typeof withGainMap !== 'function') throw new Error('sharp makes no gain maps');
  Reflect.apply(withGainMap, jpeg, []);
  return await jpeg.toBuffer();
}

/** An animated WebP of two frames. */
export async function animation(width: number, height: number): Promise<Buffer> {
  const frames = await Promise.all(
    ['red', 'blue'].map(background =>
      sharp({ create: { width, height, channels: 3, background } })
        .raw()
        .toBuffer(),
    ),
  );
  return await sharp(Buffer.concat(frames), {
    raw: { width, height: height * 2, channels: 3, pageHeight: height },
  })
    .webp({ loop: 0 })
    .toBuffer();
}

/** What a refused picture comes to, for `toEqual`. */
export function failure(code: string, message?: string | RegExp): object {
  const expected = message instanceof RegExp ? expect.stringMatching(message) : message;
  return { ok: false, failure: { code, message: expected ?? expect.any(String) } };
}
