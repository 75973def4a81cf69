import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  PIXELS_PER_MEGAPIXEL,
  referenceSize,
  type SizeRules,
  scaledSize,
  workingSize,
} from '../../../src/workflows/bind/size.ts';

const QWEN: SizeRules & { reference: { pixels: number; multipleOf: number } } = {
  multipleOf: 16,
  minSide: 64,
  maxSide: 8192,
  areaTolerance: 0.06,
  reference: { pixels: 1024 * 1024, multipleOf: 8 },
};

const text = ({ width, height }: { width: number; height: number }) => `${width}x${height}`;

describe('workingSize', () => {
  it.each([
    ['square', 1024, 1024, 0.25, '512x512'],
    ['square', 700, 700, 1, '1024x1024'],
    ['square', 3000, 3000, 1.5, '1248x1248'],
    ['3:2', 3000, 2000, 0.25, '624x416'],
    ['3:2', 3000, 2000, 1, '1264x832'],
    ['3:2', 3000, 2000, 1.5, '1536x1024'],
    ['9:16', 1080, 1920, 0.25, '384x688'],
    ['9:16', 1080, 1920, 1, '768x1360'],
    ['9:16', 1080, 1920, 1.5, '944x1680'],
    ['21:9', 2100, 900, 0.25, '784x336'],
    ['21:9', 2100, 900, 1, '1568x672'],
    ['21:9', 2100, 900, 1.5, '1904x816'],
    ['odd', 1023, 767, 0.25, '576x432'],
    ['odd', 1023, 767, 1, '1184x880'],
    ['odd', 1023, 767, 1.5, '1472x1104'],
    ['100:1', 10_000, 100, 1, '8192x128'],
    ['1:100', 100, 10_000, 1, '128x8192'],
    ['100:1', 10_000, 100, 0.25, '4096x64'],
    ['a line', 1, 1_000_000, 0.1, '64x1648'],
  ])('%s of %ix%i at %f MP is %s', (_shape, width, height, megapixels, size) => {
    expect(text(workingSize({ width, height }, megapixels, QWEN))).toBe(size);
  });

  it('gives the same size, turned, for an image turned on its side', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9000 }),
        fc.integer({ min: 1, max: 9000 }),
        fc.double({ min: 0.1, max: 4, noNaN: true }),
        (width, height, megapixels) => {
          const upright = workingSize({ width, height }, megapixels, QWEN);
          const lying = workingSize({ width: height, height: width }, megapixels, QWEN);
          // Two sizes can be equally good; then their areas are equally near.
          expect(Math.abs(upright.width * upright.height - lying.width * lying.height)).toBeLessThan(
            0.12 * megapixels * PIXELS_PER_MEGAPIXEL,
          );
        },
      ),
    );
  });

  it('has sides that the model takes, for every image', () => {
    const sides = fc.integer({ min: 1, max: 100_000 });
    fc.assert(
      fc.property(
        sides,
        sides,
        fc.double({ min: 0.01, max: 16, noNaN: true }),
        (width, height, megapixels) => {
          const size = workingSize({ width, height }, megapixels, QWEN);
          for (const side of [size.width, size.height]) {
            expect(side % 16).toBe(0);
            expect(side).toBeGreaterThanOrEqual(64);
            expect(side).toBeLessThanOrEqual(8192);
          }
        },
      ),
    );
  });

  it('keeps the shape, area and reference of usual images', () => {
    const usual = fc.double({ min: 0.25, max: 4, noNaN: true });
    fc.assert(
      fc.property(usual, fc.double({ min: 0.2, max: 4, noNaN: true }), (aspect, megapixels) => {
        const size = workingSize({ width: 1000 * aspect, height: 1000 }, megapixels, QWEN);
        const reference = referenceSize(size, QWEN.reference);
        expect(Math.abs(size.width / size.height / aspect - 1)).toBeLessThan(0.042);
        expect(
          Math.abs((size.width * size.height) / (megapixels * PIXELS_PER_MEGAPIXEL) - 1),
        ).toBeLessThanOrEqual(0.06);
        expect(Math.abs((reference.width / reference.height / size.width) * size.height - 1)).toBeLessThan(
          0.01,
        );
      }),
    );
  });

  it('makes the encoder’s rescale a no-op at one megapixel', () => {
    for (let aspect = 0.2; aspect <= 5; aspect *= 1.003) {
      const size = workingSize({ width: 4000 * aspect, height: 4000 }, 1, QWEN);
      expect(text(referenceSize(size, QWEN.reference)), `aspect ${aspect}`).toBe(text(size));
      expect(Math.abs(size.width / size.height / aspect - 1)).toBeLessThan(0.042);
    }
  });

  it('works without a reference', () => {
    const { reference: _, ...plain } = QWEN;
    expect(text(workingSize({ width: 300, height: 200 }, 1, plain))).toBe('1248x832');
  });

  it('throws for sides and rules that allow no size', () => {
    for (const megapixels of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => workingSize({ width: 10, height: 10 }, megapixels, QWEN)).toThrow(RangeError);
    }
    expect(() => workingSize({ width: 0, height: 10 }, 1, QWEN)).toThrow(RangeError);
    expect(() => workingSize({ width: 9, height: 9 }, 1, { ...QWEN, minSide: 65, maxSide: 79 })).toThrow(
      /multiple of 16/,
    );
  });
});

describe('referenceSize', () => {
  it('rounds as Python does, halves to the even multiple', () => {
    // 1024 x 1024 pixels in the shape 20 x 12: sides of 1321.9 and 793.2.
    expect(text(referenceSize({ width: 20, height: 12 }, QWEN.reference))).toBe('1320x792');
    expect(text(referenceSize({ width: 36, height: 36 }, { pixels: 36 * 36, multipleOf: 8 }))).toBe('32x32');
    expect(text(referenceSize({ width: 44, height: 44 }, { pixels: 44 * 44, multipleOf: 8 }))).toBe('48x48');
  });
});

describe('scaledSize', () => {
  it('gives the size that ImageScaleToTotalPixels makes', () => {
    expect(text(scaledSize({ width: 1920, height: 1080 }, 1, 16))).toBe('1360x768');
    expect(text(scaledSize({ width: 1920, height: 1080 }, 1, 1))).toBe('1365x768');
    expect(text(scaledSize({ width: 10_000, height: 1 }, 0.1, 16))).toBe('32384x16');
  });
});
