import type { StoredEngine } from '../../jobs/engines.ts';
import type { EngineHold } from '../engines/engine-state.ts';

/** Where an engine comes from: `COMFYUI_URL`, a name in it, an operator, or its own registration. */
export const ENGINE_SOURCES = ['SETTING', 'DNS', 'OPERATOR', 'REGISTRATION'] as const;
export type EngineSource = (typeof ENGINE_SOURCES)[number];

/** An engine that the settings of this gateway name. */
export interface ConfiguredEngine {
  readonly id: string;
  /** With its credentials, if any. */
  readonly url: string;
  readonly source: 'SETTING' | 'DNS';
  /** The name that led to it, as `EngineName` has it; null: its URL is in the settings. */
  readonly name: string | null;
}

/** An engine of the fleet, as settings and records say. */
export interface Member {
  readonly id: string;
  readonly url: string;
  readonly source: EngineSource;
  /** The name in the settings that led to it; null: none did. */
  readonly name: string | null;
  readonly hold: EngineHold | null;
  /** When its registration expires, in milliseconds since 1970; null: never. */
  readonly expiresAt: number | null;
}

export interface Members {
  readonly members: readonly Member[];
  /** Engines with a record that this gateway may not connect to. */
  readonly rejected: readonly string[];
}

/**
 * The fleet at a time: the engines of the settings and of the records. An engine of both counts as the settings have it,
 * because only they have credentials. `allows`: whether this gateway may connect to the URL of a record. Pure.
 */
export function membersOf(
  configured: readonly ConfiguredEngine[],
  stored: readonly StoredEngine[],
  allows: (url: string) => boolean,
  at: number,
): Members {
  const records = new Map(stored.map(entry => [entry.record.id, entry]));
  const members = new Map<string, Member>();
  const rejected: string[] = [];
  for (const { id, url, source, name } of configured) {
    const hold = saidOf(records.get(id) ?? null);
    if (!members.has(id)) members.set(id, { id, url, source, name, hold, expiresAt: null });
  }
  for (const entry of stored) {
    const { id, url, origin } = entry.record;
    if (url === null || members.has(id)) continue;
    if (!allows(url)) {
      rejected.push(id);
      continue;
    }
    const source = origin === 'ENGINE' ? 'REGISTRATION' : 'OPERATOR';
    const expiresAt = entry.leftMs === null ? null : at + entry.leftMs;
    const hold = comesAndGoes(entry) ?? saidOf(entry);
    members.set(id, { id, url, source, name: null, hold, expiresAt });
  }
  return { members: [...members.values()], rejected };
}

/** What an operator said of an engine, whatever it comes from. */
function saidOf(entry: StoredEngine | null): EngineHold | null {
  if (entry === null) return null;
  const { drained, removedBy } = entry.record;
  if (removedBy === 'OPERATOR') return { state: 'LEAVING', reason: 'removed by an operator' };
  if (drained === null) return null;
  const because = drained.reason === null ? '' : `: ${drained.reason}`;
  return { state: 'DRAINED', reason: `drained by an operator${because}` };
}

/** Why an engine that registered itself leaves; null: it does not. */
function comesAndGoes(entry: StoredEngine): EngineHold | null {
  if (entry.record.removedBy === 'ENGINE') return { state: 'LEAVING', reason: 'it signed off' };
  return isExpired(entry) ? { state: 'LEAVING', reason: 'its registration expired' } : null;
}

/** Whether the registration of an engine expired. */
export function isExpired({ leftMs }: StoredEngine): boolean {
  return leftMs !== null && leftMs <= 0;
}

/** Whether a record has served its purpose once the engine has gone. */
export function isOver(entry: StoredEngine): boolean {
  return entry.record.url !== null && (entry.record.removedBy !== null || isExpired(entry));
}
