import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedLedger } from '../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed } from '../../src/adapters/embedded/live.ts';
import { embeddedStore } from '../../src/adapters/store.ts';
import { readConfig } from '../../src/config.ts';
import { startGateway } from '../../src/gateway.ts';
import { advance, type JobEvent } from '../../src/jobs/advance.ts';
import type { Job } from '../../src/jobs/job.ts';
import type { Ledger } from '../../src/jobs/ports.ts';
import { createLog } from '../../src/log.ts';
import { testEnvironment } from './gateway.ts';
import { aJob } from './jobs.ts';

/** A gateway whose jobs change as a test says: no engine touches them. */
export interface LedgerGateway {
  readonly url: string;
  readonly ledger: Ledger;
  /** Stores a job that an engine has begun, with these properties. */
  begin(job?: Partial<Job>): Promise<Job>;
  /** Stores what the event makes of the job, and resolves with that. */
  change(job: Job, event: JobEvent): Promise<Job>;
  close(): Promise<void>;
}

export async function startLedgerGateway(settings: Record<string, string> = {}): Promise<LedgerGateway> {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-gateway-'));
  const config = readConfig({ ...testEnvironment(folder), ...settings });
  if (!config.ok) throw new Error(config.faults.join('; '));
  const feed = createEmbeddedFeed();
  const ledger = openEmbeddedLedger({ path: join(folder, 'jobs.sqlite'), feed, now: Date.now });
  const gateway = await startGateway(config.config, createLog('silent'), async () => ({
    ...embeddedStore(ledger, feed),
    // The jobs are in lanes without a holder, and must not be requeued.
    ledger: { ...ledger, stranded: async () => [] },
  }));
  // No two at the same time, or their order in lists would be that of their random ids.
  let begunAt = 0;
  return {
    url: gateway.url,
    ledger,
    async begin(properties = {}) {
      begunAt = Math.max(Date.now(), begunAt + 1);
      const at = begunAt;
      const submitted = aJob({ createdAt: at, ...properties });
      const lane = `test#${submitted.id}`;
      const claimed = advance(submitted, { type: 'claimed', at, lane, engine: 'test', promptId: 'p' });
      const job = advance(claimed, { type: 'started', at });
      const { kind } = await ledger.submit(job, { maxQueue: 1_000, idempotency: null });
      if (kind !== 'stored') throw new Error(`the job was not stored: ${kind}`);
      return job;
    },
    async change(job, event) {
      const next = advance(job, event);
      const result = await ledger.commit(next, job.revision, null, []);
      if (result !== 'ok') throw new Error(`the change was not stored: ${result}`);
      return next;
    },
    async close() {
      await gateway.stop();
      await rm(folder, { recursive: true });
    },
  };
}
