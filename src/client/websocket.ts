import { createClient } from 'graphql-ws/client';
import type { Connection } from './connection.ts';
import { errorOf, GatewayError } from './errors.ts';
import type { Operation } from './operation.ts';
import type { Sink, Subscription, Transport } from './transport.ts';

const ACKNOWLEDGE_MS = 5_000;
const PING_EVERY_MS = 10_000;
const PONG_WITHIN_MS = 5_000;

/** Close codes of graphql-transport-ws by which the gateway says that asking again is of no use. */
const FINAL_CODES = new Set([4400, 4401, 4403, 4406, 4409, 4429]);

/**
 * Subscriptions over one WebSocket (graphql-transport-ws), opened with the first of them and closed with the last. Who
 * asks is told in `connection_init`: browsers send no headers with a WebSocket.
 */
export function createWebSocket(connection: Connection, implementation: unknown): Transport {
  const url = new URL(connection.endpoint);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  let open = false;
  let opened = 0;
  let pong: ReturnType<typeof setTimeout> | undefined;

  const client = createClient({
    url: url.href,
    webSocketImpl: implementation,
    connectionParams: async () => ({ ...(await connection.headers()) }),
    retryAttempts: 0,
    connectionAckWaitTimeout: ACKNOWLEDGE_MS,
    keepAlive: PING_EVERY_MS,
    // It stands in the error of each subscription.
    onNonLazyError: () => {},
    on: {
      connected() {
        open = true;
        opened += 1;
      },
      closed() {
        open = false;
        clearTimeout(pong);
      },
      // A connection can die without a word: the pong that does not come is the only sign.
      ping(received) {
        if (!received) pong = setTimeout(() => client.terminate(), PONG_WITHIN_MS);
      },
      pong(received) {
        if (received) clearTimeout(pong);
      },
    },
  });

  function subscribe<Result, Variables extends object>(
    operation: Operation<Result, Variables>,
    variables: Variables,
    sink: Sink<Result>,
  ): Subscription {
    const before = opened;
    const wasOpen = open;
    let stopped = false;
    const leave = client.subscribe<Result>(
      {
        query: operation.text,
        operationName: operation.name,
        variables: Object.fromEntries(Object.entries(variables)),
      },
      {
        next({ data, errors }) {
          if (data == null) sink.end(errorOf(errors));
          else sink.next(data);
        },
        error(reason) {
          if (!stopped) sink.end(failureOf(connection.endpoint, reason));
        },
        complete() {
          if (!stopped) sink.end();
        },
      },
    );
    return {
      get reached() {
        return wasOpen || opened > before;
      },
      stop() {
        stopped = true;
        leave();
      },
    };
  }

  return { name: 'websocket', subscribe, close: async () => client.dispose() };
}

function failureOf(endpoint: URL, reason: unknown): GatewayError {
  if (Array.isArray(reason)) return errorOf(reason);
  if (typeof reason === 'object' && reason !== null && 'code' in reason && typeof reason.code === 'number') {
    const words = 'reason' in reason && typeof reason.reason === 'string' ? reason.reason : '';
    const message = words === '' ? `The socket to ${endpoint.host} was closed with ${reason.code}` : words;
    const details = { status: reason.code, cause: reason };
    return FINAL_CODES.has(reason.code)
      ? new GatewayError('refused', message, details)
      : new GatewayError('unreachable', message, details);
  }
  const words = reason instanceof Error ? reason.message : 'the socket broke';
  return new GatewayError('unreachable', `${endpoint.host} cannot be reached by WebSocket: ${words}`, {
    cause: reason,
  });
}
