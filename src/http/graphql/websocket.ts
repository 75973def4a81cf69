import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ExecutionArgs, GraphQLError, getOperationAST } from 'graphql';
import {
  type Context,
  handleProtocols,
  makeServer,
  type OperationResult,
  type SubscribePayload,
} from 'graphql-ws';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Subscribed } from '../../graphql/shared/groups.ts';
import { createShareables } from '../../graphql/shared/shareable.ts';
import type { Log } from '../../log.ts';
import type { Known } from '../access/callers.ts';
import { rateKey, rateRefusal } from '../access/gate.ts';
import type { Identity } from '../access/identity.ts';
import { headerCredentials, payloadCredentials } from '../access/identity.ts';
import { mayConnect } from '../limits/cross-site.ts';
import type { HeldBytes } from '../limits/held-bytes.ts';
import type { PersistedDocuments } from '../limits/persisted.ts';
import type { RateLimiter } from '../limits/rate.ts';
import { tooManySubscriptions, type WatchQuota } from '../limits/subscriptions.ts';
import type { Peers } from '../peers.ts';
import { createFanout } from './fanout.ts';
import { startHeartbeat } from './heartbeat.ts';
import { createLiveResults } from './live-results.ts';
import { GRAPHQL_PATH } from './page.ts';
import { resultWithoutHttp, withoutHttp } from './socket-errors.ts';
import { speakOver } from './socket-protocol.ts';
import { type SocketLimits, watchSockets } from './socket-watch.ts';
import { type GraphQLServer, maskError, type ServerContext } from './yoga.ts';

/** A WebSocket message larger than this closes the socket with 1009: a data URI fits, a film does not. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/** Of the message that asks for a subscription, in characters: graphql-ws keeps it for as long as somebody watches. */
const LONGEST_SUBSCRIPTION = 64 * 1024;
const TOO_LONG = new GraphQLError(
  `A subscription takes at most ${LONGEST_SUBSCRIPTION} characters, with its variables`,
  { extensions: { code: 'DOCUMENT_LIMIT' } },
);
/** As graphql-ws does it. */
const KEEP_ALIVE_MS = 12_000;
/** 1001: an endpoint is going away (RFC 6455, 7.4.1). */
const GOING_AWAY = 1001;
/** How long a closed socket's other side has to say goodbye: who does not read does not answer either. */
const GOODBYE_MS = 2_000;

/** By a name, because the types of `ws` do not know `closeTimeout` yet. */
const SERVER_OPTIONS = {
  noServer: true,
  maxPayload: MAX_MESSAGE_BYTES,
  perMessageDeflate: false,
  closeTimeout: GOODBYE_MS,
  handleProtocols,
};

export interface SocketOptions {
  readonly server: Server;
  readonly yoga: GraphQLServer;
  readonly identity: Identity;
  readonly peers: Peers;
  /** Null: no limit. */
  readonly rate: RateLimiter | null;
  /** Counts what each caller watches. */
  readonly quota: WatchQuota;
  readonly persisted: PersistedDocuments;
  /** Bounds messages that are not whole yet. */
  readonly heldBytes: HeldBytes;
  /** Other origins whose pages may connect, besides our own. */
  readonly origins: readonly string[];
  /** Whether the name that was asked for (Host) is one of ours. */
  readonly isOurs: (host: string | undefined) => boolean;
  readonly limits: SocketLimits & {
    readonly maxSockets: number;
    /** Operations at once on one socket. */
    readonly perSocket: number;
  };
  readonly showDetails: boolean;
  readonly log: Log;
  readonly contextOf: (request: IncomingMessage, known: Known) => ServerContext;
}

/** The graphql-transport-ws protocol (graphql-ws' PROTOCOL.md) beside HTTP, on the same port and path. */
export interface GraphQLSockets {
  /** Closes every socket with 1001 and stops listening for new ones. */
  stop(): Promise<void>;
}

/**
 * Listens for upgrades. Whoever connects is asked by `connection_init`, else by the headers of the upgrade, who they
 * are; then each operation meets what it would meet over HTTP.
 */
export function serveGraphQLSockets(options: SocketOptions): GraphQLSockets {
  const { server, identity, peers, rate, quota, limits, log } = options;
  const sockets = new WebSocketServer(SERVER_OPTIONS);
  const watch = watchSockets(limits, options.heldBytes, log);
  const operations = new WeakMap<ExecutionArgs, Operation>();
  const fanout = createFanout();
  const live = createLiveResults(error => withoutHttp(maskError(error, log, options.showDetails)));
  const shareable = createShareables();
  const heartbeat = startHeartbeat(KEEP_ALIVE_MS);

  function operationOf(args: ExecutionArgs): Operation {
    const found = operations.get(args);
    if (found === undefined) throw new Error('An operation runs that was not prepared');
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
    const context = options.contextOf(request, { caller: found.caller, expiresAt: found.expiresAt });
    const key = rateKey(found.caller.id, peers.addressOf(request));
    extra.admitted = { context, rateKey: key };
    extra.request = null;
    watch.admit(socket, key, () => Object.keys(subscriptions).length);
    if (found.expiresAt !== null) watch.expire(socket, found.expiresAt);
    return true;
  }

  /** Why an operation is not even looked at; null: it is. */
  async function turnAway(
    { extra, subscriptions }: Connection,
    rateKey: string,
  ): Promise<GraphQLError | null> {
    if (watch.overfull(extra.socket)) return new GraphQLError('The connection is not read');
    // The one that asks is among them already.
    if (Object.keys(subscriptions).length > limits.perSocket) {
      return tooManySubscriptions(limits.perSocket, 'on one connection');
    }
    const answer = await rate?.take(rateKey);
    if (answer === undefined || answer.ok) return null;
    const { code, message } = rateRefusal(answer);
    return new GraphQLError(message, { extensions: { code } });
  }

  /** Watches what others may watch too: each socket is counted, the execution is shared. */
  async function subscribe(args: ExecutionArgs): Promise<Subscribed> {
    const { socket, transport, id, clientKey, graphql } = operationOf(args);
    const leave = clientKey === null ? () => undefined : quota.enter(clientKey);
    if (leave === null) return { errors: [tooManySubscriptions(quota.perCaller, 'for one caller')] };
    const { schema, document, operationName } = args;
    const watched = shareable(args, graphql);
    // graphql-ws keeps the arguments for as long as somebody watches: most share what others opened.
    args.contextValue = undefined;
    args.variableValues = undefined;
    operations.delete(args);
    if ('errors' in watched) {
      leave();
      return { errors: watched.errors };
    }
    const { key, variableValues } = watched;
    return fanout.join(key, { socket, transport, id, leave }, () =>
      live.open({ schema, document, operationName, variableValues, contextValue: graphql }),
    );
  }

  const protocol = makeServer<ConnectionParams, Guest>({
    // `watch` looks after it: a timer would be held for as long as its socket.
    connectionInitWaitTimeout: 0,
    onConnect: connect,
    // Each operation runs with the plugins that were set up for it when it was prepared.
    execute: args => operationOf(args).execute(args),
    subscribe,
    async onSubscribe(connection, id, payload) {
      // Read before anything is waited for: then it is of this message.
      const { admitted, socket, transport, asking } = connection.extra;
      if (admitted === null) throw new Error('A socket asks before it was let in');
      const refusal = await turnAway(connection, admitted.rateKey);
      if (refusal !== null) return [refusal];
      const prepared = await prepare(options, { ...admitted.context, clientKey: null }, payload);
      if ('faults' in prepared) return prepared.faults;
      const { args, executors } = prepared;
      if (asking > LONGEST_SUBSCRIPTION && isSubscription(args)) return [TOO_LONG];
      operations.set(args, { ...executors, ...admitted.context, socket, transport, id });
      // Nobody needs them any more, and graphql-ws keeps the message for as long as its operation is under way.
      Object.assign(payload, { query: '', variables: null, extensions: null });
      return args;
    },
    onNext({ extra }, _id, _payload, _args, { errors, data }) {
      watch.overfull(extra.socket);
      return errors === undefined ? undefined : resultWithoutHttp(errors, data);
    },
    onError: (_connection, _id, _payload, errors) => errors.map(error => withoutHttp(error).toJSON()),
  });

  /** Why a request may not become a socket, as a status line and headers; null: it may. */
  async function refusalOf(request: IncomingMessage): Promise<readonly [string, string?] | null> {
    const { origin, host } = request.headers;
    if ((request.url ?? '').split('?', 1)[0] !== GRAPHQL_PATH) return ['404 Not Found'];
    if (!options.isOurs(host) || !mayConnect(origin, host, options.origins)) return ['403 Forbidden'];
    const answer = await rate?.take(rateKey(null, peers.addressOf(request)));
    if (answer === undefined || answer.ok) return null;
    return ['429 Too Many Requests', `Retry-After: ${rateRefusal(answer).headers['retry-after']}\r\n`];
  }

  function mayAsk(guest: Guest, characters: number): boolean {
    guest.asking = characters;
    return !watch.received(guest.socket);
  }

  // What breaks on the way is told by the close that follows. A closure of `admit` would hold the request as long.
  function broke(error: Error): void {
    log.debug({ error: error.message }, 'a socket broke');
  }

  async function admit(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const refusal = await refusalOf(request);
    if (socket.destroyed) return;
    if (refusal !== null) return refuseUpgrade(socket, ...refusal);
    // Looked at last, so that those who were counted meanwhile are among them.
    if (sockets.clients.size >= limits.maxSockets) return refuseUpgrade(socket, '503 Service Unavailable');
    sockets.handleUpgrade(request, socket, head, client => {
      client.on('error', broke);
      heartbeat.add(client);
      watch.add(client, socket, rateKey(null, peers.addressOf(request)));
      speakOver({
        protocol,
        socket: client,
        extra: { socket: client, transport: socket, request, admitted: null, asking: 0 },
        mayAsk,
        log,
      });
    });
  }

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Until it is a WebSocket nobody else listens for its end, which is no fault.
    socket.on('error', destroy);
    admit(request, socket, head).catch(error => {
      log.error({ error: String(error) }, 'an upgrade failed');
      refuseUpgrade(socket, '500 Internal Server Error');
    });
  }
  server.on('upgrade', upgrade);

  return {
    async stop() {
      server.off('upgrade', upgrade);
      watch.stop();
      heartbeat.stop();
      for (const client of sockets.clients) client.close(GOING_AWAY, 'Going away');
      await new Promise<void>(resolve => sockets.close(() => resolve()));
    },
  };
}

type ConnectionParams = Record<string, unknown> | undefined;
type Connection = Context<ConnectionParams, Guest>;

/** Who is at the other end of a socket. It is held for as long as the socket is open. */
interface Guest {
  readonly socket: WebSocket;
  /** What the socket's frames are written to. */
  readonly transport: Duplex;
  /** The upgrade; null once it was let in, for then all is known that it tells. */
  request: IncomingMessage | null;
  /** Null until it was let in by `connection_init`. */
  admitted: { readonly context: ServerContext; readonly rateKey: string } | null;
  /** Characters of the message that is read now. */
  asking: number;
}

type Prepared = { args: ExecutionArgs; executors: Executors } | { faults: readonly GraphQLError[] };

/**
 * Parses and validates one operation with the very functions that HTTP uses, so that no guard is on one way only. A
 * document with a fault answers that fault; it must not throw, for that would close the socket and end every other
 * subscription on it.
 */
async function prepare(
  { yoga, persisted, log, showDetails }: SocketOptions,
  context: ServerContext,
  payload: SubscribePayload,
): Promise<Prepared> {
  try {
    const params = persisted.resolve(payload);
    const { schema, execute, contextFactory, parse, validate } = yoga.getEnveloped({
      ...context,
      params,
    });
    const document = parse(params.query ?? '');
    const faults = validate(schema, document);
    if (faults.length > 0) return { faults };
    const args: ExecutionArgs = {
      schema,
      document,
      operationName: params.operationName ?? null,
      variableValues: params.variables ?? null,
      contextValue: await contextFactory(),
    };
    return { args, executors: { execute } };
  } catch (error) {
    return { faults: [maskError(error, log, showDetails)] };
  }
}

function isSubscription({ document, operationName }: ExecutionArgs): boolean {
  return getOperationAST(document, operationName)?.operation === 'subscription';
}

function destroy(this: Duplex): void {
  this.destroy();
}

function refuseUpgrade(socket: Duplex, status: string, headers = ''): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n${headers}Content-Length: 0\r\n\r\n`);
}

interface Executors {
  execute(args: ExecutionArgs): OperationResult;
}

/** An operation that was let in, and where its results go. */
interface Operation extends Executors, ServerContext {
  readonly socket: WebSocket;
  readonly transport: Duplex;
  readonly id: string;
}
