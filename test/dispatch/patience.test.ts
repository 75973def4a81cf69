import fc from 'fast-check';
import { expect, it } from 'vitest';
import { persist } from '../../src/dispatch/run/patience.ts';

/** Persists against a clock that only waits and requests move. Gives the result, and when each request was sent. */
async function persistFor(forMs: number, request: (n: number) => unknown, stopAt = Number.POSITIVE_INFINITY) {
  let at = 0;
  const sentAt: number[] = [];
  const result = await persist(
    async () => {
      sentAt.push(at);
      at += 1;
      return request(sentAt.length);
    },
    {
      forMs,
      now: () => at,
      mayHelp: (error): error is RangeError => error instanceof RangeError,
      stopped: () => at >= stopAt,
      async wait(ms) {
        // Sometimes it wakes early.
        at += Math.max(1, at % 3 === 0 ? ms / 2 : ms);
      },
    },
  );
  return { result, sentAt, at };
}

const fail = (): never => {
  throw new RangeError('no');
};

it('repeats a failing request with growing pauses, and gives up in bounded time', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 600_000 }), async forMs => {
      const { result, sentAt, at } = await persistFor(forMs, fail);
      expect(result.kind).toBe('late');
      expect(sentAt.length).toBeGreaterThanOrEqual(2);
      expect(sentAt.length).toBeLessThanOrEqual(10 + forMs / 5_000);
      expect(at).toBeLessThanOrEqual(forMs + 10);
    }),
  );
});

it('resolves with the first success, and throws what another try cannot help', async () => {
  const { result } = await persistFor(60_000, n => (n < 4 ? fail() : n));
  expect(result).toEqual({ kind: 'done', value: 4 });
  const broken = (): never => {
    throw new TypeError('broken');
  };
  await expect(persistFor(60_000, broken)).rejects.toThrow('broken');
});

it('stops in the middle of a pause', async () => {
  const { result, at } = await persistFor(600_000, fail, 20_000);
  expect(result).toEqual({ kind: 'stopped' });
  expect(at).toBeLessThanOrEqual(25_000);
});
