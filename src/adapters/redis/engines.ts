import { createListeners } from '../../concurrency/listeners.ts';
import { engineContent, isBlank, noRecord, readEngineRecord, type StoredEngine } from '../../jobs/engines.ts';
import type { Clock, EngineRecords } from '../../jobs/ports.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { asList, asNumber, reach } from './replies.ts';

/** The records of engines that gateways share, with what the subscriber needs. */
export interface RedisEngines extends EngineRecords {
  /** A gateway has changed one, or may have while this one was not subscribed. */
  announce(): void;
  /** Removes the listeners. */
  close(): void;
}

/**
 * One hash by id; each change is published. The drained and the removed ones are in a set beside it as well, which gateways
 * of version 3 read and write: whether an engine is drained is what the set says.
 *
 * @param now Null uses the clock of Redis.
 */
export function createRedisEngines(client: Client, keys: Keys, now: Clock | null): RedisEngines {
  const listeners = createListeners();
  const time = (): string => (now === null ? '' : String(now()));

  async function readSome(id: string): Promise<StoredEngine[]> {
    const reply = asList(await reach(client.qeReadEngines(keys.engines, keys.prefix, time(), id)));
    const [at, fields, members] = reply;
    const drained = new Set(asList(members).map(String));
    const pairs = asList(fields).map(String);
    const found: StoredEngine[] = [];
    for (let n = 0; n < pairs.length; n += 2) {
      const stored = readValue(pairs[n] ?? '', pairs[n + 1] ?? '', Number(at));
      const { record } = stored;
      const isDrained = drained.delete(record.id) && record.removedBy === null;
      const drain = isDrained ? (record.drained ?? { reason: null }) : null;
      found.push({ ...stored, record: { ...record, drained: drain } });
    }
    // Drained by a gateway that knows only the set.
    for (const other of drained) {
      found.push({ record: { ...noRecord(other), drained: { reason: null } }, leftMs: null });
    }
    return found;
  }

  return {
    read: () => readSome(''),
    async get(id) {
      const [found] = await readSome(id);
      return found ?? null;
    },
    async commit(record, { quietly = false } = {}) {
      const { id, revision, drained, removedBy, ttlMs } = record;
      const reply = await reach(
        client.qeCommitEngine(
          keys.engines,
          keys.prefix,
          time(),
          id,
          revision,
          isBlank(record) ? '' : engineContent(record),
          ttlMs ?? '',
          drained === null && removedBy === null ? '0' : '1',
          quietly ? '0' : '1',
        ),
      );
      return asNumber(reply) === 1;
    },
    onChange: listeners.add,
    announce: listeners.call,
    close: listeners.clear,
  };
}

/** Reads `<revision> <time of expiry or -> <content>`. */
function readValue(id: string, value: string, at: number): StoredEngine {
  const [, revision, expiresAt, content] = /^(\d+) (\d+|-) (.*)$/s.exec(value) ?? [];
  if (content === undefined) throw new Error(`Redis has an unexpected record of the engine ${id}`);
  return {
    record: readEngineRecord(id, Number(revision), content),
    leftMs: expiresAt === '-' ? null : Number(expiresAt) - at,
  };
}
