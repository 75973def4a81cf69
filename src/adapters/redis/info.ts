import type { Client } from './client.ts';

/** What `INFO` says of a Redis. */
export interface RedisInfo {
  readonly version: string;
  /** Whether it writes an append-only file. */
  readonly appendOnly: boolean;
  /** Its policy when that evicts data once the memory is full; null when nothing is evicted. */
  readonly eviction: string | null;
}

/** Reads it. Rejects where an access rule forbids `INFO`. */
export async function readInfo(client: Client): Promise<RedisInfo> {
  const sections = [
    await client.info('server'),
    await client.info('persistence'),
    await client.info('memory'),
  ];
  const info = sections.join('\n');
  const setting = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  const policy = setting('maxmemory_policy');
  return {
    version: setting('redis_version'),
    appendOnly: setting('aof_enabled') !== '0',
    eviction: setting('maxmemory') !== '0' && policy !== '' && policy !== 'noeviction' ? policy : null,
  };
}
