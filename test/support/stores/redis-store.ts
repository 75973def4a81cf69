import { connectRedis, type RedisOptions, type RedisStore } from '../../../src/adapters/redis/connect.ts';
import type { Log } from '../../../src/log.ts';

/** A log that remembers. */
export interface TestLog extends Log {
  readonly lines: { level: string; message: string; fields: object }[];
  has(level: string, text: string): boolean;
}

/** Makes an empty one. */
export function createTestLog(): TestLog {
  const lines: TestLog['lines'] = [];
  const at =
    (level: string) =>
    (fields: object, message: string): void => {
      lines.push({ level, message, fields });
    };
  return {
    lines,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    has: (level, text) => lines.some(line => line.level === level && line.message.includes(text)),
  };
}

/** A prefix that no other test has, so that tests can share one Redis. */
export function aPrefix(): string {
  return `{test-${crypto.randomUUID()}}`;
}

/** A store with a log of its own. */
export async function openStore(
  url: string,
  options: Partial<RedisOptions> = {},
): Promise<RedisStore & { readonly log: TestLog }> {
  const log = createTestLog();
  return { ...(await connectRedis({ url, log, ...options })), log };
}
