import { lookup as systemLookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { runUntil } from '../concurrency/deadline.ts';
import { createFairQueue } from '../concurrency/fair-queue.ts';
import { isOwnNetwork, judgeAddress } from './address.ts';
import type { AllowList } from './allow-list.ts';
import { connectionTimeout, OutboundError } from './errors.ts';

/**
 * Resolves a name to all its addresses. Rejects with the error codes of `dns.lookup` (`ENOTFOUND`, …), and as soon as
 * the signal aborts. `share`: the caller that the look-up counts for; null or unset if callers are not identified.
 */
export type Lookup = (
  host: string,
  signal: AbortSignal,
  share?: string | null,
) => Promise<readonly { address: string; family: number }[]>;

export interface VetOptions {
  readonly allow: AllowList;
  /** Whether public addresses are rejected too unless they are in `allow`. Default: false. */
  readonly onlyAllowed?: boolean | undefined;
  readonly lookup: Lookup;
  /** For resolving the name, in milliseconds. */
  readonly connectTimeoutMs: number;
  /** Its abort ends the wait. */
  readonly ended: AbortSignal;
}

/**
 * `getaddrinfo` blocks one of libuv's four threads, for many seconds if a name server does not answer. Callers' names
 * may block this many, which leaves the others to files and image decoders.
 */
const CONCURRENT_LOOKUPS = 2;
/** Of these for one share, or for one name without a share: a silent name server leaves the other thread free. */
const LOOKUPS_PER_SHARE = 1;

/**
 * Resolves names as the system does, including its hosts file, two at a time. The limit applies to each function made
 * here, so a process should make only one.
 */
export function createSystemLookup(): Lookup {
  const queue = createFairQueue(CONCURRENT_LOOKUPS, LOOKUPS_PER_SHARE);
  return (host, signal, share = null) =>
    queue.run(share ?? `name ${host}`, () => systemLookup(host, { all: true, order: 'verbatim' }), signal);
}

/**
 * The addresses of a host, all of them checked: one bad address rejects the host. An address in this host's own
 * networks is bad even if it is public. Throws an OutboundError, also if the host does not exist.
 */
export async function vet(host: string, port: number, options: VetOptions): Promise<readonly string[]> {
  const { lookup, connectTimeoutMs, ended } = options;
  const answers =
    isIP(host) === 0
      ? await runUntil(connectTimeoutMs, connectionTimeout, [ended], signal => resolve(lookup, host, signal))
      : [{ address: host }];
  for (const { address } of answers) check(options, host, address, port);
  if (answers.length === 0) throw notFound(host);
  return answers.map(({ address }) => address);
}

function check(
  { allow, onlyAllowed = false }: VetOptions,
  host: string,
  address: string,
  port: number,
): void {
  if (allow.allowsHost(host, port) || allow.allowsAddress(address, port)) return;
  if (onlyAllowed) throw new OutboundError('blocked', `${host} is not in the list of allowed hosts`);
  const verdict = judgeAddress(address);
  if (verdict.ok && !isOwnNetwork(address)) return;
  const kind = verdict.ok ? 'an address next to this server' : verdict.kind;
  // The message must not contain the address of a name: that would map the internal network.
  const message = `${host} ${host === address ? 'is' : 'leads to'} ${kind}`;
  throw new OutboundError('blocked', message, { allowable: true });
}

async function resolve(lookup: Lookup, host: string, signal: AbortSignal): ReturnType<Lookup> {
  try {
    return await lookup(host, signal);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    throw /^(E?AI_.*|ENOTFOUND|ENODATA|ESERVFAIL)$/.test(code) ? notFound(host) : error;
  }
}

function notFound(host: string): OutboundError {
  return new OutboundError('unreachable', `host not found: ${host}`);
}
