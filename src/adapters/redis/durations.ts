import type { Durations } from '../../jobs/ports.ts';
import { readDurations } from '../../jobs/progress/durations.ts';
import { ENGINES_KEPT } from '../record.ts';
import type { Client } from './client.ts';
import type { Keys } from './keys.ts';
import { reach } from './replies.ts';

/** Keeps the durations in one hash by engine. Its order is that of a sorted set of engines by the time of their put. */
export function createRedisDurations(client: Client, keys: Keys): Durations {
  return {
    async all() {
      const found = await reach(client.hgetall(keys.durations));
      return Object.values(found).flatMap(content => readDurations(content) ?? []);
    },
    async of(engine) {
      const content = await reach(client.hget(keys.durations, engine));
      return content === null ? null : readDurations(content);
    },
    async put(durations) {
      const { engine } = durations;
      await reach(client.qePutDurations(keys.durations, engine, JSON.stringify(durations), ENGINES_KEPT));
    },
  };
}
