import { expect, it } from 'vitest';
import { advance } from '../../../src/jobs/advance.ts';
import { jobError } from '../../../src/jobs/errors.ts';
import { aJob } from '../../support/jobs.ts';
import { claim, END, OPEN, type UnderTest } from './under-test.ts';

/** Records: exact values, one change at a time, one job per key. */
export function recordContract(under: () => UnderTest): void {
  it('returns exactly what was submitted, also after the store was reopened', async () => {
    const job = await under().stored();
    expect(await under().store.ledger.get(job.id)).toEqual(job);
    under().store = await under().store.reopen();
    expect(await under().store.ledger.get(job.id)).toEqual(job);
    expect(await under().store.ledger.get('no-such-job')).toBeNull();
  });

  it('keeps every value exactly: empty lists, fractions, long numbers, any text', async () => {
    const text = 'Überschrift\r\n"quoted" \\ \u0000 \ud800 \u2028 🌲 {"gone":true}';
    const base = aJob().request;
    const job = await under().stored({
      owner: 'ü:1',
      request: {
        ...base,
        images: [],
        prompt: text,
        negativePrompt: '',
        megapixels: 0.1 + 0.2,
        parameters: { none: [], empty: {}, nothing: null, deep: [[1.5, { a: [] }]], large: 2 ** 53 - 1 },
      },
    });
    const claimed = await under().commit(job, claim('e#0'));
    const failed = await under().commit(claimed, {
      type: 'failed',
      ...END,
      error: jobError('EXECUTION_FAILED', text),
      engineReport: text,
    });
    expect(await under().store.ledger.get(job.id)).toEqual(failed);
    expect(await under().store.ledger.getMany([job.id])).toEqual([failed]);
  });

  it('rejects a commit from a revision that is not the current one, and changes nothing', async () => {
    const job = await under().stored();
    const claimed = await under().commit(job, claim('e#0'));
    const rival = advance(job, claim('f#0'));
    expect(await under().store.ledger.commit(rival, job.revision, null)).toBe('stale');
    expect(await under().store.ledger.get(job.id)).toEqual(claimed);
  });

  it('lets one of many concurrent commits claim a job', async () => {
    const job = await under().stored();
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        under().store.ledger.commit(advance(job, claim(`e#${n}`)), job.revision, null),
      ),
    );
    expect(results.filter(result => result === 'ok')).toHaveLength(1);
    expect(results.filter(result => result === 'stale')).toHaveLength(19);
  });

  it('reports that a deleted job is gone', async () => {
    const job = await under().stored();
    expect(await under().store.ledger.remove(job.id)).toBe(true);
    expect(await under().store.ledger.remove(job.id)).toBe(false);
    expect(await under().store.ledger.commit(advance(job, claim('e#0')), job.revision, null)).toBe('gone');
    expect(await under().store.ledger.waiting(5)).toEqual([]);
  });

  it('returns the first job for a repeated key, and rejects the key for another input', async () => {
    const same = { key: 'k', fingerprint: 'f' };
    const job = aJob();
    expect(await under().store.ledger.findRepeated(null, same)).toBeNull();
    await under().store.ledger.submit(job, { ...OPEN, idempotency: same });
    expect(await under().store.ledger.submit(aJob(), { ...OPEN, idempotency: same })).toEqual({
      kind: 'repeated',
      job,
    });
    expect(await under().store.ledger.findRepeated(null, same)).toEqual({ kind: 'repeated', job });
    const other = { key: 'k', fingerprint: 'g' };
    expect(await under().store.ledger.submit(aJob(), { ...OPEN, idempotency: other })).toEqual({
      kind: 'idempotency-conflict',
    });
    // Another caller's key is another key; and a deleted job frees its key.
    expect(await under().store.ledger.submit(aJob({ owner: 'b' }), { ...OPEN, idempotency: other })).toEqual({
      kind: 'stored',
    });
    await under().store.ledger.remove(job.id);
    expect(await under().store.ledger.submit(aJob(), { ...OPEN, idempotency: other })).toEqual({
      kind: 'stored',
    });
  });

  it('stores one of many concurrent jobs with the same key', async () => {
    const idempotency = { key: 'k', fingerprint: 'f' };
    const results = await Promise.all(
      Array.from({ length: 20 }, () => under().store.ledger.submit(aJob(), { ...OPEN, idempotency })),
    );
    expect(results.filter(result => result.kind === 'stored')).toHaveLength(1);
    expect(results.filter(result => result.kind === 'repeated')).toHaveLength(19);
  });

  it('distinguishes callers and their keys whatever characters they contain', async () => {
    const [one, other] = [aJob({ owner: 'a' }), aJob({ owner: 'a:b' })];
    await under().store.ledger.submit(one, { ...OPEN, idempotency: { key: 'b:c', fingerprint: 'f' } });
    const second = await under().store.ledger.submit(other, {
      ...OPEN,
      idempotency: { key: 'c', fingerprint: 'g' },
    });
    expect(second).toEqual({ kind: 'stored' });
    expect(await under().store.ledger.findRepeated('a', { key: 'b:c', fingerprint: 'f' })).toMatchObject({
      job: { id: one.id },
    });
  });
}
