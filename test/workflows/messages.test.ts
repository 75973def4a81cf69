import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { show } from '../../src/workflows/messages.ts';

describe('show', () => {
  it('gives the JSON of a value, cut to 60 characters', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), value => {
        // As a body brings it: JSON has no -0.
        const given: unknown = JSON.parse(JSON.stringify(value));
        const whole = JSON.stringify(given);
        expect(show(given)).toBe(whole.length > 60 ? `${whole.slice(0, 57)}…` : whole);
      }),
    );
  });

  it.each(['[', '{"a":'])('takes values of any depth: %s', begin => {
    const end = begin === '[' ? ']' : '}';
    const deep: unknown = JSON.parse(`${begin.repeat(5_000)}1${end.repeat(5_000)}`);
    const holder = begin === '[' ? [deep] : { a: deep };
    expect(show(holder)).toBe(`${begin.repeat(60).slice(0, 57)}…`);
  });

  it('takes bigints and undefined', () => {
    expect(show({ seed: 2n ** 64n })).toBe('{"seed":18446744073709551616}');
    expect(show(undefined)).toBe('nothing');
  });
});
