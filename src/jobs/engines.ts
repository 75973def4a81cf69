import { z } from 'zod';

/** Who brought an engine into the fleet or out of it: an operator, or the engine itself by a registration. */
const by = z.enum(['OPERATOR', 'ENGINE']);
export type EngineOrigin = z.output<typeof by>;

/** What a store keeps of an engine. Fields that came later have a default. */
const content = z.object({
  /** Without credentials; null: the record brings no engine, it says something of one that `COMFYUI_URL` names. */
  url: z.string().nullable().default(null),
  /** Null without a URL. */
  origin: by.nullable().default(null),
  /** The name of the key that registered it; null unless it registered itself. */
  key: z.string().nullable().default(null),
  /** Set: it takes no more jobs. */
  drained: z.object({ reason: z.string().nullable() }).nullable().default(null),
  /** Set: it leaves, or has left. */
  removedBy: by.nullable().default(null),
  /** Its registration lasts this long after each change; null: for ever. */
  ttlMs: z.number().nullable().default(null),
});

/**
 * What all gateways of a store know of an engine: that it belongs to the fleet, is drained or was removed. An engine that
 * only `COMFYUI_URL` names has a record as soon as one of the latter is said of it.
 */
export interface EngineRecord extends Readonly<z.output<typeof content>> {
  readonly id: string;
  /** Rises with each change; 0: not stored. */
  readonly revision: number;
}

/** A record as the store has it now. */
export interface StoredEngine {
  readonly record: EngineRecord;
  /** Milliseconds until its registration expires by the store's clock, 0 or less afterwards; null: it does not. */
  readonly leftMs: number | null;
}

/** A record that says nothing; see `isBlank`. */
export function noRecord(id: string): EngineRecord {
  return { id, revision: 0, ...content.parse({}) };
}

/** Whether a record says nothing, so that it need not be stored. */
export function isBlank({ url, drained, removedBy }: EngineRecord): boolean {
  return url === null && drained === null && removedBy === null;
}

/** Reads what `engineContent` wrote. Throws when it is not that. */
export function readEngineRecord(id: string, revision: number, text: string): EngineRecord {
  return { id, revision, ...content.parse(JSON.parse(text)) };
}

/** What a store keeps of a record besides its id and revision. */
export function engineContent(record: EngineRecord): string {
  return JSON.stringify(content.parse(record));
}

/** The longest URL of an engine, in characters. */
const MAX_URL = 500;

export type EngineUrlResult = { ok: true; url: string; id: string } | { ok: false; fault: string };

/** Reads the URL of an engine that an operator or the engine itself gave. Its address is judged elsewhere. */
export function parseEngineUrl(text: string): EngineUrlResult {
  if (text.length > MAX_URL) return { ok: false, fault: `takes at most ${MAX_URL} characters` };
  const url = URL.parse(text.trim());
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    return { ok: false, fault: 'takes an http:// or https:// URL' };
  }
  // A store is no place for them.
  if (url.username !== '' || url.password !== '') {
    return { ok: false, fault: 'takes a URL without credentials' };
  }
  const fault = urlEndFault(url);
  if (fault !== null) return { ok: false, fault };
  const plain = url.href.replace(/\/+$/, '');
  return { ok: true, url: plain, id: engineId(plain) };
}

/** What is wrong with the end of an engine's URL, which the paths of requests follow, without it; null: nothing. */
export function urlEndFault({ href }: URL): string | null {
  // In every other part of it they are percent-encoded.
  return /[?#]/.test(href) ? 'takes a URL without a query and a fragment' : null;
}

/**
 * The id of the engine at a URL: its host, port and path, whatever the scheme and the credentials. Leases, durations and
 * drains go by it, so an engine that comes back under its URL keeps them.
 */
export function engineId(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname}`.replace(/\/+$/, '');
}

/** The record of an engine that an operator adds, also one that was removed. It keeps a drain unless it was removed. */
export function addedByOperator(before: EngineRecord, url: string): EngineRecord {
  const drained = before.removedBy === null ? before.drained : null;
  return { ...before, url, origin: 'OPERATOR', key: null, drained, removedBy: null, ttlMs: null };
}

/** Drains it, or no longer (null). */
export function withDrain(before: EngineRecord, drained: EngineRecord['drained']): EngineRecord {
  return { ...before, drained };
}

/** Stays removed until it is added again, whatever `COMFYUI_URL` or the engine itself says. */
export function removedByOperator(before: EngineRecord): EngineRecord {
  return { ...before, drained: null, removedBy: 'OPERATOR', ttlMs: null };
}

/** Why a registration is rejected. */
export type RegistrationFault = 'removed' | 'of-operator' | 'of-other-key';

/**
 * The record of an engine that registers, or does so again. `isConfigured`: `COMFYUI_URL` has it. `expired`: its last
 * registration.
 */
export function registered(
  before: EngineRecord,
  registration: { readonly url: string; readonly key: string; readonly ttlMs: number },
  { isConfigured, expired }: { readonly isConfigured: boolean; readonly expired: boolean },
): EngineRecord | RegistrationFault {
  if (before.removedBy === 'OPERATOR') return 'removed';
  if (isConfigured || before.origin === 'OPERATOR') return 'of-operator';
  const isHeld = before.origin === 'ENGINE' && before.removedBy === null && !expired;
  if (isHeld && before.key !== registration.key) return 'of-other-key';
  return { ...before, ...registration, origin: 'ENGINE', removedBy: null };
}

/** The record of an engine that signs off; null: this key has not registered it. */
export function signedOff(before: EngineRecord, key: string): EngineRecord | null {
  if (before.origin !== 'ENGINE' || before.key !== key || before.removedBy !== null) return null;
  return { ...before, removedBy: 'ENGINE', ttlMs: null };
}

/**
 * What is left of a record once the engine has gone: the removal by an operator, so that no setting and no registration
 * brings the engine back. Otherwise it is blank.
 */
export function afterLeaving({ id, revision, removedBy }: EngineRecord): EngineRecord {
  return { ...noRecord(id), revision, removedBy: removedBy === 'OPERATOR' ? removedBy : null };
}
