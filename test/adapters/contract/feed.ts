import { expect, it } from 'vitest';
import { watchJob } from '../../../src/jobs/changes.ts';
import { claim, END, type UnderTest } from './under-test.ts';

/** The feed: what a watcher sees. */
export function feedContract(under: () => UnderTest): void {
  it('gives a watcher the current snapshot, newer ones, the final one, and the end', async () => {
    const job = await under().stored();
    const stream = await watchJob(under().store.ledger, under().store.feed, job.id);
    if (stream === null) throw new Error('the job is there');
    expect((await stream.next()).value).toEqual(job);
    const claimed = await under().commit(job, claim('e#0'));
    expect((await stream.next()).value).toEqual(claimed);
    const ended = await under().commit(claimed, { type: 'canceled', ...END });
    expect((await stream.next()).value).toEqual(ended);
    expect(await stream.next()).toEqual({ value: undefined, done: true });
  });

  it('gives a slow watcher only the newest snapshot, with rising revisions', async () => {
    let job = await under().stored();
    const stream = await watchJob(under().store.ledger, under().store.feed, job.id);
    if (stream === null) throw new Error('the job is there');
    job = await under().commit(job, claim('e#0'));
    job = await under().commit(job, { type: 'started', at: 6 });
    for (let step = 1; step <= 50; step += 1) {
      const progress = step * 1.5;
      job = await under().commit(job, {
        type: 'progressed',
        at: 7,
        progress,
        stage: 'SAMPLING',
        step,
        totalSteps: 50,
        etaSeconds: null,
      });
    }
    job = await under().commit(job, { type: 'canceled', ...END });
    const revisions: number[] = [];
    for await (const snapshot of stream) revisions.push(snapshot.revision);
    expect(revisions.at(-1)).toBe(job.revision);
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    expect(revisions.length).toBeLessThan(53);
  });

  it('leaves out changes of the preview alone for a watcher without previews', async () => {
    const job = await under().stored();
    const { ledger, feed } = under().store;
    const stream = await watchJob(ledger, feed, job.id, { previews: false });
    if (stream === null) throw new Error('the job is there');
    await stream.next();
    let now = await under().commit(job, claim('e#0'));
    now = await under().commit(now, { type: 'started', at: 6 });
    const frame = { mimeType: 'image/jpeg', width: 8, height: 8 } as const;
    for (let step = 1; step <= 3; step += 1) {
      const taken = { stage: 'SAMPLING', step, totalSteps: 3, etaSeconds: null } as const;
      now = await under().commit(now, { type: 'progressed', at: 7, progress: step * 20, ...taken });
      let seen = (await stream.next()).value;
      // The store announces changes in order, and may combine those before the first read.
      while (seen?.step !== step) seen = (await stream.next()).value;
      expect(seen).toEqual({ ...now, preview: null });
      for (let sequence = 1; sequence <= 5; sequence += 1) {
        const preview = { ...frame, sequence: step * 10 + sequence };
        now = await under().commit(now, { type: 'previewed', at: 7, preview });
      }
    }
    now = await under().commit(now, { type: 'canceled', ...END });
    expect((await stream.next()).value).toEqual(now);
    expect((await stream.next()).done).toBe(true);
  });

  it('ends the stream of a deleted job, and gives none for an unknown job', async () => {
    const job = await under().stored();
    const stream = await watchJob(under().store.ledger, under().store.feed, job.id);
    await stream?.next();
    const end = stream?.next();
    await under().store.ledger.remove(job.id);
    expect(await end).toEqual({ value: undefined, done: true });
    expect(await watchJob(under().store.ledger, under().store.feed, job.id)).toBeNull();
  });

  it('lists the watched jobs', async () => {
    const job = await under().stored();
    expect(under().store.feed.watched()).toEqual([]);
    const stream = await watchJob(under().store.ledger, under().store.feed, job.id);
    expect(under().store.feed.watched()).toEqual([job.id]);
    await stream?.return();
    expect(under().store.feed.watched()).toEqual([]);
  });

  it('settles `return` at once while `next` waits', async () => {
    const job = await under().stored();
    const stream = await watchJob(under().store.ledger, under().store.feed, job.id);
    await stream?.next();
    const parked = stream?.next();
    expect(await stream?.return()).toEqual({ value: undefined, done: true });
    expect(await parked).toEqual({ value: undefined, done: true });
  });
}
