import { afterEach, beforeEach, describe } from 'vitest';
import { agreementContract } from './agreements.ts';
import { batchContract } from './batches.ts';
import { claimContract } from './claims.ts';
import { durationsContract } from './durations.ts';
import { engineContract } from './engines.ts';
import { feedContract } from './feed.ts';
import { labelContract } from './labels.ts';
import { laneContract } from './lanes.ts';
import { limitContract } from './limits.ts';
import { listContract } from './lists.ts';
import { outboxContract } from './outbox.ts';
import { queueContract } from './queue.ts';
import { recordContract } from './records.ts';
import { runningLimitContract } from './running-limits.ts';
import { secretsContract } from './secrets.ts';
import { type LedgerUnderTest, type UnderTest, underTest } from './under-test.ts';
import { updatesContract } from './updates.ts';

export type { LedgerUnderTest } from './under-test.ts';

/** The promises of the Ledger, Feed and Durations ports, test by test, for every adapter. */
export function ledgerContract(name: string, open: () => Promise<LedgerUnderTest>): void {
  describe(`ledger: ${name}`, () => {
    let present: UnderTest;
    beforeEach(async () => {
      present = underTest(await open());
    });
    afterEach(() => present.store.dispose());

    const under = (): UnderTest => present;
    recordContract(under);
    queueContract(under);
    listContract(under);
    limitContract(under);
    labelContract(under);
    laneContract(under);
    claimContract(under);
    runningLimitContract(under);
    feedContract(under);
    updatesContract(under);
    outboxContract(under);
    durationsContract(under);
    secretsContract(under);
    engineContract(under);
    agreementContract(under);
    batchContract(under);
  });
}
