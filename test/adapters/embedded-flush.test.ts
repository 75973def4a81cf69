import { expect, it } from 'vitest';
import { createFlush } from '../../src/adapters/embedded/flush.ts';

/** A disk whose turns end when the test says so. */
function aDisk() {
  const turns: PromiseWithResolvers<void>[] = [];
  const flush = createFlush(() => {
    const turn = Promise.withResolvers<void>();
    turns.push(turn);
    return turn.promise;
  });
  return { turns, flush };
}

it('answers when the disk is done, and not before', async () => {
  const { turns, flush } = aDisk();
  let answered = false;
  const done = flush.done().then(() => {
    answered = true;
  });
  await expect.poll(() => turns.length).toBe(1);
  expect(answered).toBe(false);
  turns[0]?.resolve();
  await done;
});

it('gives what is written during a turn the next one, and all of it together', async () => {
  const { turns, flush } = aDisk();
  const first = flush.done();
  await expect.poll(() => turns.length).toBe(1);
  const answered: string[] = [];
  const later = ['a', 'b', 'c'].map(name => flush.done().then(() => answered.push(name)));
  turns[0]?.resolve();
  await first;
  await expect.poll(() => turns.length).toBe(2);
  expect(answered).toEqual([]);
  turns[1]?.resolve();
  await Promise.all(later);
  expect(answered).toEqual(['a', 'b', 'c']);
  expect(turns).toHaveLength(2);
});

it('tells a fault to those who wait for that turn, and to nobody after them', async () => {
  const { turns, flush } = aDisk();
  const first = flush.done();
  await expect.poll(() => turns.length).toBe(1);
  const second = flush.done();
  turns[0]?.reject(new Error('the disk is gone'));
  await expect(first).rejects.toThrow('the disk is gone');
  await expect.poll(() => turns.length).toBe(2);
  turns[1]?.resolve();
  await expect(second).resolves.toBeUndefined();
});
