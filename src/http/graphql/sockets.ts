import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ExecutionArgs, GraphQLError, type GraphQLSchema } from 'graphql';
import { type Context, handleProtocols, makeServer, type SubscribePayload } from 'graphql-ws';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Log } from '../../log.ts';
import { formatResult, withoutHttp } from '../../operations/errors.ts';
import { isRejected, type Operation, type Operations, type Source } from '../../operations/operations.ts';
import { tooManySubscriptions } from '../../operations/quota.ts';
import {
  clientKeyOf,
  headerCredentials,
  type Identity,
  type Known,
  payloadCredentials,
} from '../access/identity.ts';
import { rateRejection } from '../access/rejections.ts';
import type { CheckOrigin } from '../limits/foreign-origins.ts';
import type { HeldBytes } from '../limits/held-bytes.ts';
import type { RateLimiter } from '../limits/rate.ts';
import type { Peers } from '../peers.ts';
import { requestIdOf } from '../request-log.ts';
import { type SocketTarget, socketSubscriber } from './fanout.ts';
import { GRAPHQL_PATH } from './graphiql.ts';
import { guardSockets, type SocketLimits, startHeartbeat } from './socket-guard.ts';
import { speakOver } from './socket-protocol.ts';

/** A larger WebSocket message closes the socket with 1009: a data URI fits, a video does not. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/** Characters of a message that starts a subscription: graphql-ws keeps it for as long as the subscription runs. */
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
  handleProtocols,
};

type Client = Pick<Source, 'context' | 'clientKey'>;

export interface SocketOptions {
  readonly server: Server;
  readonly schema: GraphQLSchema;
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
  readonly log: Log;
  readonly clientOf: (request: IncomingMessage, known: Known, requestId: string) => Client;
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
  const { server, schema, operations, identity, peers, rate, limits, log } = options;
  const sockets = new WebSocketServer(SERVER_OPTIONS);
  const guard = guardSockets(limits, options.heldBytes, log);
  const heartbeat = startHeartbeat(KEEP_ALIVE_MS);
  // graphql-ws passes only its arguments on.
  const started = new WeakMap<ExecutionArgs, Started>();

  function take(args: ExecutionArgs): Started {
    const found = started.get(args);
    if (found === undefined) throw new Error('An operation was executed before it was prepared');
    started.delete(args);
    return found;
  }

  async function connect({ extra, connectionParams, subscriptions }: Connection): Promise<boolean> {
    const { socket, request } = extra;
    if (request === null) return false;
    const credentials = payloadCredentials(connectionParams) ?? headerCredentials(request.headers);
    const found = await identity.identify(credentials);
    if (!found.ok) {
      if (found.reason === 'unavailable')
        socket.close(1013, 'Keys and tokens cannot be checked now, try again later');
      return false;
    }
    const known = { caller: found.caller, expiresAt: found.expiresAt };
    const client = withTraceparent(options.clientOf(request, known, requestIdOf(request)), connectionParams);
    const key = clientKeyOf(found.caller.id, peers.addressOf(request));
    extra.admitted = { source: { ...client, transport: 'websocket' }, rateKey: key };
    extra.request = null;
    // graphql-ws has the same object in use until the socket closes.
    guard.admit(socket, key, subscriptions);
    if (found.expiresAt !== null) guard.expire(socket, found.expiresAt);
    return true;
  }

  /** Limits that concern the socket, not the document; null when the operation is within them. */
  async function limitError(
    { extra, subscriptions }: Connection,
    rateKey: string,
  ): Promise<GraphQLError | null> {
    if (guard.overfull(extra.socket)) return new GraphQLError('The connection is not read');
    // Includes this operation.
    if (Object.keys(subscriptions).length > limits.perSocket) {
      return tooManySubscriptions(limits.perSocket, 'on one connection');
    }
    const answer = await rate?.take(rateKey);
    if (answer === undefined || answer.ok) return null;
    const { code, message } = rateRejection(answer);
    return new GraphQLError(message, { extensions: { code } });
  }

  /** What graphql-ws executes, or the errors that it sends instead. */
  async function prepare(
    connection: Connection,
    id: string,
    payload: SubscribePayload,
  ): Promise<ExecutionArgs | readonly GraphQLError[]> {
    // Read before anything is awaited, while they belong to this message.
    const { admitted, socket, transport, characters } = connection.extra;
    if (admitted === null) throw new Error('A socket sent an operation before connection_init');
    const { source } = admitted;
    const reject = (kind: Operation['kind'] | null, name: string | null, errors: readonly GraphQLError[]) => {
      operations.reject({ kind, name, errors }, source);
      return errors;
    };
    const error = await limitError(connection, admitted.rateKey);
    if (error !== null) return reject(null, payload.operationName ?? null, [error]);
    const operation = operations.prepare(payload);
    if (isRejected(operation)) return reject(operation.kind, operation.name, operation.errors);
    const { kind, name, known, operationName } = operation;
    if (kind === 'subscription' && characters > LONGEST_SUBSCRIPTION) return reject(kind, name, [TOO_LONG]);
    const args: ExecutionArgs = { schema, document: known.document, operationName, contextValue: null };
    // A subscription makes no jobs.
    const own = kind === 'subscription' ? source : withTraceparent(source, payload.extensions);
    started.set(args, { operation, source: own, target: { socket, transport, id } });
    // graphql-ws keeps the message for as long as its operation is in flight; nothing in it is needed any more.
    Object.assign(payload, { query: '', variables: null, extensions: null });
    return args;
  }

  const protocol = makeServer<ConnectionParams, SocketState>({
    // `guard` closes such sockets: a timer would be held for each.
    connectionInitWaitTimeout: 0,
    onConnect: connect,
    onSubscribe: prepare,
    execute(args) {
      const { operation, source } = take(args);
      return operations.run(operation, source);
    },
    subscribe(args) {
      const { operation, source, target } = take(args);
      return operations.live(operation, source, leave => socketSubscriber(target, leave));
    },
    onNext({ extra }, _id, _payload, _args, result) {
      guard.overfull(extra.socket);
      return result.errors === undefined ? undefined : formatResult(result);
    },
    onError: (_connection, _id, _payload, errors) => errors.map(error => withoutHttp(error).toJSON()),
  });

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

  function accept(state: SocketState, characters: number): boolean {
    state.characters = characters;
    return !guard.received(state.socket);
  }

  // The close that follows is handled. Not a closure in `admit`, which would hold the request as long as the socket.
  function logError(error: Error): void {
    log.debug({ err: error }, 'a socket failed');
  }

  async function admit(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const rejection = await upgradeRejection(request);
    if (socket.destroyed) return;
    if (rejection !== null) return rejectUpgrade(socket, ...rejection);
    // Checked last, so that sockets that were accepted meanwhile count.
    if (sockets.clients.size >= limits.maxSockets) return rejectUpgrade(socket, '503 Service Unavailable');
    sockets.handleUpgrade(request, socket, head, client => {
      client.on('error', logError);
      heartbeat.add(client);
      guard.add(client, socket, clientKeyOf(null, peers.addressOf(request)));
      speakOver({
        protocol,
        socket: client,
        extra: { socket: client, transport: socket, request, admitted: null, characters: 0 },
        accept,
        log,
      });
    });
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
      heartbeat.stop();
      for (const client of sockets.clients) client.close(GOING_AWAY, 'Going away');
      await new Promise<void>(resolve => sockets.close(() => resolve()));
    },
  };
}

/** A browser cannot set headers of a socket: its `traceparent` may be in `connection_init` or in an operation's extensions. */
function withTraceparent<T extends Client>(
  client: T,
  from: Readonly<Record<string, unknown>> | null | undefined,
): T {
  const traceparent = from?.traceparent;
  return traceparent === undefined ? client : { ...client, context: { ...client.context, traceparent } };
}

type ConnectionParams = Record<string, unknown> | undefined;
type Connection = Context<ConnectionParams, SocketState>;

/** What is kept for each socket as long as it is open. */
interface SocketState {
  readonly socket: WebSocket;
  /** The connection below it. */
  readonly transport: Duplex;
  /** The upgrade's request; null once the caller is identified, when everything is known that it says. */
  request: IncomingMessage | null;
  /** Null before `connection_init`. */
  admitted: { readonly source: Source; readonly rateKey: string } | null;
  /** Length of the message that is being handled. */
  characters: number;
}

/** An operation between graphql-ws' `onSubscribe` and its execution. */
interface Started {
  readonly operation: Operation;
  readonly source: Source;
  readonly target: SocketTarget;
}

function destroy(this: Duplex): void {
  this.destroy();
}

function rejectUpgrade(socket: Duplex, status: string, headers = ''): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n${headers}Content-Length: 0\r\n\r\n`);
}
