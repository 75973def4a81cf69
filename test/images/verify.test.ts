import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { readDataUri } from '../../src/images/data-uri.ts';
import { DAMAGES } from '../support/damaged-images.ts';
import { animation, failure, loader, noisyImage, plainImage, ultraHdr } from '../support/images.ts';
import { pngChunk } from '../support/png.ts';

const KINDS = {
  PNG: () => noisyImage(120, 90).png(),
  'interlaced PNG': () => noisyImage(120, 90).png({ progressive: true }),
  JPEG: () => noisyImage(120, 90).jpeg(),
  'progressive JPEG': () => noisyImage(120, 90).jpeg({ progressive: true }),
  'flat JPEG': () => plainImage(120, 90).jpeg(),
  WebP: () => noisyImage(120, 90).webp(),
  'lossless WebP': () => noisyImage(120, 90).webp({ lossless: true }),
} as const;
const KIND_NAMES = [
  'PNG',
  'interlaced PNG',
  'JPEG',
  'progressive JPEG',
  'flat JPEG',
  'WebP',
  'lossless WebP',
] as const;

describe('an image', () => {
  it.each(KIND_NAMES)('that is a %s is kept as it is', async name => {
    const bytes = await KINDS[name]().toBuffer();
    const result = await loader().fromReader(async () => ({ bytes }), { decode: true });
    expect(result).toMatchObject({ ok: true, image: { width: 120, height: 90 } });
    expect(result.ok && result.image.bytes).toBe(bytes);
    expect(result.ok && result.image.sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  it.each(KIND_NAMES)('that is a %s is rejected undecoded if any of its end is missing', async name => {
    const bytes = await KINDS[name]().toBuffer();
    const one = loader();
    for (const cut of [1, 2, 3, 8, 12, 13, 40, 0.01, 0.03, 0.1, 0.5, 0.9]) {
      const missing = cut < 1 ? Math.ceil(bytes.byteLength * cut) : cut;
      const result = await one.fromReader(async () => ({
        bytes: bytes.subarray(0, bytes.byteLength - missing),
      }));
      expect(result, `${missing} of ${bytes.byteLength} bytes`).toEqual(
        failure('INPUT_NOT_AN_IMAGE', /broken or cut short/),
      );
    }
  });

  it.each(['jpeg', 'png', 'webp'] as const)('that is a %s is measured as EXIF rotates it', async format => {
    for (const [orientation, width, height] of [
      [1, 40, 30],
      [3, 40, 30],
      [6, 30, 40],
      [8, 30, 40],
    ] as const) {
      const bytes = await plainImage().toFormat(format).withMetadata({ orientation }).toBuffer();
      expect(await loader().fromReader(async () => ({ bytes }))).toMatchObject({
        ok: true,
        image: { width, height },
      });
    }
  });

  it('with a gain map for brighter screens, as phones make it, is kept as it is', async () => {
    const bytes = await ultraHdr(64, 64);
    expect((await sharp(bytes).metadata()).gainMap).toBeDefined();
    const result = await loader().fromReader(async () => ({ bytes }));
    expect(result).toMatchObject({ ok: true, image: { mimeType: 'image/jpeg', width: 64, height: 64 } });
    expect(result.ok && result.image.bytes).toBe(bytes);
  });

  it('with more pixels than allowed is rejected before it is decoded', async () => {
    const one = loader({ maxBytes: 10_000_000 });
    const bytes = await plainImage(1_200, 1_200).png().toBuffer();
    const message = '1200 × 1200 pixels: the limit is 1 million pixels';
    expect(await one.fromReader(async () => ({ bytes }))).toEqual(failure('INPUT_TOO_LARGE', message));
    // A header that promises more than is behind it, and one that promises more than any decoder takes.
    for (const [side, code] of [
      [1_000_000, 'INPUT_TOO_LARGE'],
      [2_000_000_000, 'INPUT_NOT_AN_IMAGE'],
    ] as const) {
      const bomb = Buffer.from(bytes);
      bomb.writeUInt32BE(side, 16);
      bomb.writeUInt32BE(side, 20);
      bomb.writeUInt32BE(crc32(bomb.subarray(12, 29)), 29);
      expect(await one.fromReader(async () => ({ bytes: bomb }))).toEqual(failure(code));
    }
    expect(
      await one.fromReader(async () => ({ bytes: await plainImage(1_000, 1_000).png().toBuffer() })),
    ).toMatchObject({
      ok: true,
    });
  });
});

describe('a damaged image', () => {
  it.each(KIND_NAMES)('that was a %s is accepted or rejected, and never throws', async name => {
    const whole = await KINDS[name]().toBuffer();
    const one = loader();
    const damage = fc.array(fc.tuple(fc.nat(whole.byteLength - 1), fc.nat(255)), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(damage, async changes => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        const result = await one.fromReader(async () => ({ bytes }));
        if (!result.ok) {
          expect(result.failure.code).toMatch(/^INPUT_(NOT_AN_IMAGE|TOO_LARGE)$/);
          return;
        }
        expect(result.image.width * result.image.height).toBeLessThanOrEqual(1_000_000);
        const damage = await one.decode(result.image);
        expect(damage === null || damage.code === 'INPUT_NOT_AN_IMAGE').toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it.each(Object.entries(DAMAGES))('%s is found when it is decoded, and only then', async (_, make) => {
    const { whole, damaged } = await make();
    const one = loader({ maxBytes: 10_000_000 });
    const broken = failure('INPUT_NOT_AN_IMAGE', /broken or cut short/);
    for (const bytes of [whole, damaged]) {
      const checked = await one.fromReader(async () => ({ bytes }));
      if (!checked.ok) throw new Error(checked.failure.message);
      // Twice: what was found once is found again.
      for (let turn = 0; turn < 2; turn += 1) {
        const damage = await one.decode(checked.image);
        if (bytes === whole) expect(damage).toBeNull();
        else expect({ ok: false, failure: damage }).toEqual(broken);
      }
    }
    expect(await one.fromReader(async () => ({ bytes: damaged }), { decode: true })).toEqual(broken);
  });

  it('in PNG, with one changed bit in its pixels, is rejected undecoded', async () => {
    const whole = await noisyImage(120, 90).png().toBuffer();
    const one = loader();
    const start = whole.indexOf('IDAT') + 4;
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: start, max: whole.byteLength - 17 }), fc.nat(7), async (at, bit) => {
        const bytes = Buffer.from(whole);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        expect(await one.fromReader(async () => ({ bytes }))).toEqual(
          failure('INPUT_NOT_AN_IMAGE', /broken or cut short/),
        );
      }),
    );
  });

  it('in JPEG, without its end marker, is rejected although every line is there', async () => {
    const one = loader();
    for (let count = 0; count < 60; count += 1) {
      const bytes = await noisyImage(32, 24).jpeg().toBuffer();
      for (const missing of [1, 2]) {
        expect(await one.fromReader(async () => ({ bytes: bytes.subarray(0, -missing) }))).toEqual(
          failure('INPUT_NOT_AN_IMAGE', /cut short/),
        );
      }
    }
  });

  it('in JPEG, is not mistaken for complete because of a thumbnail, nor for truncated because of trailing bytes', async () => {
    const thumbnail = await plainImage(8, 6).jpeg().toBuffer();
    const head = Buffer.of(0xff, 0xe2, 0, 0);
    head.writeUInt16BE(thumbnail.byteLength + 2, 2);
    const one = loader();
    const cut = failure('INPUT_NOT_AN_IMAGE', /cut short/);
    for (let count = 0; count < 60; count += 1) {
      const plain = await noisyImage(32, 24).jpeg().toBuffer();
      const bytes = Buffer.concat([plain.subarray(0, 2), head, thumbnail, plain.subarray(2)]);
      for (const left of [3, 5, 20, bytes.byteLength - 2]) {
        expect(await one.fromReader(async () => ({ bytes: bytes.subarray(0, left) }))).toEqual(cut);
      }
      for (const whole of [
        bytes,
        Buffer.concat([bytes, Buffer.from('a film that a phone puts behind')]),
        Buffer.concat([bytes.subarray(0, -2), Buffer.of(0xff, 0xff, 0xff, 0xd9)]),
      ]) {
        expect(await one.fromReader(async () => ({ bytes: whole }))).toMatchObject({ ok: true });
      }
    }
  });
});

describe('an animation', () => {
  it('is reduced to its first frame, as PNG', async () => {
    const bytes = await animation(8, 6);
    expect((await sharp(bytes).metadata()).pages).toBe(2);
    const result = await loader().fromReader(async () => ({ bytes }));
    expect(result).toMatchObject({
      ok: true,
      image: { mimeType: 'image/png', extension: 'png', width: 8, height: 6 },
    });
    if (!result.ok) return;
    const { data } = await sharp(result.image.bytes).raw().toBuffer({ resolveWithObject: true });
    const [red = 0, , blue = 255] = data;
    expect(red - blue).toBeGreaterThan(200);
    expect(result.image.sha256).toBe(createHash('sha256').update(result.image.bytes).digest('hex'));
  });

  it('in a PNG leaves no trace of other frames', async () => {
    const still = await plainImage().png().toBuffer();
    const control = pngChunk('acTL', Buffer.from([0, 0, 0, 2, 0, 0, 0, 0]));
    const bytes = Buffer.concat([still.subarray(0, 33), control, still.subarray(33)]);
    const result = await loader().fromReader(async () => ({ bytes }));
    expect(result).toMatchObject({
      ok: true,
      image: { mimeType: 'image/png', width: 40, height: 30 },
    });
    expect(result.ok && Buffer.from(result.image.bytes).includes('acTL')).toBe(false);
  });
});

describe('bytes other than JPEG, PNG or WebP', () => {
  it.each([
    ['image/gif', 'GIF89a\u0001\0\u0001\0'],
    [
      'image/svg+xml',
      '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    ],
    ['image/svg+xml', '<svg><image href="file:///etc/passwd"/></svg>'],
    ['text/html', '\n<!-- x --><HTML>'],
    ['text/html', '<!-- a\n--> <!----> <!--b--><body>'],
    ['application/pdf', '%PDF-1.7'],
    ['image/heic', '\0\0\0\u0018ftypheic'],
    ['image/avif', '\0\0\0\u0018ftypavif'],
    ['image/tiff', 'II*\0\u0008\0\0\0'],
    ['image/bmp', 'BM\u0001\u0002\u0003\u0004\0\0\0\0'],
    ['something else', '#!/bin/sh\nid'],
    ['something else', 'push graphic-context\nimage over 0,0 0,0 "|id"\npop graphic-context'],
    ['something else', '%!PS\n(id) (r) file'],
    ['an empty file', ''],
  ])('are called %s and never decoded: %j', async (name, text) => {
    const message = `${name}, not a JPEG, PNG or WebP image`;
    expect(await loader().fromReader(async () => ({ bytes: Buffer.from(text, 'latin1') }))).toEqual(
      failure('INPUT_NOT_AN_IMAGE', message),
    );
  });

  it('are described at once, however many comments they start with', async () => {
    const one = loader();
    const start = performance.now();
    const bytes = Buffer.from('<!---->'.repeat(32));
    expect(await one.fromReader(async () => ({ bytes }))).toEqual(
      failure('INPUT_NOT_AN_IMAGE', /^something else/),
    );
    // Tried in every way to share them out, they would take half a minute.
    expect(performance.now() - start).toBeLessThan(2_000);
  });

  it('are rejected behind the first bytes of an image', async () => {
    const png = await plainImage().png().toBuffer();
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    for (const head of [png.subarray(0, 8), Buffer.from([0xff, 0xd8, 0xff]), Buffer.from('RIFF0000WEBP')]) {
      expect(await loader().fromReader(async () => ({ bytes: Buffer.concat([head, svg]) }))).toEqual(
        failure('INPUT_NOT_AN_IMAGE', /broken/),
      );
    }
  });
});

describe('data URIs', () => {
  it('are accepted in base64 and percent-encoded, whatever the declared type', async () => {
    const bytes = await plainImage().png().toBuffer();
    const base64 = bytes.toString('base64');
    for (const uri of [
      `data:image/png;base64,${base64}`,
      `data:image/png;base64,${bytes.toString('base64url')}`,
      `data:image/png;base64,${encodeURIComponent(base64)}`,
      `DATA:text/html;charset=x;BASE64,${base64.replace(/.{76}/g, '$&\r\n')}`,
      `data:,${escaped(bytes)}`,
      `data:image/png;base64,${escaped(Buffer.from(base64))}`,
      ` \n data:image/png;base64,${base64}\n`,
    ]) {
      expect(await loader().fromDataUri(uri)).toMatchObject({
        ok: true,
        image: { mimeType: 'image/png', width: 40 },
      });
    }
  });

  it('return any bytes in any form, up to the limit only', () => {
    const spaces = fc.constantFrom('', ' ', '\r\n', '%0D%0A', '\t');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), spaces, (bytes, space) => {
        const buffer = Buffer.from(bytes);
        const read = (uri: string) => Buffer.from(readDataUri(uri, bytes.byteLength));
        for (const encoding of ['base64', 'base64url'] as const) {
          const text = buffer.toString(encoding);
          const spaced = text.replace(/.{30}/g, `$&${space}`);
          expect(read(`data:;base64,${spaced}`)).toEqual(buffer);
          const allEscaped = `data:;base64,${escaped(Buffer.from(text))}`;
          expect(read(allEscaped)).toEqual(buffer);
        }
        expect(read(`data:,${escaped(buffer)}`)).toEqual(buffer);
        const tooLarge = expect.objectContaining({
          failure: expect.objectContaining({ code: 'INPUT_TOO_LARGE' }),
        });
        if (bytes.byteLength === 0) return;
        expect(() => readDataUri(`data:,${escaped(buffer)}`, bytes.byteLength - 1)).toThrow(tooLarge);
        const base64 = `data:;base64,${buffer.toString('base64')}`;
        expect(() => readDataUri(base64, bytes.byteLength - 1)).toThrow(tooLarge);
      }),
    );
  });

  it.each([
    ['data:image/png;base64,%%%', 'INVALID_INPUT'],
    ['data:image/png;base64,abcde', 'INVALID_INPUT'],
    ['data:image/png;base64,ab=cd', 'INVALID_INPUT'],
    ['data:image/png;base64,abc.efgh', 'INVALID_INPUT'],
    ['data:image/png;base64,abcd.', 'INVALID_INPUT'],
    ['data:image/png;base64,ab=c=', 'INVALID_INPUT'],
    ['data:image/png;base64,abcé', 'INVALID_INPUT'],
    ['data:image/png;base64,abcdĀabc', 'INVALID_INPUT'],
    ['data:image/png;base64', 'INVALID_INPUT'],
    [`data:${'x'.repeat(300)};base64,aaaa`, 'INVALID_INPUT'],
    ['image/png;base64,aaaa', 'INVALID_INPUT'],
    ['', 'INVALID_INPUT'],
    ['data:,%zz', 'INVALID_INPUT'],
    ['data:,%8', 'INVALID_INPUT'],
    ['data:,%', 'INVALID_INPUT'],
    ['data:;base64,QUJD%4', 'INVALID_INPUT'],
    ['data:image/png;base64,', 'INPUT_NOT_AN_IMAGE'],
    ['data:image/svg+xml,<svg/>', 'INPUT_NOT_AN_IMAGE'],
    [`data:image/png;base64,${'A'.repeat(400_000)}`, 'INPUT_TOO_LARGE'],
    [`data:,${'A'.repeat(700_000)}`, 'INPUT_TOO_LARGE'],
  ])('%.30s… is rejected as %s', async (uri, code) => {
    expect(await loader().fromDataUri(uri)).toEqual(failure(code));
  });
});

/** Every byte as an escape. */
function escaped(bytes: Buffer): string {
  return bytes.toString('hex').replace(/../g, '%$&');
}
