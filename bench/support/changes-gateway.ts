import { join } from 'node:path';
import { openEmbeddedLedger } from '../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed, type EmbeddedFeed } from '../../src/adapters/embedded/live.ts';
import { embeddedStore } from '../../src/adapters/store.ts';
import { readConfig } from '../../src/config.ts';
import { startGateway } from '../../src/gateway.ts';
import { advance } from '../../src/jobs/advance.ts';
import type { Job } from '../../src/jobs/job.ts';
import type { Ledger } from '../../src/jobs/ports.ts';
import { createLog } from '../../src/log.ts';
import { aJob } from '../../test/support/jobs.ts';
import { obeyTicks } from './ticks.ts';

/**
 * The gateway as it is shipped, on its embedded store, with jobs that change without an engine. Told `{jobs: n}` it puts
 * so many into the ledger, in the midst of their steps, and answers `{ids}`. At each tick all of them change: announced
 * by the feed alone, or with `--commit` as a lane does it, in the ledger, which announces them.
 */
const commits = process.argv.includes('--commit');
const config = readConfig(process.env);
if (!config.ok) throw new Error(config.faults.join('; '));
const feed = createEmbeddedFeed();
let ledger: Ledger | null = null;
let jobs: readonly Job[] = [];

const gateway = await startGateway(config.config, createLog('silent'), async ({ dataDir, now }) => {
  const opened = openEmbeddedLedger({ path: join(dataDir, 'jobs.sqlite'), feed, now });
  ledger = opened;
  const store = embeddedStore(opened, feed);
  // These jobs are in lanes without a holder, and must not be requeued.
  return { ...store, ledger: { ...opened, stranded: async () => [] } };
});
if (ledger === null) throw new Error('the gateway opened no store');
const change = commits ? inLedger(ledger) : onFeed(feed);
process.once('SIGTERM', () => {
  gateway.stop().then(
    () => process.exit(0),
    () => process.exit(1),
  );
});
obeyCreation(ledger);
let changes = 0;
obeyTicks(async () => {
  changes += 1;
  jobs = await Promise.all(
    jobs.map(async job => {
      const next = advance(job, {
        type: 'progressed',
        at: Date.now(),
        progress: Math.round((99 - 90 / changes) * 10) / 10,
        stage: 'SAMPLING',
        step: changes,
        totalSteps: 1_000,
        etaSeconds: 12.3,
      });
      await change(next, job);
      return next;
    }),
  );
});
console.log(gateway.url);

function onFeed({ changed }: EmbeddedFeed): (next: Job) => void {
  return next => changed(next);
}

function inLedger({ commit }: Ledger): (next: Job, from: Job) => Promise<void> {
  return async (next, from) => {
    const result = await commit(next, from.revision, null, [], 'step');
    if (result !== 'ok') throw new Error(`a change was ${result}`);
  };
}

function obeyCreation(ledger: Ledger): void {
  process.on('message', ({ jobs: count }: { jobs?: number }) => {
    if (count === undefined) return;
    create(ledger, count).then(
      created => {
        jobs = created;
        process.send?.({ ids: created.map(({ id }) => id) });
      },
      (error: unknown) => process.send?.({ failed: String(error) }),
    );
  });
}

async function create(ledger: Ledger, count: number): Promise<Job[]> {
  const created: Job[] = [];
  for (let n = 0; n < count; n += 1) {
    const job = aJob({ createdAt: Date.now() });
    const claimed = advance(job, {
      type: 'claimed',
      at: Date.now(),
      lane: `bench#${n}`,
      engine: 'bench',
      promptId: job.id,
    });
    const started = advance(claimed, { type: 'started', at: Date.now() });
    await ledger.submit(job, { maxQueue: count + 1, idempotency: null });
    await ledger.commit(claimed, job.revision, null, []);
    await ledger.commit(started, claimed.revision, null, []);
    created.push(started);
  }
  return created;
}
