import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseBody } from '../../../src/http/rest/body.ts';
import { anyCharacter } from '../../support/characters.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('a JSON body', () => {
  it('keeps every digit of an integer field, whatever its size', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), integer => {
        const body = parseBody(bytes(`{"seed": ${integer}}`));
        expect(body.ok && BigInt(body.value.seed as bigint | number)).toBe(integer);
      }),
    );
  });

  it('without large integers is parsed as JSON.parse does', () => {
    const value = fc.jsonValue({ stringUnit: anyCharacter }).filter(safe);
    fc.assert(
      fc.property(fc.dictionary(fc.string(), value), object => {
        const text = JSON.stringify(object);
        if (text.includes('"__proto__"')) return;
        expect(parseBody(bytes(text))).toEqual({ ok: true, value: JSON.parse(text), images: new Map() });
      }),
    );
  });

  it.each([
    ['', { ok: true, value: {} }],
    ['\uFEFF{"a": 1}', { ok: true, value: { a: 1 } }],
    ['{"a": 1e30, "b": 1.0, "c": -0.5}', { ok: true, value: { a: 1e30, b: 1, c: -0.5 } }],
    ['{"a": {"b": 18446744073709551615}}', { ok: true, value: { a: { b: 18446744073709552000 } } }],
  ])('accepts %j', (text, body) => {
    expect(parseBody(bytes(text))).toMatchObject(body);
  });

  it.each([
    ['null', 'The body takes a JSON object, got null'],
    ['[1]', 'The body takes a JSON object, got a list'],
    ['"text"', 'The body takes a JSON object, got a string'],
    ['{"a": 1,}', /^The body is not valid JSON: .*position 8/],
    ['{"a": 1', /^The body is not valid JSON: /],
    ['{"__proto__": {"operator": true}}', 'The body has a key __proto__, which is not allowed'],
    ['{"a": {"__proto__": 1}}', 'The body has a key __proto__, which is not allowed'],
    [`{"seed": ${'9'.repeat(1_000_000)}}`, 'seed is an integer of 1000000 digits, which no field takes'],
    [`{"a": [${'1,'.repeat(200_000)}1]}`, 'The body has more than 200000 values'],
    [`{"a": ${'['.repeat(200_000)}${']'.repeat(200_000)}}`, 'The body is nested too deeply'],
  ])('rejects %.40j', (text, fault) => {
    const body = parseBody(bytes(text));
    expect(body).toEqual({ ok: false, fault: expect.stringMatching(fault) });
  });

  it('rejects bytes that are not UTF-8', () => {
    expect(parseBody(new Uint8Array([0x7b, 0xff, 0x7d]))).toEqual({
      ok: false,
      fault: 'The body is not UTF-8',
    });
  });
});

function safe(value: unknown): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value) || !Number.isInteger(value);
  if (typeof value !== 'object' || value === null) return true;
  return Object.values(value).every(safe);
}
