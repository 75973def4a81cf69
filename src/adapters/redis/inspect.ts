import { randomUUID } from 'node:crypto';
import type { Log } from '../../log.ts';
import { showAddress } from './address.ts';
import { type Client, closeClient, createClient, untilReady } from './client.ts';
import { type RedisOptions, targetOf } from './connect.ts';
import { readInfo } from './info.ts';
import { createKeys, DEFAULT_PREFIX } from './keys.ts';
import { readStoreVersion } from './version.ts';

/** What is known of a Redis that responds. Null: an access rule forbids to ask. */
export interface RedisReport {
  readonly version: string | null;
  /** Of our records; null where there are none. */
  readonly storeVersion: number | null;
  /** How far its clock is ahead of ours, in milliseconds, exact to half the time that an answer takes. */
  readonly aheadMs: number;
  readonly answerMs: number;
  /** Why it accepts no writes; null when it does. */
  readonly writeFault: string | null;
  readonly appendOnly: boolean | null;
  /** Its policy when that evicts our data once the memory is full; null when nothing is evicted. */
  readonly eviction: string | null;
}

const PROBE_MS = 1_000;

/** A URL as `connectRedis` takes it, without credentials. Throws as that. */
export async function addressOf(options: Pick<RedisOptions, 'url' | 'caFile'>): Promise<string> {
  return showAddress((await targetOf(options)).address);
}

/**
 * Connects, measures and disconnects. Leaves no key: the one that tests writing is deleted, and expires after a second.
 * Rejects with the reason when Redis does not respond within `timeoutMs`, rejects our credentials, or has
 * records of a version that this gateway cannot read.
 */
export async function inspectRedis(
  options: Pick<RedisOptions, 'url' | 'caFile'>,
  timeoutMs: number,
  log: Log,
): Promise<RedisReport> {
  const target = await targetOf(options);
  const client = createClient(target);
  try {
    await untilReady(client, target, timeoutMs, log);
    const info = await readInfo(client).catch(() => null);
    return {
      version: info?.version ?? null,
      storeVersion: await readStoreVersion(client, createKeys(DEFAULT_PREFIX)),
      ...(await clockOf(client)),
      writeFault: await writeFault(client),
      appendOnly: info?.appendOnly ?? null,
      eviction: info?.eviction ?? null,
    };
  } finally {
    await closeClient(client);
  }
}

async function clockOf(client: Client): Promise<{ aheadMs: number; answerMs: number }> {
  const sent = Date.now();
  const [seconds, micros] = await client.time();
  const received = Date.now();
  const theirs = Number(seconds) * 1_000 + Number(micros) / 1_000;
  return { aheadMs: Math.round(theirs - (sent + received) / 2), answerMs: received - sent };
}

async function writeFault(client: Client): Promise<string | null> {
  const key = `${DEFAULT_PREFIX}:doctor:${randomUUID()}`;
  try {
    await client.set(key, '1', 'PX', PROBE_MS);
    await client.del(key);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
