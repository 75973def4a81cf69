import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { collectRemoved, type Halves, restore, wholeBytes } from '../../src/images/metadata/restore.ts';
import { stripMetadata } from '../../src/images/metadata/strip.ts';
import { pngChunk } from '../support/png.ts';

const PROMPT = 'a secret wish';
const GRAPH = `{"6": {"inputs": {"text": "${PROMPT}"}}}`;
const XMP = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><p>${GRAPH}</p></x:xmpmeta>`;
const SIZE = { width: 40, height: 30 };

function jpegSegment(marker: number, data: string): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(data.length + 2, 2);
  return Buffer.concat([head, Buffer.from(data, 'latin1')]);
}

const noise = () =>
  sharp({
    create: { ...SIZE, channels: 3, background: 'black', noise: { type: 'gaussian', mean: 128, sigma: 30 } },
  });
const told = () =>
  noise()
    .withExif({ IFD0: { ImageDescription: GRAPH } })
    .withXmp(XMP);

/** Files as programs write them, with the prompt in every place that there is. */
const samples: Record<string, () => Promise<Buffer>> = {
  'a PNG of ComfyUI': async () => {
    const plain = await noise().png().toBuffer();
    const text = pngChunk('tEXt', `prompt\0${GRAPH}`);
    return Buffer.concat([
      plain.subarray(0, 33),
      text,
      pngChunk('iTXt', `workflow\0${GRAPH}`),
      plain.subarray(33),
    ]);
  },
  'a PNG with EXIF and XMP': () => told().png().toBuffer(),
  'a JPEG with EXIF, XMP and a comment': async () => {
    const plain = await told().withIccProfile('p3').jpeg().toBuffer();
    const fill = Buffer.from([0xff, 0xff]);
    return Buffer.concat([
      plain.subarray(0, 2),
      fill,
      jpegSegment(0xfe, GRAPH),
      jpegSegment(0xed, GRAPH),
      plain.subarray(2),
    ]);
  },
  'a JPEG in several scans': () => told().jpeg({ progressive: true }).toBuffer(),
  'a WebP with EXIF and XMP': () => told().webp().toBuffer(),
  'a lossless WebP with EXIF and a profile': () =>
    told().withIccProfile('p3').webp({ lossless: true }).toBuffer(),
};

function* pieces(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function strip(file: Buffer, sizes: readonly number[] = [1000]) {
  const removed = collectRemoved();
  const stripped = await buffer(stripMetadata(Readable.from(pieces(file, sizes)), removed.onRemoved));
  return { stripped, removed: removed.result() };
}

const partOf =
  (bytes: Buffer): Halves['removed'] =>
  async ({ start, end }) =>
    Readable.from([bytes.subarray(start, end + 1)]);

async function putBack({ stripped, removed }: Awaited<ReturnType<typeof strip>>, from = 0, to = Infinity) {
  if (typeof removed === 'string') throw new Error(removed);
  const whole = wholeBytes(stripped.length, removed.edits);
  const range = { start: from, end: Math.min(to, whole - 1) };
  return buffer(
    restore(
      {
        stripped: partOf(stripped),
        strippedBytes: stripped.length,
        removed: partOf(removed.bytes),
        edits: removed.edits,
      },
      range,
    ),
  );
}

describe.each(Object.entries(samples))('%s', (_name, make) => {
  it('contains the prompt, and stripped has the same pixels without it', async () => {
    const file = await make();
    expect(file.includes(PROMPT)).toBe(true);
    const { stripped } = await strip(file);
    expect(stripped.includes(PROMPT)).toBe(false);
    const before = await sharp(file).metadata();
    const after = await sharp(stripped).metadata();
    expect([after.exif, after.xmp, after.comments, after.iptc]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect([after.format, after.width, after.height]).toEqual([before.format, SIZE.width, SIZE.height]);
    expect(after.icc).toEqual(before.icc);
    expect(await sharp(stripped).raw().toBuffer()).toEqual(await sharp(file).raw().toBuffer());
  });

  it('is stripped the same in any chunks, and can be restored, in parts too', async () => {
    const file = await make();
    const whole = await strip(file);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 }),
        fc.tuple(fc.nat({ max: file.length - 1 }), fc.nat({ max: file.length - 1 })),
        async (sizes, [a, b]) => {
          const again = await strip(file, sizes);
          expect(again).toEqual(whole);
          const [from, to] = [Math.min(a, b), Math.max(a, b)];
          expect(await putBack(again, from, to)).toEqual(file.subarray(from, to + 1));
        },
      ),
      { numRuns: 30 },
    );
    expect(await putBack(whole)).toEqual(file);
  });

  it('is stripped up to its end if it is truncated', async () => {
    const file = await make();
    for (let length = 0; length < file.length; length += 7) {
      const cut = await strip(file.subarray(0, length));
      if (cut.removed === 'nothing') expect(cut.stripped).toEqual(file.subarray(0, length));
      else expect(await putBack(cut)).toEqual(file.subarray(0, length));
    }
  });
});

it('does not change a file without metadata, or of another kind', async () => {
  const plain = [
    await noise().png().toBuffer(),
    await noise().jpeg().toBuffer(),
    await noise().webp().toBuffer(),
  ];
  for (const file of [...plain, Buffer.alloc(0), Buffer.alloc(100_000), Buffer.from('RIFF1234WAVE')]) {
    expect(await strip(file)).toEqual({ stripped: file, removed: 'nothing' });
  }
});

it('terminates for any file, however broken', async () => {
  const heads = [
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    Buffer.from([0xff, 0xd8, 0xff, 0xe0]),
    Buffer.from('RIFF\0\0\0\0WEBPVP8X'),
  ];
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 200 }), async (head, rest) => {
      const file = Buffer.concat([head, rest]);
      const result = await strip(file, [3]);
      if (result.removed === 'nothing') expect(result.stripped).toEqual(file);
      else expect(await putBack(result)).toEqual(file);
    }),
  );
});

it('keeps at most 4 MiB of removed metadata, and removes all of it', async () => {
  const plain = await noise().png().toBuffer();
  const big = pngChunk('tEXt', `prompt\0${'x'.repeat(5 * 1024 * 1024)}`);
  const { stripped, removed } = await strip(
    Buffer.concat([plain.subarray(0, 33), big, plain.subarray(33)]),
    [65_536],
  );
  expect(removed).toBe('too-much');
  expect(stripped.equals(plain)).toBe(true);
});

it('destroys its source with its reader, and its reader with its source', async () => {
  const source = new PassThrough();
  const stripped = stripMetadata(source, () => undefined);
  stripped.destroy();
  await expect.poll(() => source.destroyed).toBe(true);
  const breaking = new PassThrough();
  const reading = buffer(stripMetadata(breaking, () => undefined));
  const fault = new Error('the engine went away');
  breaking.destroy(fault);
  await expect(reading).rejects.toBe(fault);
});
