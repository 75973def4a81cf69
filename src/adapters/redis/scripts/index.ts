import type { Result } from 'ioredis';
import { findRepeatedBatch, listBatch, readBatch, submitBatch } from './batches.ts';
import { claim } from './claim.ts';
import {
  claimStore,
  commitEngine,
  identify,
  keepLanes,
  putDurations,
  readAgreement,
  readEngines,
  readLanes,
  readStranded,
  releaseLane,
  replaceAgreement,
  takeRate,
} from './coordination.ts';
import { commit, countJobs, findRepeated, readMany, readRange, readWaiting, remove, submit } from './jobs.ts';
import { forgetClaim } from './last-claims.ts';
import { countLimited, readPlace, readUsage, setPolicies } from './limits.ts';
import { listJobs, listTagged, readChanges, totalJobs } from './lists.ts';
import { claimDeliveries, settleDelivery } from './outbox.ts';

type Argument = string | number;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    qeSubmit(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeCommit(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeRemove(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeFindRepeated(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeSubmitBatch(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeFindRepeatedBatch(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadBatch(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeListBatch(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadMany(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadWaiting(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadRange(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeListJobs(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeListTagged(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeTotalJobs(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadChanges(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadUsage(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeCountLimited(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadPlace(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeSetPolicies(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeCountJobs(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeClaimStore(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeIdentify(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeClaim(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeKeepLanes(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReleaseLane(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadEngines(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeCommitEngine(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadAgreement(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReplaceAgreement(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadLanes(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeReadStranded(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeForgetClaim(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeTakeRate(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeClaimDeliveries(key: string, ...args: Argument[]): Result<unknown, Context>;
    qeSettleDelivery(key: string, ...args: Argument[]): Result<unknown, Context>;
    qePutDurations(key: string, ...args: Argument[]): Result<unknown, Context>;
  }
}

/**
 * The scripts by command name. Each is one atomic change or one consistent read.
 *
 * They use these keys besides those in `keys.ts`, all with the prefix:
 *
 * | key | content |
 * | --- | --- |
 * | `job:<id>` | hash: `revision`, `state` and `request` (JSON), the indexed columns, the idempotency key, the tags; `passed`: when a later job went first; of a job of a batch also `batch`, what it `reached` and when it `started` |
 * | `list:<status or *>` and `list:<status or *>:<owner>` | sorted sets of ids by time of submit |
 * | `tag:<tag>` and `tag:<tag>:<owner>` | sorted sets of ids by time of submit, for each label and metadata entry |
 * | `number` | string: the number of the newest change |
 * | `changed` and `changed:<owner>` | sorted sets of ids by the number of their newest change |
 * | `removed` and `removed:<owner>` | sorted sets of the ids of removed jobs by number |
 * | `held` | hash: lanes by job |
 * | `lane-jobs` | hash: jobs by lane; gateways before version 6 do not keep it, so `held` decides |
 * | `held:<owner>` | set of the caller's jobs in lanes: a count of its own could differ from them |
 * | `limited`, `limited:<owner>` | set of the callers with jobs that were taken out of the queue because of a limit; sorted set of these by score |
 * | `policies` | hash: the names of the policies of callers that have jobs or keys |
 * | `lane-tokens`, `lane-ends` | hashes by lane: the token and the end of its lease |
 * | `alone` | hash by engine: a job that has or had it for itself |
 * | `parked` | hash by gateway: its idle lanes (JSON) when it asked for jobs last, and how many idle engines were told of arrivals since |
 * | `usage:<day>` | hash: the work that was submitted on a day in UTC, by caller; it expires |
 * | `keys` | hash: by idempotency key the id of a job, or `batch:` and that of a batch |
 * | `batch:<id>` | hash: owner, time of submit, number of jobs then, idempotency key and fingerprint |
 * | `batch-jobs:<id>` | sorted set without scores: the ids of its jobs, which are in the order of the edits |
 * | `turns` | hash: the number of queued jobs by share |
 *
 * All are in the slot of the prefix, so a script may use keys that it does not name in KEYS.
 */
export function scriptsFor(sharded: boolean): Record<string, { lua: string; numberOfKeys: number }> {
  const texts = {
    qeSubmit: submit(sharded),
    qeCommit: commit(sharded),
    qeRemove: remove(sharded),
    qeFindRepeated: findRepeated,
    qeSubmitBatch: submitBatch(sharded),
    qeFindRepeatedBatch: findRepeatedBatch,
    qeReadBatch: readBatch,
    qeListBatch: listBatch,
    qeReadMany: readMany,
    qeReadWaiting: readWaiting,
    qeReadRange: readRange,
    qeListJobs: listJobs,
    qeListTagged: listTagged,
    qeTotalJobs: totalJobs,
    qeReadChanges: readChanges,
    qeReadUsage: readUsage,
    qeCountLimited: countLimited,
    qeReadPlace: readPlace,
    qeSetPolicies: setPolicies(sharded),
    qeCountJobs: countJobs,
    qeClaimStore: claimStore,
    qeIdentify: identify,
    qeClaim: claim(sharded),
    qeKeepLanes: keepLanes,
    qeReleaseLane: releaseLane,
    qeReadEngines: readEngines,
    qeCommitEngine: commitEngine(sharded),
    qeReadAgreement: readAgreement,
    qeReplaceAgreement: replaceAgreement,
    qeReadLanes: readLanes,
    qeReadStranded: readStranded,
    qeForgetClaim: forgetClaim,
    qeTakeRate: takeRate,
    qeClaimDeliveries: claimDeliveries,
    qeSettleDelivery: settleDelivery,
    qePutDurations: putDurations,
  };
  return Object.fromEntries(Object.entries(texts).map(([name, lua]) => [name, { lua, numberOfKeys: 1 }]));
}
