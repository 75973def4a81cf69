import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { createFairQueue } from '../../concurrency/fair-queue.ts';

export type Role = 'user' | 'operator';

/** One entry of `API_KEYS`. It holds a hash: only the caller has the key itself. */
export interface ApiKey {
  readonly name: string;
  readonly role: Role;
  readonly hash: KeyHash;
  /** The name of its policy; null: the default one. */
  readonly policy: string | null;
  /** When it expires, in milliseconds since 1970; null: never. */
  readonly until: number | null;
}

type KeyHash =
  | { readonly kind: 'sha256'; readonly digest: Buffer }
  | {
      readonly kind: 'scrypt';
      readonly cost: number;
      readonly blockSize: number;
      readonly parallelization: number;
      readonly salt: Buffer;
      readonly digest: Buffer;
    };

/** The id of the caller of a key. */
export function callerOfKey(name: string): string {
  return `key:${name}`;
}

export type ApiKeysResult = { ok: true; value: readonly ApiKey[] } | { ok: false; fault: string };

/** Longer than any key. Longer texts are not hashed. */
const MAX_KEY_LENGTH = 512;
const DAY_MS = 24 * 60 * 60 * 1000;
const NAME = /^[A-Za-z0-9._-]{1,64}$/;
/** Memory of one scrypt call, which takes 128 × cost × blockSize bytes (RFC 7914, 2). */
const MAX_SCRYPT_MEMORY = 128 * 1024 ** 2;
/** Concurrent scrypt calls: each holds a thread and the memory above. */
const MAX_SCRYPT_CALLS = 2;
/** Scrypt calls in flight or queued: the last one waits for some seconds. */
const MAX_QUEUED = 16;
/** Number of scrypt keys remembered by their SHA-256, so that scrypt runs once for each. */
const REMEMBERED_KEYS = 1000;

/** What follows name and hash, in this order. The time has colons of its own. */
const REST = /^(?::(user|operator))?(?::policy=([^:]*))?(?::until=(.*))?$/;
/** A day, or a time in UTC or with its offset. */
const UNTIL = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/;

/**
 * Parses `name:hash[:role][:policy=name][:until=time]` entries, separated by commas or line breaks. A name may repeat with the
 * same role and policy, for the time in which a key is replaced. Faults give the number of an entry, never its content.
 */
export function parseApiKeys(text: string): ApiKeysResult {
  const entries = text
    .split(/[,\n]/)
    .map(entry => entry.trim())
    .filter(entry => entry !== '');
  const keys: ApiKey[] = [];
  for (const [index, entry] of entries.entries()) {
    const place = `entry ${index + 1}`;
    const [name = '', hashText = ''] = entry.split(':', 2);
    const rest = REST.exec(entry.slice(name.length + 1 + hashText.length));
    if (!NAME.test(name) || rest === null) {
      return {
        ok: false,
        fault: `${place} must be name:hash or name:hash:role, where role is user or operator, with :policy=name and :until=time behind it`,
      };
    }
    const [, role = 'user', policy = null, untilText = null] = rest;
    if (policy !== null && !NAME.test(policy)) return { ok: false, fault: `${place}: policy= takes a name` };
    const until = untilText === null ? null : timeOf(untilText);
    if (until !== null && Number.isNaN(until)) {
      return {
        ok: false,
        fault: `${place}: until= takes a day such as 2027-01-31 or a time such as 2027-01-31T18:00Z`,
      };
    }
    const hash = parseHash(hashText);
    if (hash === null) {
      return {
        ok: false,
        fault: `${place}: the hash must be sha256$<hex> or scrypt$N$r$p$salt$hash, as src/cli/make-key.ts prints it`,
      };
    }
    if (keys.some(key => key.name === name && key.role !== role)) {
      return { ok: false, fault: `${place} repeats a name with another role` };
    }
    if (keys.some(key => key.name === name && key.policy !== policy)) {
      return { ok: false, fault: `${place} repeats a name with another policy` };
    }
    keys.push({ name, role: role === 'operator' ? role : 'user', hash, policy, until });
  }
  return { ok: true, value: keys };
}

/** The end of a day in UTC, or a time; NaN for neither. */
function timeOf(text: string): number {
  if (!UNTIL.test(text)) return Number.NaN;
  return text.includes('T') ? Date.parse(text) : Date.parse(`${text}T00:00:00Z`) + DAY_MS;
}

function parseHash(text: string): KeyHash | null {
  const sha256 = /^sha256\$([0-9a-f]{64})$/i.exec(text)?.[1];
  if (sha256 !== undefined) return { kind: 'sha256', digest: Buffer.from(sha256, 'hex') };
  const parts = /^scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([\w-]{16,128})\$([\w-]{22,128})$/.exec(text);
  if (parts === null) return null;
  const [cost, blockSize, parallelization] = parts.slice(1, 4).map(Number);
  if (cost === undefined || blockSize === undefined || parallelization === undefined) return null;
  const powerOfTwo = cost >= 1024 && (cost & (cost - 1)) === 0;
  if (!powerOfTwo || blockSize < 1 || parallelization < 1) return null;
  if (128 * cost * blockSize > MAX_SCRYPT_MEMORY) return null;
  return {
    kind: 'scrypt',
    cost,
    blockSize,
    parallelization,
    salt: Buffer.from(parts[4] ?? '', 'base64url'),
    digest: Buffer.from(parts[5] ?? '', 'base64url'),
  };
}

/** Makes a key of 256 random bits, and its entry for `API_KEYS` or `ENGINE_KEYS`. Throws a TypeError for an invalid name or policy, and for a time that is invalid or over. */
export function makeApiKey(
  name: string,
  role: Role | 'engine',
  { policy, until }: { readonly policy?: string | undefined; readonly until?: string | undefined } = {},
): { key: string; entry: string } {
  for (const given of [name, policy ?? name]) {
    if (!NAME.test(given))
      throw new TypeError('A name must be 1 to 64 characters of A-Z, a-z, 0-9, dot, dash and underscore');
  }
  if (until !== undefined && Number.isNaN(timeOf(until)))
    throw new TypeError('--until takes a day such as 2027-01-31 or a time such as 2027-01-31T18:00Z');
  if (until !== undefined && timeOf(until) <= Date.now())
    throw new TypeError(`--until takes a time to come: ${until} is over, so the key would be rejected`);
  const key = `${role === 'engine' ? 'qee' : 'qek'}_${randomBytes(32).toString('base64url')}`;
  const parts = [name, `sha256$${sha256(key).toString('hex')}`];
  if (role === 'operator') parts.push('operator');
  if (policy !== undefined) parts.push(`policy=${policy}`);
  if (until !== undefined) parts.push(`until=${until}`);
  return { key, entry: parts.join(':') };
}

export interface Keyring {
  /**
   * Finds the entry of a key; null: there is none. Takes as long for a wrong key as for a right one with the same kind of
   * hash. `busy`: too many keys are being checked; never for a key that was right before.
   */
  find(key: string): Promise<ApiKey | 'busy' | null>;
}

export function createKeyring(keys: readonly ApiKey[]): Keyring {
  const gate = createFairQueue(MAX_SCRYPT_CALLS);
  // Keyed by the SHA-256 of keys that matched.
  const remembered = new Map<string, ApiKey>();
  const slow = keys.filter(key => key.hash.kind === 'scrypt');
  let queued = 0;

  return {
    async find(key) {
      if (key === '' || key.length > MAX_KEY_LENGTH) return null;
      const digest = sha256(key);
      let found: ApiKey | null = null;
      for (const candidate of keys) {
        const { hash } = candidate;
        // Compares every entry, so that the time taken does not reveal which one matched.
        if (hash.kind === 'sha256' && timingSafeEqual(hash.digest, digest)) found = candidate;
      }
      if (found !== null || slow.length === 0) return found;
      const known = remembered.get(digest.toString('hex'));
      if (known !== undefined) return known;
      if (queued >= MAX_QUEUED) return 'busy';
      queued += 1;
      try {
        found = await gate.run(null, () => findSlow(slow, key));
      } finally {
        queued -= 1;
      }
      if (found !== null && remembered.size < REMEMBERED_KEYS) remembered.set(digest.toString('hex'), found);
      return found;
    },
  };
}

async function findSlow(keys: readonly ApiKey[], given: string): Promise<ApiKey | null> {
  let found: ApiKey | null = null;
  for (const key of keys) {
    if (key.hash.kind !== 'scrypt') continue;
    const { cost, blockSize, parallelization, salt, digest } = key.hash;
    const derived = await new Promise<Buffer>((resolve, reject) => {
      scrypt(
        given,
        salt,
        digest.byteLength,
        { N: cost, r: blockSize, p: parallelization, maxmem: 2 * MAX_SCRYPT_MEMORY },
        (error, result) => (error === null ? resolve(result) : reject(error)),
      );
    });
    if (timingSafeEqual(derived, digest)) found = key;
  }
  return found;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
