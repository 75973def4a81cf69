import { expect, it } from 'vitest';
import { createSparingly } from '../../src/concurrency/sparingly.ts';

it('says something of each name at once, and again after an interval', () => {
  let time = 1_000;
  const may = createSparingly(100, () => time);
  expect([may('a'), may('a'), may('b')]).toEqual([true, false, true]);
  time += 99;
  expect(may('a')).toBe(false);
  time += 1;
  expect([may('a'), may('a')]).toEqual([true, false]);
  // A clock that was set back does not silence it.
  time -= 10_000;
  expect([may('a'), may('a')]).toEqual([true, false]);
});

it('remembers no more names than it needs to', () => {
  let time = 0;
  const may = createSparingly(100, () => time);
  const allowed = () => Array.from({ length: 5_000 }, (_, n) => may(`host-${n}`)).filter(Boolean).length;
  expect(allowed()).toBe(1_000);
  time += 100;
  expect(allowed()).toBe(1_000);
});
