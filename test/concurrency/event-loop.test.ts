import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createTurns } from '../../src/concurrency/event-loop.ts';

it('each call resolves in a turn of its own, in order, and other work goes on in between', async () => {
  const turn = createTurns();
  const seen: string[] = [];
  const work = async (name: string): Promise<void> => {
    await turn();
    seen.push(name);
  };
  const all = [work('a'), work('b'), work('c')];
  for (const name of ['1', '2', '3']) {
    await setImmediate();
    seen.push(name);
  }
  await Promise.all(all);
  expect(seen.filter(name => 'abc'.includes(name))).toEqual(['a', 'b', 'c']);
  // Not all three between the same two turns of the others.
  expect(seen.join('')).not.toContain('abc');
});
