import { expect, it } from 'vitest';
import { nextDay, workOf } from '../../../src/jobs/limits.ts';
import { aJob } from '../../support/jobs.ts';
import { claim, END, OPEN, type UnderTest } from './under-test.ts';

/** The limits of callers: checked and counted with the submit, by caller and day. */
export function limitContract(under: () => UnderTest): void {
  const of = (owner: string) => aJob({ owner, share: owner });
  const work = workOf(aJob().request);
  const submit = (owner: string, limits: { waiting?: number; workPerDay?: number }) =>
    under().store.ledger.submit(of(owner), {
      ...OPEN,
      limits: { waiting: limits.waiting ?? null, workPerDay: limits.workPerDay ?? null },
    });

  it('counts what callers submit and what waits and runs, apart from each other', async () => {
    const first = await under().stored({ owner: 'a', share: 'a' });
    const second = await under().stored({ owner: 'a', share: 'a' });
    await under().stored({ owner: 'b', share: 'b' });
    await under().stored();
    await under().commit(await under().commit(first, claim('e#0')), { type: 'started', at: 6 });
    await under().commit(second, { type: 'cancelRequested', ...END });
    expect(await under().store.ledger.usage('a')).toEqual({ waiting: 0, running: 1, work: 2 * work });
    expect(await under().store.ledger.usage('b')).toEqual({ waiting: 1, running: 0, work });
    expect(await under().store.ledger.usage('c')).toEqual({ waiting: 0, running: 0, work: 0 });
  });

  it('counts a job once, whatever becomes of it, and keeps the count over a restart', async () => {
    const job = await under().stored({ owner: 'a', share: 'a' });
    const lost = { type: 'engineLost', at: 6, reason: 'gone', maxAttempts: 3, expiresAt: 9 } as const;
    const again = await under().commit(await under().commit(job, claim('e#0')), lost);
    await under().commit(again, { type: 'cancelRequested', ...END });
    await under().store.ledger.remove(job.id);
    under().store = await under().store.reopen();
    expect(await under().store.ledger.usage('a')).toEqual({ waiting: 0, running: 0, work });
  });

  it('lets no more jobs wait than a limit, and none of those that come at once is one too many', async () => {
    const results = await Promise.all(Array.from({ length: 6 }, () => submit('a', { waiting: 4 })));
    expect(results.filter(({ kind }) => kind === 'stored')).toHaveLength(4);
    const over = { kind: 'over-limit', limit: 'WAITING_JOBS', used: 4 };
    expect(results.filter(({ kind }) => kind !== 'stored')).toEqual([over, over]);
    expect(await submit('b', { waiting: 1 })).toEqual({ kind: 'stored' });
    expect((await under().store.ledger.usage('a')).work).toBe(4 * work);
  });

  it('takes no more work than a limit on a day, in one go or not, and begins again on the next', async () => {
    const limits = { workPerDay: 3 * work + 1 };
    const results = await Promise.all(Array.from({ length: 5 }, () => submit('a', limits)));
    expect(results.filter(({ kind }) => kind === 'stored')).toHaveLength(3);
    expect(results.at(-1)).toEqual({
      kind: 'over-limit',
      limit: 'MEGAPIXEL_STEPS_PER_DAY',
      used: 3 * work,
    });
    expect(await submit('b', limits)).toEqual({ kind: 'stored' });
    expect(await submit('a', {})).toEqual({ kind: 'stored' });
    under().store.advanceClock(nextDay(0));
    expect((await under().store.ledger.usage('a')).work).toBe(0);
    expect(await submit('a', limits)).toEqual({ kind: 'stored' });
    expect((await under().store.ledger.usage('a')).work).toBe(work);
  });

  it('counts a repeated submit once', async () => {
    const idempotency = { key: 'k', fingerprint: 'f' };
    const options = { ...OPEN, idempotency, limits: { waiting: 1, workPerDay: work } };
    expect(await under().store.ledger.submit(of('a'), options)).toEqual({ kind: 'stored' });
    expect(await under().store.ledger.submit(of('a'), options)).toMatchObject({ kind: 'repeated' });
    expect((await under().store.ledger.usage('a')).work).toBe(work);
  });
}
