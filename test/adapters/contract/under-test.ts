import { expect } from 'vitest';
import { advance, type JobEvent } from '../../../src/jobs/advance.ts';
import { deliveriesFor } from '../../../src/jobs/delivery.ts';
import type { Job } from '../../../src/jobs/job.ts';
import type { Durations, Feed, JobQuery, Ledger, Secrets, SubmitOptions } from '../../../src/jobs/ports.ts';
import { aJob } from '../../support/jobs.ts';

/** What the suite needs of an adapter: the same store can be opened again after a close or a crash. */
export interface LedgerUnderTest {
  readonly ledger: Ledger;
  readonly feed: Feed;
  readonly durations: Durations;
  readonly secrets: Secrets;
  /** Moves the store's clock. */
  advanceClock(ms: number): void;
  reopen(): Promise<LedgerUnderTest>;
  dispose(): Promise<void>;
}

/** A submit that nothing bounds. */
export const OPEN: SubmitOptions = { maxQueue: 10_000, idempotency: null };

/** A lane takes the job. */
export const claim = (lane: string): JobEvent => ({
  type: 'claimed',
  at: 5,
  lane,
  engine: 'e',
  promptId: 'p',
});

/** When a job ended and until when it is kept. */
export const END = { at: 9, expiresAt: 5_000 };

/** The store of the current test with helpers for it. */
export interface UnderTest {
  store: LedgerUnderTest;
  stored(fields?: Parameters<typeof aJob>[0]): Promise<Job>;
  commit(job: Job, event: JobEvent): Promise<Job>;
  /** How many jobs are queued before it; null: it does not wait. */
  ahead(job: Job): Promise<number | null>;
  /** The ids of every page, one after another. */
  pages(query: Pick<JobQuery, 'owner' | 'statuses' | 'labels'>, first: number): Promise<string[]>;
}

/** Adds the helpers to a store. */
export function underTest(store: LedgerUnderTest): UnderTest {
  const under: UnderTest = {
    store,
    async stored(fields = {}) {
      const job = aJob(fields);
      expect(await under.store.ledger.submit(job, OPEN)).toEqual({ kind: 'stored' });
      return job;
    },
    async commit(job, event) {
      const next = advance(job, event);
      expect(await under.store.ledger.commit(next, job.revision, null, deliveriesFor(job, next))).toBe('ok');
      return next;
    },
    async ahead(job) {
      return (await under.store.ledger.place(job))?.ahead ?? null;
    },
    async pages(query, first) {
      const ids: string[] = [];
      let after: Job | null = null;
      for (;;) {
        const page = await under.store.ledger.list({ ...query, first, after });
        ids.push(...page.jobs.map(job => job.id));
        after = page.jobs.at(-1) ?? null;
        if (!page.hasMore || after === null) return ids;
      }
    },
  };
  return under;
}
