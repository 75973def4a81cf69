import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openEmbeddedLedger } from '../../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed } from '../../../src/adapters/embedded/live.ts';
import { TABLES_VERSION } from '../../../src/adapters/embedded/tables.ts';
import { createFileArtifacts } from '../../../src/adapters/files/artifacts.ts';
import { advance } from '../../../src/jobs/advance.ts';
import { StoreUnavailable } from '../../../src/jobs/errors.ts';
import { createKeeper } from '../../../src/jobs/submit/keeper.ts';
import { createLeftovers } from '../../../src/jobs/submit/leftovers.ts';
import { aJob } from '../../support/jobs.ts';
import { restoreEmbedded } from '../../support/stores/earlier.ts';
import { type LedgerUnderTest, ledgerContract } from '../contract/ledger-contract.ts';
import { claim, END, OPEN } from '../contract/under-test.ts';

async function open(folder?: string): Promise<LedgerUnderTest> {
  const root = folder ?? (await mkdtemp(join(tmpdir(), 'ledger-')));
  let clock = 1_000;
  const feed = createEmbeddedFeed();
  const ledger = openEmbeddedLedger({ path: join(root, 'jobs.sqlite'), feed, now: () => clock });
  return {
    ledger,
    feed,
    durations: ledger.durations,
    secrets: ledger.secrets,
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

it('rejects a file that another gateway holds, with its name', async () => {
  const root = await mkdtemp(join(tmpdir(), 'ledger-'));
  const path = join(root, 'jobs.sqlite');
  const options = { path, feed: createEmbeddedFeed(), now: Date.now };
  const first = openEmbeddedLedger(options);
  expect(() => openEmbeddedLedger(options)).toThrow(`${path} is in use by another gateway`);
  await first.close();
  await openEmbeddedLedger(options).close();
  await rm(root, { recursive: true });
});

it('rejects a file whose version it cannot use, and leaves it as it is', async () => {
  const root = await mkdtemp(join(tmpdir(), 'ledger-'));
  const path = join(root, 'jobs.sqlite');
  const options = { path, feed: createEmbeddedFeed(), now: Date.now };
  await openEmbeddedLedger(options).close();
  for (const [version, bound] of [
    [1, 'takes 2 at least'],
    [99, `takes ${TABLES_VERSION} at most`],
  ] as const) {
    const db = new DatabaseSync(path);
    db.exec(`PRAGMA user_version = ${version}`);
    db.close();
    expect(() => openEmbeddedLedger(options)).toThrow(
      new RegExp(`^DATA_DIR: .*jobs\\.sqlite has version ${version}.*${bound}`),
    );
  }
  await rm(root, { recursive: true });
});

it('a file of the oldest version has the tables of a new one when it was moved forward', async () => {
  const root = await mkdtemp(join(tmpdir(), 'ledger-'));
  const tablesOf = async (path: string): Promise<unknown> => {
    await openEmbeddedLedger({ path, feed: createEmbeddedFeed(), now: Date.now }).close();
    const db = new DatabaseSync(path);
    const rows = db.prepare('SELECT type, name, tbl_name, sql FROM sqlite_master').all();
    const version = db.prepare('PRAGMA user_version').get()?.user_version;
    db.close();
    // A renamed table is quoted; spaces are as they were written.
    const texts = rows.map(row => JSON.stringify(row).replace(/\\"|\\n|\s/g, ''));
    return { version, tables: texts.toSorted() };
  };
  const [engineUrl, webhookUrl] = ['http://127.0.0.1:9', 'http://127.0.0.1:9/hook'];
  await restoreEmbedded({ dataDir: root, engineUrl, webhookUrl });
  expect(await tablesOf(join(root, 'jobs.sqlite'))).toEqual(await tablesOf(join(root, 'new.sqlite')));
  await rm(root, { recursive: true });
});

it('a step that fails leaves the file at the version before, and the next start goes on', async () => {
  const root = await mkdtemp(join(tmpdir(), 'ledger-'));
  await restoreEmbedded({
    dataDir: root,
    engineUrl: 'http://127.0.0.1:9',
    webhookUrl: 'http://127.0.0.1:9/hook',
  });
  const path = join(root, 'jobs.sqlite');
  const options = { path, feed: createEmbeddedFeed(), now: Date.now };
  const change = (sql: string): unknown => {
    const db = new DatabaseSync(path);
    db.exec(sql);
    const found = db.prepare('PRAGMA user_version').get()?.user_version;
    const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").all();
    db.close();
    return [found, tables.map(({ name }) => name)];
  };
  const earlier = ['deliveries', 'idempotency', 'jobs', 'lanes'];
  expect(change('')).toEqual([2, earlier]);
  // The last table of the last step.
  change('CREATE TABLE versions (x)');
  expect(() => openEmbeddedLedger(options)).toThrow('table versions already exists');
  expect(change('DROP TABLE versions')).toEqual([3, [...earlier, 'tags']]);
  const ledger = openEmbeddedLedger(options);
  expect(await ledger.count()).toEqual({ waiting: 1, running: 1 });
  await ledger.close();
  await rm(root, { recursive: true });
});

it('stores the jobs that share a transaction with one that cannot be stored', async () => {
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

it('updates the count and the places of waiting jobs with each change', async () => {
  const { ledger, dispose } = await open();
  const [first, second] = [aJob({ createdAt: 1 }), aJob({ createdAt: 2 })];
  const options = { maxQueue: 2, idempotency: null };
  for (const job of [first, second]) expect(await ledger.submit(job, options)).toEqual({ kind: 'stored' });
  const ahead = async () => (await ledger.place(second))?.ahead;
  expect(await ahead()).toBe(1);
  expect(await ledger.submit(aJob(), options)).toEqual({ kind: 'queue-full', waiting: 2 });
  await ledger.remove(first.id);
  expect(await ahead()).toBe(0);
  expect(await ledger.submit(aJob({ createdAt: 0 }), options)).toEqual({ kind: 'stored' });
  expect(await ahead()).toBe(1);
  expect(await ledger.count()).toEqual({ waiting: 2, running: 0 });
  await dispose();
});

describe('a disk that fails', () => {
  /** A ledger whose flushes fail while the test says so. */
  async function failing() {
    const root = await mkdtemp(join(tmpdir(), 'ledger-'));
    onTestFinished(() => rm(root, { recursive: true }));
    const disk = { fails: false };
    const feed = createEmbeddedFeed();
    const ledger = openEmbeddedLedger({
      path: join(root, 'jobs.sqlite'),
      feed,
      now: Date.now,
      async sync() {
        if (disk.fails) throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
      },
    });
    onTestFinished(() => ledger.close());
    return { root, disk, feed, ledger };
  }

  it('leaves a submit its images, because its job may be stored', async () => {
    const { root, disk, ledger } = await failing();
    const artifacts = createFileArtifacts(join(root, 'artifacts'));
    const keeper = createKeeper(artifacts, createLeftovers(artifacts));
    const job = aJob();
    const key = await keeper.put(job.id, 1, 'png', Buffer.from('an image'));
    disk.fails = true;
    await expect(keeper.commit(() => ledger.submit(job, OPEN))).rejects.toBeInstanceOf(StoreUnavailable);
    expect(await ledger.get(job.id)).toEqual(job);
    expect(await artifacts.size(key)).toBe(8);
  });

  it('publishes a change once it is flushed, at the latest when its commit is tried again', async () => {
    const { disk, feed, ledger } = await failing();
    const job = aJob();
    await ledger.submit(job, OPEN);
    const seen: string[] = [];
    await feed.watch(job.id, {
      changed: ({ status }) => seen.push(status),
      gone: () => seen.push('gone'),
    });
    await feed.watchAll(null, {
      changed: ({ status }) => seen.push(`update ${status}`),
      removed: () => seen.push('update gone'),
      missed: () => seen.push('missed'),
    });
    const claimed = advance(job, claim('e#0'));
    expect(await ledger.commit(claimed, job.revision, null)).toBe('ok');
    expect(seen.splice(0)).toEqual(['QUEUED', 'update QUEUED']);

    const ended = advance(claimed, { type: 'canceled', ...END });
    const commit = () => ledger.commit(ended, claimed.revision, null);
    disk.fails = true;
    await expect(commit()).rejects.toMatchObject({ name: 'StoreUnavailable', code: 'EIO' });
    await expect(commit()).rejects.toBeInstanceOf(StoreUnavailable);
    expect(seen).toEqual([]);
    disk.fails = false;
    expect(await commit()).toBe('stale');
    expect(seen.splice(0)).toEqual(['CANCELED', 'update CANCELED']);

    disk.fails = true;
    await expect(ledger.remove(job.id)).rejects.toBeInstanceOf(StoreUnavailable);
    expect(seen).toEqual([]);
    disk.fails = false;
    await ledger.submit(aJob(), OPEN);
    expect(seen).toEqual(['gone', 'update gone', 'update QUEUED']);
  });
});

it('leaves no prompt of a removed job in its file', async () => {
  const root = await mkdtemp(join(tmpdir(), 'ledger-'));
  onTestFinished(() => rm(root, { recursive: true }));
  const path = join(root, 'jobs.sqlite');
  const ledger = openEmbeddedLedger({ path, feed: createEmbeddedFeed(), now: Date.now });
  const jobs = Array.from({ length: 200 }, (_, n) => {
    const job = aJob({ owner: 'alice', createdAt: 1_000 + n });
    // Some are longer than a page.
    const prompt = `prompt-of-${job.id} `.repeat(1 + (n % 5) * 40);
    return { ...job, request: { ...job.request, prompt, label: `label-of-${job.id}` } };
  });
  for (const job of jobs) await ledger.submit(job, { maxQueue: 1_000, idempotency: null });
  for (const job of jobs) {
    await ledger.commit(advance(job, { type: 'canceled', at: 2_000, expiresAt: 3_000 }), job.revision, null);
  }
  const [kept, ...removed] = jobs;
  for (const { id } of removed) await ledger.remove(id);
  await ledger.close();
  const file = await readFile(path);
  expect(file.includes(`prompt-of-${kept?.id}`)).toBe(true);
  const left = removed.filter(
    ({ id }) => file.includes(`prompt-of-${id}`) || file.includes(`label-of-${id}`),
  );
  expect(left).toEqual([]);
});
