import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createEmbeddedFeed } from '../../src/adapters/embedded/feed.ts';
import { openEmbeddedLedger } from '../../src/adapters/embedded/ledger.ts';
import { type LedgerUnderTest, ledgerContract } from '../contract/ledger-contract.ts';

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
