import { expect, it } from 'vitest';
import type { Delivery } from '../../../src/jobs/delivery.ts';
import { type Job, WEBHOOK_EVENTS } from '../../../src/jobs/job.ts';
import { aJob } from '../../support/jobs.ts';
import { claim, END, type UnderTest } from './under-test.ts';

const LEASE_MS = 60_000;

/** The outbox: deliveries are stored with the change, given to one claim at a time, and deleted with their job. */
export function outboxContract(under: () => UnderTest): void {
  const outbox = () => under().store.ledger.outbox;

  async function toldJob(): Promise<Job> {
    const webhook = { url: 'https://example.com/hook', events: WEBHOOK_EVENTS };
    return under().stored({ request: { ...aJob().request, webhook } });
  }

  /** A job with one delivery: that it was canceled. */
  async function canceled(): Promise<Job> {
    return under().commit(await toldJob(), { type: 'cancelRequested', ...END });
  }

  const ids = (claimed: readonly { delivery: Delivery }[]): string[] =>
    claimed.map(({ delivery }) => delivery.id);

  it('stores deliveries with the change, and gives each to the first claim', async () => {
    const job = await canceled();
    const [stored, ...others] = await outbox().of(job.id);
    expect(others).toEqual([]);
    expect(stored).toMatchObject({ jobId: job.id, event: 'CANCELED', status: 'PENDING', attempts: [] });
    const claims = await Promise.all(Array.from({ length: 5 }, () => outbox().claim(10, LEASE_MS)));
    expect(claims.flat().map(({ delivery }) => delivery)).toEqual([stored]);
  });

  it('keeps deliveries when the store is reopened', async () => {
    const job = await canceled();
    const before = await outbox().of(job.id);
    under().store = await under().store.reopen();
    expect(await outbox().of(job.id)).toEqual(before);
    expect(ids(await outbox().claim(10, LEASE_MS))).toEqual(before.map(({ id }) => id));
  });

  it('stores no deliveries of a rejected change', async () => {
    const job = await toldJob();
    const ended = await under().commit(job, { type: 'cancelRequested', ...END });
    const [delivery] = await outbox().of(job.id);
    if (delivery === undefined) throw new Error('Nothing is to be told');
    const other = { ...delivery, id: 'msg_other' };
    expect(await under().store.ledger.commit(ended, job.revision, null, [other])).toBe('stale');
    expect(ids(await outbox().claim(10, LEASE_MS))).toEqual([delivery.id]);
  });

  it('gives an unsettled delivery to another claim, and rejects a late settle', async () => {
    await canceled();
    const [first] = await outbox().claim(1, LEASE_MS);
    if (first === undefined) throw new Error('Nothing is due');
    under().store.advanceClock(LEASE_MS - 1);
    expect(await outbox().claim(1, LEASE_MS)).toEqual([]);
    under().store.advanceClock(1);
    const [second] = await outbox().claim(1, LEASE_MS);
    expect(second?.delivery).toEqual(first.delivery);
    const delivered: Delivery = { ...first.delivery, status: 'DELIVERED', nextAttemptAt: null };
    expect(await outbox().settle(first, delivered, null)).toBe(false);
    expect((await outbox().of(first.delivery.jobId))[0]?.status).toBe('PENDING');
    if (second === undefined) throw new Error('Nothing is due');
    expect(await outbox().settle(second, delivered, null)).toBe(true);
    expect(await outbox().of(first.delivery.jobId)).toEqual([delivered]);
  });

  it('makes a delivery due after its pause, and never after its final attempt', async () => {
    await canceled();
    const [claimed] = await outbox().claim(1, LEASE_MS);
    if (claimed === undefined) throw new Error('Nothing is due');
    const attempt = { at: 9, tookMs: 3, statusCode: 503, error: 'answered 503' };
    const next = { ...claimed.delivery, attempts: [attempt] };
    expect(await outbox().settle(claimed, next, 5_000)).toBe(true);
    under().store.advanceClock(4_999);
    expect(await outbox().claim(1, LEASE_MS)).toEqual([]);
    under().store.advanceClock(1);
    const [again] = await outbox().claim(1, LEASE_MS);
    expect(again?.delivery).toEqual(next);
    if (again === undefined) throw new Error('Nothing is due');
    await outbox().settle(again, { ...next, status: 'FAILED', nextAttemptAt: null }, null);
    under().store.advanceClock(LEASE_MS * 100);
    expect(await outbox().claim(1, LEASE_MS)).toEqual([]);
  });

  it('gives up to the limit, the longest due first', async () => {
    const jobs: Job[] = [];
    for (let n = 0; n < 5; n += 1) {
      jobs.push(await canceled());
      under().store.advanceClock(10);
    }
    const told = await Promise.all(jobs.map(async ({ id }) => (await outbox().of(id))[0]?.id));
    expect(ids(await outbox().claim(3, LEASE_MS))).toEqual(told.slice(0, 3));
    expect(ids(await outbox().claim(3, LEASE_MS))).toEqual(told.slice(3));
  });

  it('deletes the deliveries of a deleted job', async () => {
    const job = await canceled();
    const [claimed] = await outbox().claim(1, LEASE_MS);
    if (claimed === undefined) throw new Error('Nothing is due');
    await under().store.ledger.remove(job.id);
    expect(await outbox().of(job.id)).toEqual([]);
    expect(await outbox().settle(claimed, claimed.delivery, 0)).toBe(false);
    under().store.advanceClock(LEASE_MS);
    expect(await outbox().claim(1, LEASE_MS)).toEqual([]);
  });

  it('lists the deliveries of a job in the order of its changes', async () => {
    const claimed = await under().commit(await toldJob(), claim('e#0'));
    const started = await under().commit(claimed, { type: 'started', at: 6 });
    await under().commit(started, { type: 'canceled', ...END });
    expect((await outbox().of(claimed.id)).map(({ event }) => event)).toEqual(['STARTED', 'CANCELED']);
  });

  it('calls a listener for added deliveries until it is removed', async () => {
    let calls = 0;
    const stop = outbox().onAdded(() => {
      calls += 1;
    });
    await canceled();
    expect(calls).toBe(1);
    await under().commit(await under().stored(), { type: 'cancelRequested', ...END });
    expect(calls).toBe(1);
    stop();
    await canceled();
    expect(calls).toBe(1);
  });
}
