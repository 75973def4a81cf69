import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asNumber, decimalIn, integerIn } from '../../../src/http/rest/contract/numbers.ts';
import { anyCharacter } from '../../support/characters.ts';

/** What pydantic 2.13 makes of a text in JSON for `int` and for `float`; null: it rejects the text. */
const PYDANTIC: readonly (readonly [string, bigint | null, number | null])[] = [
  ['30', 30n, 30],
  [' 30 ', 30n, 30],
  ['\t30\n', 30n, 30],
  ['\u00a030', 30n, 30],
  ['30.0', 30n, 30],
  ['3_0.00', 30n, 30],
  ['30.', null, 30],
  ['30.5', null, 30.5],
  ['3e1', null, 30],
  ['3E+1', null, 30],
  ['1e1_0', null, 1e10],
  ['.5', null, 0.5],
  ['+30', 30n, 30],
  ['-30', -30n, -30],
  ['030', 30n, 30],
  ['1_000', 1000n, 1000],
  ['18446744073709551615', 18446744073709551615n, 2 ** 64],
  ['18446744073709551615.0', 18446744073709551615n, 2 ** 64],
  ['', null, null],
  ['  ', null, null],
  ['abc', null, null],
  ['1,5', null, null],
  ['_30', null, null],
  ['30_', null, null],
  ['3__0', null, null],
  ['0x1e', null, null],
  ['- 3', null, null],
  ['++3', null, null],
  ['4.0f', null, null],
  ['\uff11\uff12', null, null],
  ['.', null, null],
  ['e5', null, null],
];

describe('a text in place of a number', () => {
  it.each(PYDANTIC)('%j is the integer %s or the number %s', (text, integer, number) => {
    expect([integerIn(text), decimalIn(text)]).toEqual([integer, number]);
  });

  const space = fc.stringMatching(/^\s{0,3}$/);

  it('keeps every digit of an integer, whatever surrounds it', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
        space,
        space,
        (value, before, after) => {
          for (const end of ['', '.0', '.000']) expect(integerIn(before + value + end + after)).toBe(value);
        },
      ),
    );
  });

  it('has the value that the number itself has', () => {
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        space,
        space,
        (value, before, after) => {
          for (const text of [String(value), value.toExponential()]) {
            expect(decimalIn(before + text + after)).toBe(Number(text));
          }
        },
      ),
    );
  });

  it('has a number only where JavaScript reads one, and an integer only where both have the same', () => {
    const near = fc.stringMatching(/^[-+0-9_.eE \u00a0x,]{0,12}$/);
    fc.assert(
      fc.property(fc.oneof(near, fc.string(), fc.string({ unit: anyCharacter })), text => {
        const [integer, number] = [integerIn(text), decimalIn(text)];
        if (number !== null) expect(number).toBe(Number(text.replaceAll('_', '')));
        // Plus 0, because an integer has no -0.
        if (integer !== null) expect(number === null ? null : number + 0).toBe(Number(integer));
      }),
      { numRuns: 2000 },
    );
  });

  it('is read in no time, however long it is', () => {
    for (const text of ['9'.repeat(1e7), `${' '.repeat(1e7)}x`, `1${'_1'.repeat(1e6)}`]) {
      expect([integerIn(text), decimalIn(text)]).toEqual([null, null]);
    }
  });

  it('is a number for a parameter that takes one, and stays a text for others', () => {
    expect(['integer', 'number', 'string', 'boolean'].map(type => asNumber(type as 'integer', '8'))).toEqual([
      8,
      8,
      '8',
      '8',
    ]);
    expect([asNumber('integer', 'x'), asNumber('number', true)]).toEqual(['x', true]);
  });
});
