import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { withClient } from './redis.ts';

const FOLDER = fileURLToPath(new URL('../../fixtures/stores', import.meta.url));

/** When the stores were written, by their own times. */
const WRITTEN_AT = 1_795_718_235_000;

const roles = z.object({
  completed: z.string(),
  failed: z.string(),
  running: z.string(),
  canceled: z.string(),
  queued: z.string(),
});

/** The ids of the jobs in a store of an earlier version. */
export type EarlierJobs = z.infer<typeof roles>;

/** Where the store is restored, and what takes the place of the engine and the receiver that there were. */
interface Restoring {
  readonly dataDir: string;
  readonly engineUrl: string;
  readonly webhookUrl: string;
}

async function jobsOf(kind: 'embedded' | 'redis'): Promise<EarlierJobs> {
  const all: unknown = JSON.parse(await readFile(join(FOLDER, 'ids.json'), 'utf8'));
  return z.object({ embedded: roles, redis: roles }).parse(all)[kind];
}

/** The text as if it had been written just now, with the other engine and receiver. */
function refresh(text: string, { engineUrl, webhookUrl }: Restoring): string {
  const passed = Date.now() - WRITTEN_AT;
  return text
    .replace(/\b179\d{10}\b/g, time => String(Number(time) + passed))
    .replace(/http:\/\/127\.0\.0\.1:\d+\/hook/g, webhookUrl)
    .replace(/127\.0\.0\.1:\d+(?=#|\W*")/g, new URL(engineUrl).host);
}

/** Restores the embedded store into an empty folder. */
export async function restoreEmbedded(restoring: Restoring): Promise<EarlierJobs> {
  const { dataDir } = restoring;
  await cp(join(FOLDER, 'embedded'), dataDir, { recursive: true });
  const db = new DatabaseSync(join(dataDir, 'jobs.sqlite'));
  db.function('refresh', value => refresh(String(value), restoring));
  db.exec(`
    UPDATE jobs SET request = refresh(request), state = refresh(state), score = refresh(score),
      created_at = refresh(created_at), expires_at = iif(expires_at IS NULL, NULL, refresh(expires_at)),
      lane = iif(lane IS NULL, NULL, refresh(lane));
    UPDATE lanes SET lane = refresh(lane);
    UPDATE deliveries SET content = refresh(content);
    UPDATE deliveries SET due_at = 0 WHERE due_at IS NOT NULL;
  `);
  db.close();
  return jobsOf('embedded');
}

/** Restores the store into an empty Redis, and its artifacts into an empty folder. */
export async function restoreRedis(url: string, restoring: Restoring): Promise<EarlierJobs> {
  await cp(join(FOLDER, 'redis', 'artifacts'), join(restoring.dataDir, 'artifacts'), { recursive: true });
  const text = refresh(await readFile(join(FOLDER, 'redis', 'commands.json'), 'utf8'), restoring);
  const commands = z.array(z.tuple([z.string()], z.string())).parse(JSON.parse(text));
  await withClient(url, async client => {
    for (const [name, ...parts] of commands) await client.call(name, ...parts);
    // The rejected webhook is tried again in a minute.
    const outbox = '{qwen-edit}:outbox';
    for (const member of await client.zrange(outbox, '0', '-1')) await client.zadd(outbox, 0, member);
  });
  return jobsOf('redis');
}
