import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mapAtMost } from '../../src/concurrency/bounded.ts';
import {
  type Batch,
  etaOf,
  hasEnded,
  noCounts,
  progressOf,
  reachedBy,
  removedOf,
} from '../../src/jobs/batches/batch.ts';
import { seedsOf } from '../../src/jobs/batches/variations.ts';

/** A batch with some jobs of each status, of which those that have not ended are as far as `shares` says. */
const batches = fc
  .record({
    QUEUED: fc.nat(20),
    PROCESSING: fc.nat(4),
    COMPLETED: fc.nat(20),
    ERROR: fc.nat(5),
    CANCELED: fc.nat(5),
    removed: fc.nat(5),
    share: fc.double({ min: 0, max: 0.999, noNaN: true }),
  })
  .filter(
    ({ QUEUED, PROCESSING, COMPLETED, ERROR, CANCELED }) =>
      QUEUED + PROCESSING + COMPLETED + ERROR + CANCELED > 0,
  )
  .map(({ removed, share, ...counts }): Batch => {
    const total = Object.values(counts).reduce((sum, count) => sum + count, removed);
    const reached = Math.floor((counts.QUEUED + counts.PROCESSING) * 1_000 * share);
    return { id: 'b', owner: null, createdAt: 0, total, counts, reached, startedAt: 1_000 };
  });

describe('the progress of a batch', () => {
  it('is from 0 to 100, and 100 exactly when all jobs have ended', () => {
    fc.assert(
      fc.property(batches, batch => {
        const progress = progressOf(batch);
        expect(progress).toBeGreaterThanOrEqual(0);
        expect(progress === 100).toBe(hasEnded(batch));
        expect(progress).toBeLessThanOrEqual(100);
      }),
    );
  });

  it('does not fall when a job goes on, ends or is removed', () => {
    fc.assert(
      fc.property(batches, fc.constantFrom('COMPLETED', 'ERROR', 'CANCELED', null), (batch, end) => {
        const { PROCESSING } = batch.counts;
        fc.pre(PROCESSING > 0);
        const counts = { ...batch.counts, PROCESSING: PROCESSING - 1 };
        if (end !== null) counts[end] += 1;
        // What the job had reached, at most a whole one, is no longer among the unfinished.
        for (const had of [0, Math.min(999, batch.reached)]) {
          const next = { ...batch, counts, reached: batch.reached - had };
          fc.pre(next.reached <= (counts.QUEUED + counts.PROCESSING) * 1_000);
          expect(progressOf(next)).toBeGreaterThanOrEqual(progressOf(batch));
        }
      }),
    );
  });

  it('has an estimate once half a job is done, which is right for a steady pace', () => {
    const batch = (completed: number, reached: number): Batch => ({
      ...{ id: 'b', owner: null, createdAt: 0, total: 10, startedAt: 1_000, reached },
      counts: { ...noCounts(), QUEUED: 9 - completed, PROCESSING: 1, COMPLETED: completed },
    });
    expect(etaOf(batch(0, 499), 6_000)).toBeNull();
    expect(etaOf(batch(0, 500), 6_000)).toBe(95);
    expect(etaOf(batch(4, 0), 41_000)).toBe(60);
    expect(etaOf({ ...batch(4, 0), startedAt: null }, 41_000)).toBeNull();
    // Canceled jobs were no work.
    expect(
      etaOf({ ...batch(4, 0), counts: { ...noCounts(), QUEUED: 1, COMPLETED: 4, CANCELED: 5 } }, 41_000),
    ).toBe(10);
  });

  it('keeps what a lost run had reached', () => {
    expect(reachedBy({ progress: 10, reached: 47.3 })).toBe(473);
    expect(reachedBy({ progress: 99.9, reached: 47.3 })).toBe(999);
    expect(removedOf({ total: 3, counts: { ...noCounts(), ERROR: 1 } })).toBe(2);
  });
});

describe('the seeds of variations', () => {
  it('follow each other from the given one on, and stay in their range', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.integer({ min: 1, max: 1_000 }),
        (seed, count) => {
          const seeds = seedsOf(String(seed), count).map(BigInt);
          expect(seeds[0]).toBe(seed);
          expect(seeds.every((value, n) => value === (seed + BigInt(n)) % 2n ** 64n)).toBe(true);
        },
      ),
    );
  });

  it('are different random ones otherwise', () => {
    expect(new Set(seedsOf(null, 1_000)).size).toBe(1_000);
  });
});

describe('mapAtMost', () => {
  it('runs at most so many at once, keeps the order, and begins none after a failure', async () => {
    let running = 0;
    let most = 0;
    const begun: number[] = [];
    const work = async (item: number): Promise<number> => {
      begun.push(item);
      running += 1;
      most = Math.max(most, running);
      await new Promise(setImmediate);
      running -= 1;
      if (item === 5) throw new Error('five');
      return item * 10;
    };
    const items = [0, 1, 2, 3, 4];
    expect(await mapAtMost(2, items, work)).toEqual([0, 10, 20, 30, 40]);
    expect(most).toBe(2);
    begun.length = 0;
    await expect(mapAtMost(2, [4, 5, 6, 7, 8, 9], work)).rejects.toThrow('five');
    expect(running).toBe(0);
    expect(begun.length).toBeLessThan(5);
    expect(await mapAtMost(1, items, work, result => result < 20)).toEqual([0, 10, 20, undefined, undefined]);
  });
});
