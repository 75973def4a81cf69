import { afterAll, beforeAll, describe } from 'vitest';
import { aPrefix, openStore, sharedRedis, startCluster } from '../../support/stores/redis.ts';
import { type LedgerUnderTest, ledgerContract } from '../contract/ledger-contract.ts';

async function open(url: string, prefix: string, clock = { now: 1_000 }): Promise<LedgerUnderTest> {
  const { ledger, feed, durations, secrets, close } = await openStore(url, { prefix, now: () => clock.now });
  return {
    ledger,
    feed,
    durations,
    secrets,
    advanceClock(ms) {
      clock.now += ms;
    },
    async reopen() {
      await ledger.close();
      return open(url, prefix, clock);
    },
    dispose: close,
  };
}

for (const [name, start] of [
  ['Redis', sharedRedis],
  ['a Redis cluster', startCluster],
] as const) {
  describe(name, () => {
    let redis: { url: string; stop(): Promise<void> };
    beforeAll(async () => {
      redis = await start();
    });
    afterAll(() => redis.stop());
    ledgerContract(name, () => open(redis.url, aPrefix()));
  });
}
