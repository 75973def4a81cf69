import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { createEmbeddedFeed } from '../../src/adapters/embedded/feed.ts';
import { openEmbeddedLedger } from '../../src/adapters/embedded/ledger.ts';
import { type LedgerUnderTest, ledgerContract } from '../contract/ledger-contract.ts';
import { aJob } from '../support/jobs.ts';

async function open(folder?: string): Promise<LedgerUnderTest> {
  const root = folder ?? (await mkdtemp(join(tmpdir(), 'ledger-')));
  let clock = 1_000;
  const feed = createEmbeddedFeed();
  const ledger = openEmbeddedLedger({ path: join(root, 'jobs.sqlite'), feed, now: () => clock });
  return {
    ledger,
    feed,
    advanceClock(ms) {
      clock += ms;
    },
    async reopen() {
      await ledger.close();
      return open(root);
    },
    async dispose() {
      await ledger.close();
      await rm(root, { recursive: true });
    },
  };
}

ledgerContract('embedded', open);

it('refuses a file that another gateway holds, by name', async () => {
  const root = await mkdtemp(join(tmpdir(), 'ledger-'));
  const path = join(root, 'jobs.sqlite');
  const options = { path, feed: createEmbeddedFeed(), now: Date.now };
  const first = openEmbeddedLedger(options);
  expect(() => openEmbeddedLedger(options)).toThrow(`${path} is in use by another gateway`);
  await first.close();
  await openEmbeddedLedger(options).close();
  await rm(root, { recursive: true });
});

it('takes over a file of before there were webhooks, with its jobs', async () => {
  const root = await mkdtemp(join(tmpdir(), 'ledger-'));
  const path = join(root, 'jobs.sqlite');
  const options = { path, feed: createEmbeddedFeed(), now: Date.now };
  const first = openEmbeddedLedger(options);
  const job = aJob();
  await first.submit(job, { maxQueue: 10, idempotency: null });
  await first.close();
  const db = new DatabaseSync(path);
  db.exec(
    `DROP TABLE deliveries; UPDATE jobs SET request = json_remove(request, '$.webhook'); PRAGMA user_version = 1`,
  );
  db.close();
  const second = openEmbeddedLedger(options);
  expect(await second.get(job.id)).toEqual(job);
  expect(await second.outbox.claim(1, 1)).toEqual([]);
  await second.close();
  await rm(root, { recursive: true });
});

it('stores what came together with one that cannot be stored', async () => {
  const { ledger, dispose } = await open();
  const jobs = [aJob(), aJob(), aJob()];
  const [first] = jobs;
  const options = { maxQueue: 10, idempotency: null };
  // The second has the id of the first.
  const results = await Promise.allSettled(
    jobs.map((job, index) => ledger.submit(index === 1 && first ? first : job, options)),
  );
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(await ledger.count()).toMatchObject({ waiting: 2 });
  await dispose();
});

it('counts and places those that wait as they come and go', async () => {
  const { ledger, dispose } = await open();
  const [first, second] = [aJob({ createdAt: 1 }), aJob({ createdAt: 2 })];
  const options = { maxQueue: 2, idempotency: null };
  for (const job of [first, second]) expect(await ledger.submit(job, options)).toEqual({ kind: 'stored' });
  expect(await ledger.ahead(second)).toBe(1);
  expect(await ledger.submit(aJob(), options)).toEqual({ kind: 'queue-full', waiting: 2 });
  await ledger.remove(first.id);
  expect(await ledger.ahead(second)).toBe(0);
  expect(await ledger.submit(aJob({ createdAt: 0 }), options)).toEqual({ kind: 'stored' });
  expect(await ledger.ahead(second)).toBe(1);
  expect(await ledger.count()).toEqual({ waiting: 2, running: 0 });
  await dispose();
});
