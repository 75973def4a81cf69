/** The default prefix of all our keys. The braces are a hash tag, which puts all keys into one slot of a cluster. */
export const DEFAULT_PREFIX = '{qwen-edit}';

export type Keys = ReturnType<typeof createKeys>;

/**
 * The names of keys and channels. The scripts derive the same names from the prefix; keys that only they use are
 * listed in `scripts/index.ts`.
 */
export function createKeys(prefix: string) {
  const feed = `${prefix}:feed:`;
  const updates = `${prefix}:updates`;
  return {
    prefix,
    /** Hash: a job. */
    record: (id: string) => `${prefix}:job:${id}`,
    /** Hash: a batch. */
    batch: (id: string) => `${prefix}:batch:${id}`,
    /** Sorted set without scores: ids of the jobs of a batch. */
    batchJobs: (id: string) => `${prefix}:batch-jobs:${id}`,
    /** Sorted set: ids of waiting jobs by their score, without those of callers at their limit (`limited:<owner>`). */
    queue: `${prefix}:queue`,
    /** Sorted set: ids of all waiting jobs by time of submit. */
    since: `${prefix}:since`,
    /** Sorted set: ids of finished jobs by time of expiry. */
    expiry: `${prefix}:expiry`,
    /** Sorted set: webhook deliveries by the time when they are due. */
    outbox: `${prefix}:outbox`,
    /** Hash: the deliveries of a job. */
    deliveries: (id: string) => `${prefix}:deliveries:${id}`,
    /** String: the newest preview of a job. */
    preview: (id: string) => `${prefix}:preview:${id}`,
    /** String: when a caller's rate budget is full again. */
    rate: (key: string) => `${prefix}:rate:${key}`,
    /** Hash: durations by engine; `durations-put` is a sorted set of the engines by time. */
    durations: `${prefix}:durations`,
    /** Hash: random secrets by name. */
    secrets: `${prefix}:secrets`,
    /** String: a random name of the stored data, to notice when Redis lost them. */
    identity: `${prefix}:identity`,
    /** Hash: the version of the store; see `version.ts`. */
    version: `${prefix}:version`,
    /** Channel: snapshots of a job. */
    feed: (id: string) => `${feed}${id}`,
    /** The job of a feed channel; null for another channel. */
    jobOf: (channel: string) => (channel.startsWith(feed) ? channel.slice(feed.length) : null),
    /** Channel: changes of every job of a caller; null: of all callers. */
    updates: (owner: string | null) => (owner === null ? updates : `${updates}:${owner}`),
    /** The caller of such a channel, null for all; undefined for another channel. */
    ownerOf(channel: string): string | null | undefined {
      if (channel === updates) return null;
      return channel.startsWith(`${updates}:`) ? channel.slice(updates.length + 1) : undefined;
    },
    /** Hash: what is known of engines, by id. */
    engines: `${prefix}:engines`,
    /** Hash: the last claims, by engine. Each change is published on the channel of the same name. */
    lastClaims: `${prefix}:last-claims`,
    /** Hash: what gateways agree on, by name. */
    agreements: `${prefix}:agreements`,
    /** Set: ids of drained engines. Each change of an engine is published on the channel of the same name. */
    drained: `${prefix}:drained`,
    /** Channel: a job started to wait, and every gateway asks for it; a plus sign in front: only those of version 3 do. */
    waiting: `${prefix}:waiting`,
    /** Channel: arrivals that one gateway asks for. */
    wake: (gateway: string) => `${prefix}:wake:${gateway}`,
  };
}
