import { lookup as systemLookup } from 'node:dns/promises';
import { isIP, type Socket } from 'node:net';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { judgeAddress, sameAddress } from './address.ts';
import type { AllowList } from './allow.ts';
import { ImageRefused } from './failure.ts';
import { createGate } from './gate.ts';
import { isOwnNetwork } from './own-network.ts';

/**
 * Every address of a name. Rejects with the error codes of `dns.lookup` (`ENOTFOUND`, …). When the signal aborts nobody
 * waits for the answer any more.
 */
export type Lookup = (
  host: string,
  signal: AbortSignal,
) => Promise<readonly { address: string; family: number }[]>;

export interface GuardedAgentOptions {
  readonly allow: AllowList;
  /** Resolving a name and connecting to one of its addresses, in milliseconds, as the others. */
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  /** Between two pieces of a body; left out: as long as for the headers. */
  readonly bodyTimeoutMs?: number | undefined;
  /** How names are resolved; left out: as the system does. */
  readonly lookup?: Lookup | undefined;
}

export interface GuardedAgent {
  readonly dispatcher: Dispatcher;
  /** Ends every request and every connection, also those that are being made. */
  close(): Promise<void>;
}

/** More addresses of one name than these are judged, yet not tried. */
const TRIED_ADDRESSES = 4;
/**
 * `getaddrinfo` holds one of libuv's four threads, for many seconds when a name's server is silent. Names of strangers
 * may hold this many, so that files and decoders keep the others.
 */
const LOOKUPS_AT_ONCE = 2;

/** Resolves names as the system does, its hosts file included, a few at once; others wait. */
export function createSystemLookup(): Lookup {
  const gate = createGate(LOOKUPS_AT_ONCE);
  return (host, signal) => gate.run(() => systemLookup(host, { all: true, order: 'verbatim' }), signal);
}

/**
 * An undici agent whose one connector sees every address before a byte is sent: a literal is judged, a name is
 * resolved once, all its addresses are judged (one bad address refuses the name) and the connection goes to a judged
 * one, so a name that changes its mind has nothing to change. That the socket ended up there is checked after.
 * Addresses of this host's own networks are refused although they may be public. Connections are not reused, proxies
 * of the environment are not heard of, and HTTP/2 is not spoken. A refusal comes out of the request as an
 * ImageRefused, possibly as the cause of another error.
 */
export function createGuardedAgent(options: GuardedAgentOptions): GuardedAgent {
  const { allow, connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs = headersTimeoutMs } = options;
  const lookup = options.lookup ?? createSystemLookup();
  const closing = new AbortController();

  function judge(host: string, address: string, port: number): void {
    if (allow.allowsHost(host, port) || allow.allowsAddress(address, port)) return;
    const verdict = judgeAddress(address);
    if (verdict.ok && !isOwnNetwork(address)) return;
    const kind = verdict.ok ? 'an address next to this server' : verdict.kind;
    // What a name resolves to is not told: inside a network that would map it.
    throw new ImageRefused('INPUT_BLOCKED', `${host} ${host === address ? 'is' : 'leads to'} ${kind}`);
  }

  async function vetted(host: string, port: number): Promise<readonly string[]> {
    const answers =
      isIP(host) === 0
        ? await within(connectTimeoutMs, closing.signal, signal => resolve(lookup, host, signal))
        : [{ address: host }];
    for (const { address } of answers) judge(host, address, port);
    if (answers.length === 0) throw notFound(host);
    return alternated(answers.map(({ address }) => address)).slice(0, TRIED_ADDRESSES);
  }

  async function open(target: buildConnector.Options): Promise<Socket> {
    const deadline = performance.now() + connectTimeoutMs;
    const left = (): number => Math.ceil(deadline - performance.now());
    const host = target.hostname.replace(/^\[|\]$/g, '');
    const port = Number(target.port) || (target.protocol === 'https:' ? 443 : 80);
    const addresses = await vetted(host, port);
    let failure: unknown = timedOut();
    for (const [index, address] of addresses.entries()) {
      closing.signal.throwIfAborted();
      // A silent address leaves its share of the time to the next.
      const timeout = Math.floor(left() / (addresses.length - index));
      if (timeout < 1) throw timedOut();
      const connect = buildConnector({
        timeout,
        allowH2: false,
        maxCachedSessions: 0,
        signal: closing.signal,
      });
      const servername = isIP(host) === 0 ? host : '';
      const { promise, resolve: connected, reject } = Promise.withResolvers<Socket>();
      connect({ ...target, hostname: address, servername }, (...[error, socket]) => {
        if (error === null) connected(socket);
        else reject(error);
      });
      try {
        return confirmed(await promise, address);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  const agent = new Agent({
    headersTimeout: headersTimeoutMs,
    bodyTimeout: bodyTimeoutMs,
    // No connection is kept: one that was judged for another URL is not reused for this.
    pipelining: 0,
    keepAliveTimeout: 1,
    maxHeaderSize: 32 * 1024,
    allowH2: false,
    connect(target, callback) {
      open(target).then(
        socket => callback(null, socket),
        (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), null),
      );
    },
  });
  return {
    dispatcher: agent,
    async close() {
      closing.abort();
      await agent.destroy();
    },
  };
}

/** By turns of both families, the first one's first, so that a family without a way out costs half the tries (RFC 8305, 4). */
function alternated(addresses: readonly string[]): readonly string[] {
  const first = isIP(addresses[0] ?? '');
  const [same, others] = [
    addresses.filter(address => isIP(address) === first),
    addresses.filter(address => isIP(address) !== first),
  ];
  return Array.from({ length: addresses.length }, (_, index) => [same[index], others[index]])
    .flat()
    .filter(address => address !== undefined);
}

/** The socket, when it is connected to the address that was judged. */
function confirmed(socket: Socket, address: string): Socket {
  const remote = socket.remoteAddress;
  if (remote !== undefined && sameAddress(remote, address)) return socket;
  socket.destroy();
  throw remote === undefined
    ? new ImageRefused('INPUT_UNREACHABLE', 'the connection was reset')
    : new ImageRefused('INPUT_BLOCKED', 'the connection led elsewhere');
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

function timedOut(): ImageRefused {
  return new ImageRefused('INPUT_UNREACHABLE', 'Connection timeout');
}
