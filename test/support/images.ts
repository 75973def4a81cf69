import sharp, { type Sharp } from 'sharp';
import { expect, onTestFinished } from 'vitest';
import { createImageLoader, type ImageLoader, type ImageLoaderOptions } from '../../src/images/loader.ts';
import { parseAllowList } from '../../src/outbound/allow-list.ts';

/** A plain image, small in bytes. */
export function plainImage(width = 40, height = 30): Sharp {
  return sharp({ create: { width, height, channels: 3, background: '#a04020' } });
}

/** A noisy image: its last rows take as many bytes as its first. */
export function noisyImage(width: number, height: number): Sharp {
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

/** A JPEG with an HDR gain map appended, as phones write it. */
export async function ultraHdr(width: number, height: number): Promise<Buffer> {
  const jpeg = plainImage(width, height).jpeg();
  // sharp's types lack this method.
  const withGainMap: unknown = Reflect.get(jpeg, 'withGainMap');
  if (typeof withGainMap !== 'function') throw new Error('sharp cannot write gain maps');
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

/** The result of loading an image that is rejected, for `toEqual`. */
export function failure(code: string, message?: string | RegExp): object {
  const expected = message instanceof RegExp ? expect.stringMatching(message) : message;
  return { ok: false, failure: { code, message: expected ?? expect.any(String) } };
}

/** The result for a URL that is blocked; for an address that is not public, with what to do. */
export function blocked(reason: string): object {
  const remedy = ': upload the image, or let the operator add the host to FETCH_ALLOW';
  return failure('INPUT_BLOCKED', / (is|leads to) an? .*address/.test(reason) ? reason + remedy : reason);
}

/** A loader of the running test. `FETCH_ALLOW` is 127.0.0.1, where the test servers are, unless `options` say otherwise. */
export function loader(options: Partial<ImageLoaderOptions> = {}): ImageLoader {
  const made = createImageLoader({
    allow: parseAllowList('127.0.0.1'),
    maxBytes: 200_000,
    maxPixels: 1_000_000,
    totalTimeoutMs: 5_000,
    ...options,
  });
  onTestFinished(() => made.close());
  return made;
}
