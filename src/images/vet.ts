import { lookup as systemLookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { judgeAddress } from './address.ts';
import type { AllowList } from './allow.ts';
import { ImageRefused } from './failure.ts';
import { createFairGate } from './gate.ts';
import { isOwnNetwork } from './own-network.ts';

/**
 * Every address of a name. Rejects with the error codes of `dns.lookup` (`ENOTFOUND`, …). When the signal aborts nobody
 * waits for the answer any more. `share`: on whose behalf; null or left out: nobody's.
 */
export type Lookup = (
  host: string,
  signal: AbortSignal,
  share?: string | null,
) => Promise<readonly { address: string; family: number }[]>;

export interface VetOptions {
  readonly allow: AllowList;
  readonly lookup: Lookup;
  /** For resolving the name, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** Ends the wait. */
  readonly ended: AbortSignal;
}

/**
 * `getaddrinfo` holds one of libuv's four threads, for many seconds when a name's server is silent. Names of strangers
 * may hold this many, so that files and decoders keep the others.
 */
const LOOKUPS_AT_ONCE = 2;
/** Of them for one share, or for one name where nobody has a share: a silent one leaves the other to others. */
const LOOKUPS_A_SHARE = 1;

/**
 * Resolves names as the system does, its hosts file included, two at once; others wait. The bound is that of one such
 * function, so a process makes one.
 */
export function createSystemLookup(): Lookup {
  const gate = createFairGate(LOOKUPS_AT_ONCE, LOOKUPS_A_SHARE);
  return (host, signal, share = null) =>
    gate.run(share ?? `name ${host}`, () => systemLookup(host, { all: true, order: 'verbatim' }), signal);
}

/**
 * The addresses that a host leads to, each judged: one bad address refuses the host. Addresses of this host's own
 * networks are refused although they may be public. Throws ImageRefused, also when there is no such host.
 */
export async function vet(host: string, port: number, options: VetOptions): Promise<readonly string[]> {
  const { allow, lookup, connectTimeoutMs, ended } = options;
  const answers =
    isIP(host) === 0
      ? await within(connectTimeoutMs, ended, signal => resolve(lookup, host, signal))
      : [{ address: host }];
  for (const { address } of answers) judge(allow, host, address, port);
  if (answers.length === 0) throw notFound(host);
  return answers.map(({ address }) => address);
}

/** What a try that took too long rejects with. */
export function timedOut(): ImageRefused {
  return new ImageRefused('INPUT_UNREACHABLE', 'Connection timeout');
}

function judge(allow: AllowList, host: string, address: string, port: number): void {
  if (allow.allowsHost(host, port) || allow.allowsAddress(address, port)) return;
  const verdict = judgeAddress(address);
  if (verdict.ok && !isOwnNetwork(address)) return;
  const kind = verdict.ok ? 'an address next to this server' : verdict.kind;
  // What a name resolves to is not told: inside a network that would map it.
  throw new ImageRefused('INPUT_BLOCKED', `${host} ${host === address ? 'is' : 'leads to'} ${kind}`);
}

async function resolve(lookup: Lookup, host: string, signal: AbortSignal): ReturnType<Lookup> {
  try {
    return await lookup(host, signal);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    throw /^(E?AI_.*|ENOTFOUND|ENODATA|ESERVFAIL)$/.test(code) ? notFound(host) : error;
  }
}

/** Settles as the work does, unless the time is over or `ended` aborts before: then it rejects and tells the work. */
async function within<T>(
  timeoutMs: number,
  ended: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const given = new AbortController();
  const { promise: up, reject } = Promise.withResolvers<never>();
  given.signal.addEventListener('abort', () => reject(given.signal.reason));
  const timer = setTimeout(() => given.abort(timedOut()), timeoutMs);
  const stop = (): void => given.abort(ended.reason);
  ended.addEventListener('abort', stop);
  try {
    return await Promise.race([work(given.signal), up]);
  } finally {
    clearTimeout(timer);
    ended.removeEventListener('abort', stop);
  }
}

function notFound(host: string): ImageRefused {
  return new ImageRefused('INPUT_UNREACHABLE', `host not found: ${host}`);
}
