/** Everything of ours in Redis begins with it. The braces put all keys into one slot of a cluster. */
export const DEFAULT_PREFIX = '{qwen-edit}';

/**
 * The names of keys and channels. The scripts make the same names from the prefix; what only they touch is described
 * in `scripts/index.ts`.
 */
export interface Keys {
  readonly prefix: string;
  /** Hash: one job. */
  record(id: string): string;
  /** Sorted set: the ids of waiting jobs by `queueScore` and turn. */
  readonly queue: string;
  /** Sorted set: the ids of waiting jobs by the time of submit. */
  readonly since: string;
  /** Sorted set: the ids of finished jobs by the time at which they go. */
  readonly expiry: string;
  /** Sorted set: deliveries to webhooks by the time at which they are due. */
  readonly outbox: string;
  /** Hash: the deliveries of one job. */
  deliveries(id: string): string;
  /** String: the newest preview of a job. */
  preview(id: string): string;
  /** String: what somebody has left of the requests of a time. */
  rate(key: string): string;
  /** String: says whether these are the data that we knew. */
  readonly identity: string;
  /** Channel: the snapshots of one job. */
  feed(id: string): string;
  /** The job of a channel; null when it is another channel. */
  jobOf(channel: string): string | null;
  /** Channel: a job began to wait. */
  readonly waiting: string;
}

/** Makes the names below a prefix. */
export function createKeys(prefix: string): Keys {
  const feed = `${prefix}:feed:`;
  return {
    prefix,
    record: id => `${prefix}:job:${id}`,
    queue: `${prefix}:queue`,
    since: `${prefix}:since`,
    expiry: `${prefix}:expiry`,
    outbox: `${prefix}:outbox`,
    deliveries: id => `${prefix}:deliveries:${id}`,
    preview: id => `${prefix}:preview:${id}`,
    rate: key => `${prefix}:rate:${key}`,
    identity: `${prefix}:identity`,
    feed: id => `${feed}${id}`,
    jobOf: channel => (channel.startsWith(feed) ? channel.slice(feed.length) : null),
    waiting: `${prefix}:waiting`,
  };
}
