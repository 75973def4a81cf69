import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { defaultsFor, validateParameters } from '../../../src/workflows/bind/parameters.ts';
import type { Manifest } from '../../../src/workflows/manifest.ts';
import { nearest } from '../../../src/workflows/messages.ts';
import { shipped } from '../../support/comfyui/workflows.ts';

let nunchaku: Manifest;
let lightning: Manifest;

beforeAll(async () => {
  nunchaku = (await shipped('qwen-image-edit-plus-nunchaku')).manifest;
  lightning = (await shipped('qwen-image-edit-plus-lightning')).manifest;
});

describe('validateParameters', () => {
  it('fills in the defaults of unset parameters', () => {
    const values = { precision: 'int4', rank: 128, cpuOffload: 'auto', blocksOnGpu: 20 };
    expect(validateParameters(nunchaku, {})).toEqual({ ok: true, values });
    expect(validateParameters(nunchaku, { rank: 32, precision: null })).toEqual({
      ok: true,
      values: { ...values, rank: 32 },
    });
  });

  it.each<[Record<string, unknown>, string, string]>([
    [{ rank: 64 }, 'parameters.rank', 'takes one of 128, 32, got 64'],
    [{ rank: '32' }, 'parameters.rank', 'takes one of 128, 32, got "32"'],
    [{ blocksOnGpu: 0 }, 'parameters.blocksOnGpu', 'takes an integer from 1 to 60, got 0'],
    [{ blocksOnGpu: 1.5 }, 'parameters.blocksOnGpu', 'takes an integer from 1 to 60, got 1.5'],
    [
      { precison: 'fp4' },
      'parameters.precison',
      'is not a parameter of the workflow qwen-image-edit-plus-nunchaku, which takes precision, rank, cpuOffload, blocksOnGpu; did you mean "precision"?',
    ],
    [
      { constructor: 1 },
      'parameters.constructor',
      'is not a parameter of the workflow qwen-image-edit-plus-nunchaku, which takes precision, rank, cpuOffload, blocksOnGpu',
    ],
  ])('rejects %j', (given, field, message) => {
    expect(validateParameters(nunchaku, given)).toEqual({ ok: false, field, message });
  });

  it('rejects every parameter of a workflow without parameters', async () => {
    const { manifest } = await shipped('qwen-image-edit-plus');
    expect(validateParameters(manifest, { rank: 1 })).toMatchObject({
      ok: false,
      message: 'is not a parameter of the workflow qwen-image-edit-plus, which takes none',
    });
  });

  it('never accepts NaN, infinity or another type for a number', () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true }), value => {
        const result = validateParameters(lightning, { loraStrength: value });
        if (result.ok) expect(Number.isFinite(result.values.loraStrength)).toBe(true);
      }),
    );
  });
});

describe('defaultsFor', () => {
  it('uses the defaults of the chosen option', () => {
    expect(defaultsFor(lightning)).toEqual({
      steps: 8,
      cfg: 1,
      megapixels: 1,
      parameters: { lightning: 8, loraStrength: 1 },
    });
    expect(defaultsFor(lightning, { lightning: 4 })).toMatchObject({
      steps: 4,
      parameters: { lightning: 4 },
    });
  });
});

describe('nearest', () => {
  it.each([
    ['ksampler', 'KSampler'],
    ['pormpt', 'prompt'],
    ['SaveImge', 'SaveImage'],
    ['xyz', null],
  ])('of %s is %s', (word, expected) => {
    expect(nearest(word, ['KSampler', 'prompt', 'SaveImage', 'negative'])).toBe(expected);
  });
});
