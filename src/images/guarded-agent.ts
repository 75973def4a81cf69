import { isIP, type Socket } from 'node:net';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import { sameAddress } from './address.ts';
import type { AllowList } from './allow.ts';
import { ImageRefused } from './failure.ts';
import { type Lookup, timedOut, vet } from './vet.ts';

export interface GuardedAgentOptions {
  readonly allow: AllowList;
  /** Resolving a name and connecting to one of its addresses, in milliseconds, as the others. */
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  /** Between two pieces of a body; left out: as long as for the headers. */
  readonly bodyTimeoutMs?: number | undefined;
  /** How names are resolved. */
  readonly lookup: Lookup;
}

export interface GuardedAgent {
  readonly dispatcher: Dispatcher;
  /** Ends every request and every connection, also those that are being made. */
  close(): Promise<void>;
}

/** More addresses of one name than these are judged, yet not tried. */
const TRIED_ADDRESSES = 4;

/**
 * An undici agent whose one connector sees every address before a byte is sent: a literal is judged, a name is
 * resolved once, all its addresses are judged (one bad address refuses the name) and the connection goes to a judged
 * one, so a name that changes its mind has nothing to change. That the socket ended up there is checked after.
 * Addresses of this host's own networks are refused although they may be public. Connections are not reused, proxies
 * of the environment are not heard of, and HTTP/2 is not spoken. A refusal comes out of the request as an
 * ImageRefused, possibly as the cause of another error.
 */
export function createGuardedAgent(options: GuardedAgentOptions): GuardedAgent {
  const { connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs = headersTimeoutMs } = options;
  const closing = new AbortController();

  async function open(target: buildConnector.Options): Promise<Socket> {
    const deadline = performance.now() + connectTimeoutMs;
    const left = (): number => Math.ceil(deadline - performance.now());
    const host = target.hostname.replace(/^\[|\]$/g, '');
    const port = Number(target.port) || (target.protocol === 'https:' ? 443 : 80);
    const answers = await vet(host, port, { ...options, ended: closing.signal });
    const addresses = alternated(answers).slice(0, TRIED_ADDRESSES);
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
