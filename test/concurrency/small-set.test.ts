import fc from 'fast-check';
import { expect, it } from 'vitest';
import { addTo, createSmallSet, forEachOf, isEmpty, removeFrom } from '../../src/concurrency/small-set.ts';

const things = Array.from({ length: 4 }, (_, n) => ({ n }));
const thing = fc.constantFrom(...things);

it('behaves like a Set, whatever is added and removed', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), thing)), steps => {
      const members = createSmallSet<(typeof things)[number]>();
      const set = new Set<(typeof things)[number]>();
      for (const [add, item] of steps) {
        if (add) addTo(members, item);
        else removeFrom(members, item);
        if (add) set.add(item);
        else set.delete(item);
        const seen: number[] = [];
        forEachOf(members, ({ n }) => seen.push(n));
        expect(seen.sort()).toEqual([...set].map(({ n }) => n).sort());
        expect(isEmpty(members)).toBe(set.size === 0);
      }
    }),
  );
});

it('allows members to be removed while they are visited', () => {
  const members = createSmallSet<(typeof things)[number]>();
  for (const item of things) addTo(members, item);
  let visits = 0;
  forEachOf(members, item => {
    visits += 1;
    removeFrom(members, item);
  });
  expect(visits).toBe(things.length);
  expect(isEmpty(members)).toBe(true);
});
