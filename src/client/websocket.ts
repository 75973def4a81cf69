import { createClient } from 'graphql-ws/client';
import type { Connection, Operation, Sink, Subscription, Transport } from './connection.ts';
import { errorOf, GatewayError, messageOf, refused, unreachable } from './errors.ts';

const PING_EVERY_MS = 10_000;
const PONG_WITHIN_MS = 5_000;

/** Close codes of graphql-transport-ws after which a retry is of no use. */
const FINAL_CODES = new Set([4400, 4406, 4409, 4429]);

/**
 * Close codes for missing or invalid credentials. Before the connection is acknowledged they reject it; later they mean
 * that the token has expired, and a new connection can send another one.
 */
const UNAUTHORIZED_CODES = new Set([4401, 4403]);

/**
 * Subscriptions over one WebSocket (graphql-transport-ws), opened with the first and closed with the last. The
 * headers go into `connection_init`, because browsers send none with a WebSocket. `openWithin` is the time until the
 * connection must be acknowledged, in milliseconds.
 */
export function createWebSocket(
  connection: Connection,
  implementation: unknown,
  openWithin: number,
): Transport {
  const { host } = connection.endpoint;
  const url = new URL(connection.endpoint);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  /** Ends each subscription in flight when the connection is given up. */
  const inFlight = new Set<(error: GatewayError) => void>();
  let abandoned = new AbortController();
  let open = false;
  let opened = 0;
  let opening: ReturnType<typeof setTimeout> | undefined;
  let pong: ReturnType<typeof setTimeout> | undefined;

  const client = createClient({
    url: url.href,
    webSocketImpl: withErrorListener(implementation),
    connectionParams: credentials,
    retryAttempts: 0,
    keepAlive: PING_EVERY_MS,
    // Each subscription reports it as its own error.
    onNonLazyError: () => {},
    on: {
      // A proxy may never answer the handshake, nor the gateway `connection_init`.
      connecting() {
        opening = setTimeout(() => lose('did not open in time'), openWithin);
      },
      connected() {
        clearTimeout(opening);
        open = true;
        opened += 1;
      },
      error: () => clearTimeout(opening),
      closed() {
        open = false;
        clearTimeout(opening);
        clearTimeout(pong);
      },
      // A missing pong is the only sign of a connection that was dropped silently.
      ping(received) {
        if (!received) pong = setTimeout(() => lose('stopped responding'), PONG_WITHIN_MS);
      },
      pong(received) {
        if (received) clearTimeout(pong);
      },
    },
  });

  async function credentials(): Promise<Record<string, string>> {
    const { signal } = abandoned;
    try {
      return { ...(await connection.headers(signal)) };
    } catch (error) {
      if (!signal.aborted) giveUp(failureOf(host, error, false));
      // The connection was given up, so this is never sent.
      return {};
    }
  }

  function lose(how: string): void {
    giveUp(unreachable(`The WebSocket to ${host} ${how}`));
  }

  function giveUp(error: GatewayError): void {
    for (const fail of inFlight) fail(error);
    abandon();
  }

  /** Terminates the connection at once; the next subscription opens another. */
  function abandon(): void {
    abandoned.abort();
    abandoned = new AbortController();
    client.terminate();
  }

  function subscribe<Result, Variables extends object>(
    operation: Operation<Result, Variables>,
    variables: Variables,
    sink: Sink<Result>,
  ): Subscription {
    const before = opened;
    const wasOpen = open;
    const reached = (): boolean => wasOpen || opened > before;
    const leave = (): boolean => inFlight.delete(end);
    function end(error?: GatewayError): void {
      if (leave()) sink.end(error);
    }
    inFlight.add(end);
    const unsubscribe = client.subscribe<Result>(
      {
        query: operation.text,
        operationName: operation.name,
        variables: Object.fromEntries(Object.entries(variables)),
      },
      {
        next({ data, errors }) {
          if (data == null) end(errorOf(errors));
          else sink.next(data);
        },
        error: reason => end(failureOf(host, reason, reached())),
        complete: () => end(),
      },
    );
    return {
      get reached() {
        return reached();
      },
      stop() {
        leave();
        unsubscribe();
        if (inFlight.size > 0) return;
        // An open socket sends its close frame first. It does not wait for a reply: the peer may be gone.
        if (open) queueMicrotask(abandonUnused);
        else abandon();
      },
    };
  }

  function abandonUnused(): void {
    if (inFlight.size === 0) abandon();
  }

  return { name: 'websocket', subscribe };
}

function failureOf(host: string, reason: unknown, acknowledged: boolean): GatewayError {
  if (reason instanceof GatewayError) return reason;
  if (Array.isArray(reason)) return errorOf(reason);
  if (typeof reason === 'object' && reason !== null && 'code' in reason && typeof reason.code === 'number') {
    return closedBy(host, { code: reason.code, reason: reasonIn(reason, reason.code), acknowledged }, reason);
  }
  return unreachable(`${host} cannot be reached by WebSocket: ${messageOf(reason)}`, reason);
}

interface Closing {
  readonly code: number;
  readonly reason: string;
  readonly acknowledged: boolean;
}

function closedBy(host: string, { code, reason, acknowledged }: Closing, cause: unknown): GatewayError {
  if (UNAUTHORIZED_CODES.has(code) && !acknowledged) {
    const message = `${host} requires a valid API key or token: it closed the WebSocket with ${reason}`;
    return refused(message, { status: code }, cause);
  }
  if (FINAL_CODES.has(code))
    return refused(`${host} closed the WebSocket: ${reason}`, { status: code }, cause);
  return unreachable(`The WebSocket to ${host} was closed: ${reason}`, cause, code);
}

/** `4403 Forbidden`. */
function reasonIn(closing: object, code: number): string {
  const reason = 'reason' in closing && typeof closing.reason === 'string' ? closing.reason : '';
  return `${code} ${reason}`.trim();
}

/**
 * The same class, with an error listener on each socket. graphql-ws removes its listeners when it gives up a connection,
 * and a socket of the `ws` package that is still opening then throws its error.
 */
function withErrorListener(implementation: unknown): unknown {
  if (typeof implementation !== 'function') return implementation;
  return new Proxy(implementation, {
    construct(target, given) {
      const socket: EventTarget = Reflect.construct(target, given);
      socket.addEventListener('error', () => {});
      return socket;
    },
  });
}
