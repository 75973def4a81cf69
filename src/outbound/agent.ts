import { isIP, type Socket } from 'node:net';
import { Agent, buildConnector, type Dispatcher, Pool, ProxyAgent } from 'undici';
import { sameAddress } from './address.ts';
import type { AllowList } from './allow-list.ts';
import { connectionTimeout, OutboundError } from './errors.ts';
import { hostAndPort } from './url.ts';
import { type Lookup, vet } from './vet.ts';

export interface OutboundAgentOptions {
  readonly allow: AllowList;
  /** For resolving a name and connecting to one of its addresses. Milliseconds, like the other timeouts. */
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  /** Between two chunks of a body; default: `headersTimeoutMs`. */
  readonly bodyTimeoutMs?: number | undefined;
  readonly lookup: Lookup;
  /** As in `VetOptions`. */
  readonly onlyAllowed?: boolean | undefined;
  /** Keeps connections open for further requests to the same origin. Default: each request has one of its own. */
  readonly reuse?: Reuse | undefined;
}

export interface Reuse {
  /** How long a connection may be idle, in milliseconds. */
  readonly idleMs: number;
  /** Connections to one origin at once; further requests wait. */
  readonly connections: number;
}

/** A proxy that the operator has set. */
export interface OutboundProxy {
  /** http or https, with credentials if the proxy requires them. */
  readonly url: string;
  /** Called with each connection to it that fails. Requests then fail without its address, which callers need not know. */
  onUnreachable(error: Error): void;
}

export interface OutboundAgent {
  readonly dispatcher: Dispatcher;
  /** Aborts every request and closes every connection, including those being established. */
  close(): Promise<void>;
}

/** Addresses of one name that are tried; further ones are only checked. */
const TRIED_ADDRESSES = 4;
const MAX_HEADER_BYTES = 32 * 1024;

/**
 * The agent for requests to URLs of callers: direct, or through `proxy` if there is one. A request to an address that
 * is not allowed fails with an OutboundError, possibly as the cause of another error. Proxies of the environment are
 * ignored.
 */
export function createOutboundAgent(
  proxy: OutboundProxy | undefined,
  options: OutboundAgentOptions,
): OutboundAgent {
  return proxy === undefined ? createDirectAgent(options) : createProxiedAgent(proxy, options);
}

/**
 * Checks every address before a byte is sent: an address in the URL is judged, a name is resolved once, all its
 * addresses are judged and the connection goes to one of them, so a name that changes its answer (DNS rebinding)
 * changes nothing. The address that the socket ended up with is verified afterwards. Connections are reused only on
 * request, for the same origin, and HTTP/2 is not used.
 */
function createDirectAgent(options: OutboundAgentOptions): OutboundAgent {
  const { connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs = headersTimeoutMs, reuse } = options;
  const closing = new AbortController();

  async function open(target: buildConnector.Options): Promise<Socket> {
    const deadline = performance.now() + connectTimeoutMs;
    const { host, port } = hostAndPort(target);
    const vetted = await vet(host, port, { ...options, ended: closing.signal });
    const addresses = alternated(vetted).slice(0, TRIED_ADDRESSES);
    let failure: unknown = connectionTimeout();
    for (const [index, address] of addresses.entries()) {
      closing.signal.throwIfAborted();
      // An address that does not answer leaves the next one its share of the time.
      const timeout = Math.floor(Math.ceil(deadline - performance.now()) / (addresses.length - index));
      if (timeout < 1) throw connectionTimeout();
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
    // Without keep-alive by default, because a connection that was checked for one caller's URL must not serve another's.
    pipelining: reuse === undefined ? 0 : 1,
    keepAliveTimeout: reuse?.idleMs ?? 1,
    connections: reuse?.connections ?? null,
    maxHeaderSize: MAX_HEADER_BYTES,
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

/**
 * Judges whatever this host can resolve, as without a proxy. Names that it cannot resolve are left to the proxy, and so
 * is the address that a name finally leads to: the proxy must not reach internal networks.
 */
function createProxiedAgent(proxy: OutboundProxy, options: OutboundAgentOptions): OutboundAgent {
  const { connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs = headersTimeoutMs } = options;
  const closing = new AbortController();
  const { href } = new URL(proxy.url);
  const connect = buildConnector({ timeout: connectTimeoutMs, allowH2: false });
  const toProxy: buildConnector.connector = (target, callback) => {
    connect(target, (...[error, socket]) => {
      if (error === null) {
        callback(null, socket);
        return;
      }
      if (!closing.signal.aborted) proxy.onUnreachable(error);
      // Not with the error as its cause, which would be taken for one of the server behind the proxy.
      callback(new OutboundError('unreachable', 'the proxy of the gateway could not be reached'), null);
    });
  };
  const agent = new ProxyAgent({
    uri: href,
    // Tunnels have a connection to the proxy and one through it; requests of http:// have the former alone.
    clientFactory: (origin, given) => new Pool(origin, { ...given, connect: toProxy }),
    factory: (origin, given) =>
      new Pool(origin, String(origin) === href ? { ...given, connect: toProxy } : given),
    headersTimeout: headersTimeoutMs,
    bodyTimeout: bodyTimeoutMs,
    connectTimeout: connectTimeoutMs,
    maxHeaderSize: MAX_HEADER_BYTES,
    allowH2: false,
  });

  async function check(origin: URL): Promise<void> {
    const { host, port } = hostAndPort(origin);
    try {
      await vet(host, port, { ...options, ended: closing.signal });
    } catch (error) {
      const unresolved = error instanceof OutboundError && error.failure.kind === 'unreachable';
      if (isIP(host) !== 0 || !unresolved) throw error;
    }
  }

  const checking: Dispatcher.DispatcherComposeInterceptor = dispatch => (request, handler) => {
    check(new URL(String(request.origin))).then(
      () => dispatch(request, handler),
      (error: Error) => handler.onResponseError?.(notStarted, error),
    );
    return true;
  };

  return {
    dispatcher: agent.compose(checking),
    async close() {
      closing.abort(new OutboundError('unreachable', 'the connection was closed early'));
      await agent.destroy();
    },
  };
}

/** The controller of a request that was rejected before it started: there is nothing to pause or abort. */
const notStarted: Dispatcher.DispatchController = {
  aborted: false,
  paused: false,
  reason: null,
  rawHeaders: null,
  rawTrailers: null,
  abort: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};

/** Alternates both families, starting with the first one's, so that an unroutable family costs half the tries (RFC 8305, 4). */
function alternated(addresses: readonly string[]): readonly string[] {
  const first = isIP(addresses[0] ?? '');
  const same = addresses.filter(address => isIP(address) === first);
  const others = addresses.filter(address => isIP(address) !== first);
  return Array.from({ length: addresses.length }, (_, index) => [same[index], others[index]])
    .flat()
    .filter(address => address !== undefined);
}

/** The socket, if it is connected to the address that was judged; otherwise destroys it and throws. */
function confirmed(socket: Socket, address: string): Socket {
  const remote = socket.remoteAddress;
  if (remote !== undefined && sameAddress(remote, address)) return socket;
  socket.destroy();
  throw remote === undefined
    ? new OutboundError('unreachable', 'the connection was reset')
    : new OutboundError('blocked', 'the connection led elsewhere');
}
