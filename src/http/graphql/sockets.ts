import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ExecutionResult, GraphQLError } from 'graphql';
import { CloseCode, GRAPHQL_TRANSPORT_WS_PROTOCOL, handleProtocols, type SubscribePayload } from 'graphql-ws';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import type { GraphQLContext } from '../../graphql/context.ts';
import type { Log } from '../../log.ts';
import { withoutHttp } from '../../operations/errors.ts';
import { sharedResult } from '../../operations/live.ts';
import { isRejected, type Operations, type Source } from '../../operations/operations.ts';
import { tooManySubscriptions } from '../../operations/quota.ts';
import {
  clientKeyOf,
  headerCredentials,
  type Identity,
  type Known,
  payloadCredentials,
} from '../access/identity.ts';
import { rateRejection } from '../access/rejections.ts';
import type { Client } from '../client.ts';
import type { CheckOrigin } from '../limits/foreign-origins.ts';
import type { HeldBytes } from '../limits/held-bytes.ts';
import type { RateLimiter } from '../limits/rate.ts';
import type { Peers } from '../peers.ts';
import { requestIdOf } from '../request-log.ts';
import type { SocketOperation } from './fanout.ts';
import { GRAPHQL_PATH } from './graphiql.ts';
import { guardSockets, HEARTBEAT_GROUPS, type SocketLimits, startHeartbeat } from './socket-guard.ts';
import { createProtocol } from './socket-protocol.ts';
import { Session } from './socket-session.ts';

/** A larger WebSocket message closes the socket with 1009: a data URI fits, a video does not. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/** Characters of a message that starts a subscription, whose variables are kept for as long as it runs. */
const LONGEST_SUBSCRIPTION = 64 * 1024;
const TOO_LONG = new GraphQLError(
  `A subscription takes at most ${LONGEST_SUBSCRIPTION} characters, with its variables`,
  { extensions: { code: 'DOCUMENT_LIMIT' } },
);
/** The default of graphql-ws' own adapters. */
const KEEP_ALIVE_MS = 12_000;
/** 1001: an endpoint is going away (RFC 6455, 7.4.1). */
const GOING_AWAY = 1001;
/** How long a client may take to answer a close: one that does not read does not answer either. */
const CLOSE_TIMEOUT_MS = 2_000;

/** A constant, because the types of `ws` do not know `closeTimeout` yet. */
const SERVER_OPTIONS = {
  noServer: true,
  maxPayload: MAX_MESSAGE_BYTES,
  perMessageDeflate: false,
  closeTimeout: CLOSE_TIMEOUT_MS,
  // It would keep a set and a closure for each socket; the sessions are such a set.
  clientTracking: false,
  handleProtocols,
};

export interface SocketOptions {
  readonly server: Server;
  readonly operations: Operations;
  readonly identity: Identity;
  readonly peers: Peers;
  /** Null: no limit. */
  readonly rate: RateLimiter | null;
  /** Limits the memory of messages that are still arriving. */
  readonly heldBytes: HeldBytes;
  /** Whether pages of an origin may connect. */
  readonly checkOrigin: CheckOrigin;
  /** Whether the `Host` header names this gateway. */
  readonly isOwnHost: (host: string | undefined) => boolean;
  readonly limits: SocketLimits & {
    readonly maxSockets: number;
    /** Concurrent operations per socket. */
    readonly perSocket: number;
  };
  /** Milliseconds after which a socket is pinged again. If unset, those of graphql-ws. */
  readonly keepAliveMs?: number;
  readonly log: Log;
  readonly clientOf: (request: IncomingMessage, known: Known, requestId: string) => Client;
  readonly contextOf: (client: Client) => GraphQLContext;
}

/** The graphql-transport-ws protocol (graphql-ws' PROTOCOL.md), on the port and path of GraphQL over HTTP. */
export interface GraphQLSockets {
  /** Closes every socket with 1001 and stops listening for new ones. */
  stop(): Promise<void>;
}

/**
 * Listens for upgrades. A socket's caller is identified by `connection_init`, else by the headers of the upgrade; each
 * operation then meets the checks that it would meet over HTTP.
 */
export function serveGraphQLSockets(options: SocketOptions): GraphQLSockets {
  const { server, operations, identity, peers, rate, limits, keepAliveMs = KEEP_ALIVE_MS, log } = options;
  const sockets = new WebSocketServer(SERVER_OPTIONS);
  const sessions = new Map<WebSocket, Session>();
  const guard = guardSockets(() => sessions.values(), limits, options.heldBytes, log);
  const stopHeartbeat = startHeartbeat(() => sessions.values(), keepAliveMs);
  const protocol = createProtocol({ accept: session => !guard.received(session), connect, run, log });
  let upgraded = 0;
  let allClosed = (): void => undefined;

  async function connect(
    session: Session,
    payload: Readonly<Record<string, unknown>> | undefined,
  ): Promise<boolean> {
    const { socket, request } = session;
    if (request === null) return false;
    const credentials = payloadCredentials(payload) ?? headerCredentials(request.headers);
    const found = await identity.identify(credentials);
    if (!found.ok) {
      if (found.reason === 'unavailable')
        socket.close(1013, 'Keys and tokens cannot be checked now, try again later');
      return false;
    }
    const known = { caller: found.caller, expiresAt: found.expiresAt };
    const client = withTraceparent(options.clientOf(request, known, requestIdOf(request)), payload);
    session.client = client;
    session.key = client.key;
    session.expiresAt = found.expiresAt;
    session.request = null;
    guard.admit(session);
    return true;
  }

  /** Limits that concern the socket, not the document; null when the operation is within them. */
  async function limitError(session: Session, { key }: Client): Promise<GraphQLError | null> {
    if (guard.overfull(session)) return new GraphQLError('The connection is not read');
    // Includes this operation.
    if (session.operations > limits.perSocket)
      return tooManySubscriptions(limits.perSocket, 'on one connection');
    const answer = await rate?.take(key);
    if (answer === undefined || answer.ok) return null;
    const { code, message } = rateRejection(answer);
    return new GraphQLError(message, { extensions: { code } });
  }

  async function run(
    operation: SocketOperation,
    session: Session,
    payload: SubscribePayload,
    characters: number,
  ): Promise<void> {
    const { client } = session;
    if (client === null) throw new Error('A socket sent an operation before connection_init');
    const source = sourceOf(client);
    const error = await limitError(session, client);
    const prepared =
      error === null
        ? operations.prepare(payload)
        : { kind: null, name: payload.operationName ?? null, errors: [error] };
    const tooLong =
      !isRejected(prepared) && prepared.kind === 'subscription' && characters > LONGEST_SUBSCRIPTION;
    const accepted = tooLong ? { kind: prepared.kind, name: prepared.name, errors: [TOO_LONG] } : prepared;
    if (isRejected(accepted)) {
      operations.reject(accepted, source);
      return operation.fail(accepted.errors.map(rejection => withoutHttp(rejection).toJSON()));
    }
    if (accepted.kind === 'subscription') {
      const live = await operations.live(accepted, source, seat => operation.take(seat));
      if ('result' in live) answer(session, operation, live.result);
      return;
    }
    // A subscription makes no jobs; these may.
    const own = sourceOf(withTraceparent(client, payload.extensions));
    answer(session, operation, await operations.run(accepted, own));
  }

  function answer(session: Session, operation: SocketOperation, result: ExecutionResult): void {
    guard.overfull(session);
    operation.next(sharedResult(result));
    operation.complete();
  }

  function sourceOf(client: Client): Source {
    return { transport: 'websocket', clientKey: client.key, context: options.contextOf(client) };
  }

  /** Why a request may not become a socket, as a status line and headers; null when it may. */
  async function upgradeRejection(request: IncomingMessage): Promise<readonly [string, string?] | null> {
    const { origin, host } = request.headers;
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== GRAPHQL_PATH && path !== `${GRAPHQL_PATH}/`) return ['404 Not Found'];
    if (!options.isOwnHost(host) || !options.checkOrigin(origin, host)) return ['403 Forbidden'];
    const answer = await rate?.take(clientKeyOf(null, peers.addressOf(request)));
    if (answer === undefined || answer.ok) return null;
    return ['429 Too Many Requests', `Retry-After: ${rateRejection(answer).headers['retry-after']}\r\n`];
  }

  // The listeners are shared by all sockets, which they get as `this`: a closure for each would be held for each, and one
  // in `admit` would hold the request.
  function receive(this: WebSocket, data: RawData): void {
    const session = sessions.get(this);
    if (session !== undefined) protocol.receive(session, data);
  }

  function answered(this: WebSocket): void {
    const session = sessions.get(this);
    if (session !== undefined) session.unanswered = false;
  }

  // The close that follows is handled.
  function logError(error: Error): void {
    log.debug({ err: error }, 'a socket failed');
  }

  function closed(this: WebSocket): void {
    const session = sessions.get(this);
    sessions.delete(this);
    if (session !== undefined) {
      guard.remove(session);
      session.leaveAll();
    }
    if (sessions.size === 0) allClosed();
  }

  function open(client: WebSocket, transport: Duplex, request: IncomingMessage): void {
    transport.off('error', destroy);
    upgraded += 1;
    const session = new Session(client, transport, request, {
      key: clientKeyOf(null, peers.addressOf(request)),
      at: guard.now(),
      group: upgraded % HEARTBEAT_GROUPS,
    });
    sessions.set(client, session);
    client.on('message', receive);
    client.on('close', closed);
    client.on('error', logError);
    client.on('pong', answered);
    guard.add(session);
    if (client.protocol !== GRAPHQL_TRANSPORT_WS_PROTOCOL)
      client.close(CloseCode.SubprotocolNotAcceptable, 'Subprotocol not acceptable');
  }

  async function admit(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const rejection = await upgradeRejection(request);
    if (socket.destroyed) return;
    if (rejection !== null) return rejectUpgrade(socket, ...rejection);
    // Checked last, so that sockets that were accepted meanwhile count.
    if (sessions.size >= limits.maxSockets) return rejectUpgrade(socket, '503 Service Unavailable');
    sockets.handleUpgrade(request, socket, head, client => open(client, socket, request));
  }

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Until it is a WebSocket nothing else handles its errors.
    socket.on('error', destroy);
    admit(request, socket, head).catch(error => {
      log.error({ err: error }, 'an upgrade failed');
      rejectUpgrade(socket, '500 Internal Server Error');
    });
  }
  server.on('upgrade', upgrade);

  return {
    async stop() {
      server.off('upgrade', upgrade);
      guard.stop();
      stopHeartbeat();
      // Upgrades that are still checked are rejected from now on.
      sockets.close();
      const all = new Promise<void>(resolve => {
        allClosed = resolve;
      });
      for (const client of sessions.keys()) client.close(GOING_AWAY, 'Going away');
      if (sessions.size > 0) await all;
    },
  };
}

/** A browser cannot set headers of a socket: its `traceparent` may be in `connection_init` or in an operation's extensions. */
function withTraceparent(client: Client, from: Readonly<Record<string, unknown>> | null | undefined): Client {
  const traceparent = from?.traceparent;
  return traceparent === undefined ? client : { ...client, traceparent };
}

function destroy(this: Duplex): void {
  this.destroy();
}

function rejectUpgrade(socket: Duplex, status: string, headers = ''): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n${headers}Content-Length: 0\r\n\r\n`);
}
