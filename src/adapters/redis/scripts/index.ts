import type { Result } from 'ioredis';
import { acquireLane, extendLane, readStranded } from './lanes.ts';
import { claimDeliveries, settleDelivery } from './outbox.ts';
import { takeRate } from './rates.ts';
import { countJobs, findRepeated, identify, listJobs, readMany, readRange } from './reads.ts';
import { commit, remove, submit } from './writes.ts';

type Argument = string | number;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    qeSubmit(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeCommit(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeRemove(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeFindRepeated(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadMany(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadRange(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeListJobs(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeCountJobs(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeIdentify(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeAcquireLane(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeExtendLane(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadStranded(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeTakeRate(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeClaimDeliveries(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeSettleDelivery(key: string, ...args: Argument[]): Result<unknown, Context>;
  }
}

/**
 * The scripts by the name of their command. Each is one atomic change or one consistent read.
 *
 * What they keep, besides what `keys.ts` names, below the prefix:
 *
 * | key | what |
 * | --- | --- |
 * | `job:<id>` | hash: `revision`, `state` and `request` (JSON), the columns that indices need, the idempotency key |
 * | `list:<status or *>` and `list:<status or *>:<owner>` | sorted sets of ids by time of submit |
 * | `held` | hash: the lane of each job that is in one |
 * | `lane-tokens`, `lane-ends` | hashes by lane: who holds it, until when |
 * | `keys` | hash: the job of each idempotency key |
 *
 * All lie in the slot of the prefix, so a script may touch those that it does not name in KEYS.
 */
export function scriptsFor(sharded: boolean): Record<string, { lua: string; numberOfKeys: number }> {
  const texts = {
    qeSubmit: submit(sharded),
    qeCommit: commit(sharded),
    qeRemove: remove(sharded),
    qeFindRepeated: findRepeated,
    qeReadMany: readMany,
    qeReadRange: readRange,
    qeListJobs: listJobs,
    qeCountJobs: countJobs,
    qeIdentify: identify,
    qeAcquireLane: acquireLane,
    qeExtendLane: extendLane,
    qeReadStranded: readStranded,
    qeTakeRate: takeRate,
    qeClaimDeliveries: claimDeliveries,
    qeSettleDelivery: settleDelivery,
  };
  return Object.fromEntries(Object.entries(texts).map(([name, lua]) => [name, { lua, numberOfKeys: 1 }]));
}
