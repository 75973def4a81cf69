import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBodyReader, type ReadBody } from '../../src/http/inline-images.ts';
import { parseBody, parseBodyWithImages } from '../../src/http/rest/body.ts';
import { imagesIn } from '../../src/http/rest/contract/image-source.ts';

/** Large enough to be decoded as it arrives. */
const LARGE = Buffer.from(Array.from({ length: 60_000 }, (_, index) => (index * 7919) % 251));
const uri = (bytes: Buffer, head = 'data:image/png;base64,'): string => head + bytes.toString('base64');

/** Reads a body that arrives in chunks of these sizes in turn. */
function read(body: Buffer, sizes: readonly number[], length: number | null = body.byteLength): ReadBody {
  const reader = createBodyReader(length);
  for (let at = 0, turn = 0; at < body.byteLength; turn += 1) {
    const end = at + (sizes[turn % sizes.length] ?? 1);
    reader.take(body.subarray(at, end));
    at = end;
  }
  return reader.end();
}

const chunkSizes = fc.array(fc.integer({ min: 1, max: 30_000 }), { minLength: 1, maxLength: 5 });

describe('a body with images', () => {
  it('has a name in place of each large one, whatever its chunks', () => {
    const size = fc.integer({ min: 48 * 1024, max: 120_000 });
    fc.assert(
      fc.property(
        fc.array(size, { minLength: 1, maxLength: 3 }),
        chunkSizes,
        fc.boolean(),
        (images, sizes, known) => {
          const contents = images.map(bytes => Buffer.concat([LARGE, LARGE]).subarray(0, bytes));
          const fields = contents.map((bytes, index) => [`image${index + 1}_url`, uri(bytes)]);
          const text = JSON.stringify({ ...Object.fromEntries(fields), prompt: 'Nacht über der Stadt 🌃' });
          const body = Buffer.from(text);
          const found = read(body, sizes, known ? body.byteLength : null);
          expect(found.text.byteLength).toBeLessThan(1_000);
          expect([...found.images.values()].map(({ bytes }) => Buffer.from(bytes))).toEqual(contents);
          expect([...found.images.values()].map(({ sha256 }) => sha256)).toEqual(
            contents.map(bytes => createHash('sha256').update(bytes).digest('hex')),
          );
          expect(found.original().equals(body)).toBe(true);
          const parsed = parseBodyWithImages(found, imagesIn);
          expect(parsed).toMatchObject({ ok: true, value: { prompt: 'Nacht über der Stadt 🌃' } });
          expect(parsed.ok && parsed.images.size).toBe(images.length);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('is parsed as it came wherever the base64 is not the whole value of a field for images', () => {
    const large = LARGE.toString('base64');
    const bodies = [
      `{"prompt":"data:image/png;base64,${large}"}`,
      `{"prompt":"say \\"data:image/png;base64,${large}\\""}`,
      `{"image1_url":"data:image/png;base64,${large}","metadata":{"image1_url":"data:image/png;base64,${large}"}}`,
      `{"data:image/png;base64,${large}":1}`,
      `{"image1_url":"data:image/png;base64,${large}","image1_url":"https://images.example/a.png"}`,
      `{"image1_url":"data:image/png,x;base64,${large}"}`,
      `{"image1_url":"x;base64,${large}"}`,
      `{"image1_url":"data:${'x'.repeat(300)};base64,${large}"}`,
      `{"image1_url":"data:image/png;base64,${large}"`,
      `{"image1_url":"data:image/png;base64,${large}`,
      `["data:image/png;base64,${large}"]`,
    ];
    for (const text of bodies) {
      const body = Buffer.from(text);
      const found = read(body, [65_536]);
      expect(found.original().equals(body)).toBe(true);
      expect(parseBodyWithImages(found, imagesIn)).toEqual(parseBody(body));
    }
  });

  it.each([
    ['a small image', uri(LARGE.subarray(0, 1_000))],
    ['the alphabet for URLs', `data:image/png;base64,${LARGE.toString('base64url')}`],
    ['no padding', uri(LARGE.subarray(0, 59_999)).slice(0, -1)],
    ['padding that is not zero', `${uri(LARGE.subarray(0, 59_999)).slice(0, -2)}B=`],
    ['padding in the middle', `data:image/png;base64,AAA=${LARGE.toString('base64')}`],
    ['white space', `data:image/png;base64,${LARGE.toString('base64').replace(/.{76}/g, '$& ')}`],
    ['an escape', `data:image/png;base64,${LARGE.toString('base64').replaceAll('/', '\\/')}`],
    ['percent-encoding', `data:image/png;base64,${encodeURIComponent(LARGE.toString('base64'))}`],
    ['another letter', `data:image/png;base64,${LARGE.toString('base64')}ä`],
    ['a control character', `data:image/png;base64,${LARGE.toString('base64')}\n`],
    ['nothing', 'data:image/png;base64,'],
  ])('leaves base64 in it that is or has %s', (_, image) => {
    for (const sizes of [[65_536], [1_000, 7], [3]]) {
      const body = Buffer.from(`{"image1_url":"${image}","prompt":"x"}`);
      const found = read(body, sizes);
      expect(found.images.size).toBe(0);
      expect(found.text.equals(body)).toBe(true);
      expect(parseBodyWithImages(found, imagesIn)).toEqual(parseBody(body));
    }
  });

  it('is the same text, whatever it is', () => {
    const piece = fc.constantFrom(
      ';base64,',
      ';base6',
      '4,',
      '"',
      'AAAA',
      'data:',
      'QQ==',
      '\\',
      'ü',
      uri(LARGE),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), chunkSizes, (pieces, sizes) => {
        const body = Buffer.from(pieces.join(''));
        const found = read(body, sizes);
        expect(found.original().equals(body)).toBe(true);
        expect(parseBodyWithImages(found, imagesIn)).toMatchObject({ ok: parseBody(body).ok });
      }),
    );
  });

  it('is left as it is after a hundred marks without a large image', () => {
    const body = Buffer.from(`{"prompt":"${';base64,'.repeat(100)}","image1_url":"${uri(LARGE)}"}`);
    const found = read(body, [65_536]);
    expect(found.images.size).toBe(0);
    expect(found.text.equals(body)).toBe(true);
  });
});
