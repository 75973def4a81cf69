import {
  addedByOperator,
  type EngineRecord,
  engineId,
  noRecord,
  parseEngineUrl,
  type RegistrationFault,
  registered,
  removedByOperator,
  type StoredEngine,
  signedOff,
  withDrain,
} from '../../jobs/engines.ts';
import type { EngineRecords } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import type { Fleet, MemberStatus } from './fleet.ts';
import { type ConfiguredEngine, isExpired } from './members.ts';

/** A registration lasts this long at least, in milliseconds: longer than other gateways may take to notice one. */
export const SHORTEST_TTL_MS = 10_000;
export const LONGEST_TTL_MS = 24 * 60 * 60_000;

export type AddResult =
  | { kind: 'added'; engine: MemberStatus }
  /** `fault` says what the URL has to be. */
  | { kind: 'invalid'; fault: string };

export interface Registration {
  readonly url: string;
  /** The name of the key that the engine presented. */
  readonly key: string;
  readonly ttlMs: number;
}

export type RegisterResult =
  | { kind: 'registered'; id: string; isNew: boolean }
  | { kind: 'invalid'; fault: string }
  | { kind: 'rejected'; id: string; fault: RegistrationFault };

/** Changes of the fleet, for every gateway of the store and after restarts. Calls may reject with StoreUnavailable. */
export interface FleetChanges {
  /** Adds an engine, also one that was removed. */
  add(url: string): Promise<AddResult>;
  /**
   * Removes an engine: it takes no more jobs, those that it has not begun go to others, and it is forgotten when its last one
   * has ended. False: there is none with this id.
   */
  remove(id: string): Promise<boolean>;
  /** Drains an engine, or no longer. Null: there is none with this id. */
  drain(id: string, drained: EngineRecord['drained']): Promise<MemberStatus | null>;
  /** Adds an engine that asks for it, until its time is over or it signs off; repeated before that, it goes on. */
  register(registration: Registration): Promise<RegisterResult>;
  /** Removes an engine that asks for it. False: this key has not registered it. */
  signOff(id: string, key: string): Promise<boolean>;
}

/** Changes the records, and then the fleet of this process. */
export function changeFleet(options: {
  readonly records: EngineRecords;
  readonly fleet: Fleet;
  readonly configured: () => readonly ConfiguredEngine[];
  /** Whether the allow list has the URL of an engine. */
  readonly allows: (url: string) => boolean;
  readonly log: Log;
}): FleetChanges {
  const { records, fleet, allows, log } = options;

  const isConfigured = (id: string): boolean => options.configured().some(engine => engine.id === id);
  const statusOf = (id: string): MemberStatus | null =>
    fleet.status().find(engine => engine.id === id) ?? null;

  /** Changes a record by a pure function, again whenever another writer was faster. `decide` returns what is no record to stop. */
  async function change<T extends string | null>(
    id: string,
    decide: (before: EngineRecord, stored: StoredEngine | null) => EngineRecord | T,
    isQuiet: (stored: StoredEngine | null) => boolean = () => false,
  ): Promise<{ before: StoredEngine | null; after: EngineRecord } | T> {
    for (;;) {
      const stored = await records.get(id);
      const after = decide(stored?.record ?? noRecord(id), stored);
      if (typeof after === 'string' || after === null) return after;
      if (await records.commit(after, { quietly: isQuiet(stored) })) return { before: stored, after };
    }
  }

  /** The URL if the allow list has it. */
  function readUrl(text: string): ReturnType<typeof parseEngineUrl> {
    const parsed = parseEngineUrl(text);
    if (!parsed.ok || allows(parsed.url) || isConfigured(parsed.id)) return parsed;
    return { ok: false, fault: `takes the URL of a host that ENGINE_ALLOW has, got ${parsed.id}` };
  }

  return {
    async add(text) {
      const parsed = readUrl(text);
      if (!parsed.ok) return { kind: 'invalid', fault: parsed.fault };
      const { id, url } = parsed;
      const known = fleet.status().find(engine => engine.id === id);
      if (known !== undefined && !known.leaving && known.url !== url) {
        return { kind: 'invalid', fault: `takes another URL: ${known.url} is in the fleet` };
      }
      await change(id, before => {
        const added = addedByOperator(before, url);
        // The settings have the rest.
        return isConfigured(id) ? { ...added, url: null, origin: null } : added;
      });
      log.info({ engine: id }, 'an operator added the engine');
      await fleet.update();
      const engine = statusOf(id);
      if (engine === null) throw new Error(`The engine ${id} was added and removed at the same time`);
      return { kind: 'added', engine };
    },
    async remove(id) {
      const changed = await change(id, (before, stored) => {
        const isKnown = stored?.record.url != null || isConfigured(id) || statusOf(id) !== null;
        return isKnown && before.removedBy !== 'OPERATOR' ? removedByOperator(before) : null;
      });
      if (changed === null) return statusOf(id) !== null;
      log.info({ engine: id }, 'an operator removed the engine');
      await fleet.update();
      return true;
    },
    async drain(id, drained) {
      if (statusOf(id) === null) return null;
      await change(id, before => (before.removedBy === null ? withDrain(before, drained) : null));
      await fleet.update();
      return statusOf(id);
    },
    async register({ url: text, key, ttlMs }) {
      const parsed = readUrl(text);
      if (!parsed.ok) return { kind: 'invalid', fault: parsed.fault };
      const { id, url } = parsed;
      const isLive = (stored: StoredEngine | null): boolean =>
        stored?.record.origin === 'ENGINE' && stored.record.removedBy === null && !isExpired(stored);
      const changed = await change(
        id,
        (before, stored) =>
          registered(
            before,
            { url, key, ttlMs },
            { isConfigured: isConfigured(id), expired: stored !== null && isExpired(stored) },
          ),
        isLive,
      );
      if (typeof changed === 'string') return { kind: 'rejected', id, fault: changed };
      const isNew = !isLive(changed.before);
      if (isNew) {
        log.info({ engine: id, key }, 'the engine registered');
        await fleet.update();
      }
      return { kind: 'registered', id, isNew };
    },
    async signOff(id, key) {
      const changed = await change(id, before => signedOff(before, key));
      if (changed === null) return false;
      log.info({ engine: id, key }, 'the engine signed off');
      await fleet.update();
      return true;
    },
  };
}

/** The engines of `COMFYUI_URL` that name a host, each once. */
export function configuredAt(urls: readonly string[]): ConfiguredEngine[] {
  return urls.map(url => ({ id: engineId(url), url, source: 'SETTING', name: null }));
}
