import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isUnchanged, mayUseRange, readRange } from '../../../src/http/rest/conditions.ts';

const file = { etag: '"a-0-10"', lastModified: new Date('2026-03-04T05:06:07.890Z') };
const none = { ifNoneMatch: undefined, ifModifiedSince: undefined, ifRange: undefined };

describe('a Range header', () => {
  it('never selects bytes outside the file', () => {
    const end = fc.option(fc.nat(200), { nil: '' });
    fc.assert(
      fc.property(end, end, fc.nat(100), (from, to, size) => {
        const range = readRange(`bytes=${from}-${to}`, size);
        if (range === null || range === 'unsatisfiable') return;
        expect(range.start).toBeGreaterThanOrEqual(0);
        expect(range.end).toBeGreaterThanOrEqual(range.start);
        expect(range.end).toBeLessThan(size);
      }),
    );
  });

  it.each([
    ['bytes=0-3', { start: 0, end: 3 }],
    ['bytes=8-', { start: 8, end: 9 }],
    ['bytes=8-99', { start: 8, end: 9 }],
    ['bytes=-4', { start: 6, end: 9 }],
    ['bytes=-99', { start: 0, end: 9 }],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-4', null],
    ['bytes=-', null],
    ['bytes=0-1,3-4', null],
    ['lines=0-1', null],
    ['bytes=a-b', null],
    [undefined, null],
  ])('%s of 10 bytes is %j', (header, range) => {
    expect(readRange(header, 10)).toEqual(range);
  });
});

describe('conditional headers', () => {
  it.each([
    [{ ifNoneMatch: '"a-0-10"' }, true],
    [{ ifNoneMatch: '"x", W/"a-0-10"' }, true],
    [{ ifNoneMatch: '*' }, true],
    [{ ifNoneMatch: '"x"' }, false],
    [{ ifNoneMatch: '"x"', ifModifiedSince: 'Wed, 04 Mar 2026 05:06:07 GMT' }, false],
    [{ ifModifiedSince: 'Wed, 04 Mar 2026 05:06:07 GMT' }, true],
    [{ ifModifiedSince: 'Wed, 04 Mar 2026 05:06:06 GMT' }, false],
    [{ ifModifiedSince: 'yesterday' }, false],
    [{}, false],
  ])('%j mean unchanged: %s', (headers, unchanged) => {
    expect(isUnchanged({ ...none, ...headers }, file)).toBe(unchanged);
  });

  it.each([
    [undefined, true],
    ['"a-0-10"', true],
    ['W/"a-0-10"', false],
    ['"x"', false],
    ['Wed, 04 Mar 2026 05:06:07 GMT', true],
    ['Wed, 04 Mar 2026 05:06:08 GMT', false],
  ])('If-Range %s allows a range: %s', (ifRange, followed) => {
    expect(mayUseRange({ ...none, ifRange }, file)).toBe(followed);
  });
});
