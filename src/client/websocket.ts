import { createClient } from 'graphql-ws/client';
import type { Connection } from './connection.ts';
import { errorOf, GatewayError, refused, unreachable, wordsOf } from './errors.ts';
import type { Operation } from './operation.ts';
import { attended } from './socket-class.ts';
import type { Sink, Subscription, Transport } from './transport.ts';

const PING_EVERY_MS = 10_000;
const PONG_WITHIN_MS = 5_000;

/** Close codes of graphql-transport-ws by which the gateway says that asking again is of no use. */
const FINAL_CODES = new Set([4400, 4406, 4409, 4429]);

/**
 * Close codes for who is not known. Before the connection is acknowledged they are the answer to what was sent with it;
 * later they say that it ran out, as a token does, and a new connection may bring another.
 */
const UNKNOWN_CODES = new Set([4401, 4403]);

/**
 * Subscriptions over one WebSocket (graphql-transport-ws), opened with the first of them and closed with the last. Who
 * asks is told in `connection_init`: browsers send no headers with a WebSocket. `openWithin`, in milliseconds, is how
 * long it may take to be acknowledged.
 */
export function createWebSocket(
  connection: Connection,
  implementation: unknown,
  openWithin: number,
): Transport {
  const { host } = connection.endpoint;
  const url = new URL(connection.endpoint);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  /** How each subscription under way is told that the connection was given up. */
  const underway = new Set<(error: GatewayError) => void>();
  let abandoned = new AbortController();
  let open = false;
  let opened = 0;
  let opening: ReturnType<typeof setTimeout> | undefined;
  let pong: ReturnType<typeof setTimeout> | undefined;

  const client = createClient({
    url: url.href,
    webSocketImpl: attended(implementation),
    connectionParams: introduce,
    retryAttempts: 0,
    keepAlive: PING_EVERY_MS,
    // It stands in the error of each subscription.
    onNonLazyError: () => {},
    on: {
      // Something between may take the handshake and never answer it, and so may a gateway the greeting.
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
      // A connection can die without a word: the pong that does not come is the only sign.
      ping(received) {
        if (!received) pong = setTimeout(() => lose('fell silent'), PONG_WITHIN_MS);
      },
      pong(received) {
        if (received) clearTimeout(pong);
      },
    },
  });

  async function introduce(): Promise<Record<string, string>> {
    const { signal } = abandoned;
    try {
      return { ...(await connection.headers(signal)) };
    } catch (error) {
      if (!signal.aborted) giveUp(failureOf(host, error, false));
      // Nothing is sent by a connection that was given up.
      return {};
    }
  }

  function lose(how: string): void {
    giveUp(unreachable(`The WebSocket to ${host} ${how}`));
  }

  function giveUp(error: GatewayError): void {
    for (const fail of underway) fail(error);
    abandon();
  }

  /** Whatever becomes of the connection, the next subscription opens another. */
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
    const leave = (): boolean => underway.delete(end);
    function end(error?: GatewayError): void {
      if (leave()) sink.end(error);
    }
    underway.add(end);
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
        if (underway.size > 0) return;
        // An open one says goodbye first, and nobody waits for the answer: the other side may be gone.
        if (open) queueMicrotask(abandonUnused);
        else abandon();
      },
    };
  }

  function abandonUnused(): void {
    if (underway.size === 0) abandon();
  }

  return { name: 'websocket', subscribe };
}

function failureOf(host: string, reason: unknown, acknowledged: boolean): GatewayError {
  if (reason instanceof GatewayError) return reason;
  if (Array.isArray(reason)) return errorOf(reason);
  if (typeof reason === 'object' && reason !== null && 'code' in reason && typeof reason.code === 'number') {
    return closedBy(host, { code: reason.code, words: wordsIn(reason, reason.code), acknowledged }, reason);
  }
  return unreachable(`${host} cannot be reached by WebSocket: ${wordsOf(reason)}`, reason);
}

interface Closing {
  readonly code: number;
  readonly words: string;
  readonly acknowledged: boolean;
}

function closedBy(host: string, { code, words, acknowledged }: Closing, cause: unknown): GatewayError {
  if (UNKNOWN_CODES.has(code) && !acknowledged) {
    const message = `${host} lets nobody in without a valid API key or token: it closed the WebSocket with ${words}`;
    return refused(message, { status: code }, cause);
  }
  if (FINAL_CODES.has(code))
    return refused(`${host} closed the WebSocket: ${words}`, { status: code }, cause);
  return unreachable(`The WebSocket to ${host} was closed: ${words}`, cause, code);
}

/** `4403 Forbidden`. */
function wordsIn(closing: object, code: number): string {
  const reason = 'reason' in closing && typeof closing.reason === 'string' ? closing.reason : '';
  return `${code} ${reason}`.trim();
}
