import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ExecutionArgs, GraphQLError } from 'graphql';
import type { Context, OperationResult, SubscribePayload } from 'graphql-ws';
import { type Extra, useServer } from 'graphql-ws/use/ws';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Subscribed } from '../../graphql/shared/groups.ts';
import { createSubscriptionNames } from '../../graphql/shared/use-shared-subscriptions.ts';
import type { Log } from '../../log.ts';
import type { Known } from '../auth/callers.ts';
import { headerCredentials, payloadCredentials } from '../auth/credentials.ts';
import { rateKey, rateRefusal } from '../auth/gate.ts';
import type { Identity } from '../auth/identity.ts';
import { mayConnect } from '../limits/cross-site.ts';
import type { PersistedDocuments } from '../limits/persisted.ts';
import type { RateLimiter } from '../limits/rate.ts';
import { tooManySubscriptions, type WatchQuota } from '../limits/subscriptions.ts';
import { createFanout } from './fanout.ts';
import { GRAPHQL_PATH } from './page.ts';
import { type SocketLimits, watchSockets } from './socket-watch.ts';
import { type GraphQLServer, maskError, type ServerContext } from './yoga.ts';

/** A WebSocket message larger than this closes the socket with 1009: a data URI fits, a film does not. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
const KEEP_ALIVE_MS = 12_000;

export interface SocketOptions {
  readonly server: Server;
  readonly yoga: GraphQLServer;
  readonly identity: Identity;
  /** Null: no limit. */
  readonly rate: RateLimiter | null;
  /** Counts what each caller watches. */
  readonly quota: WatchQuota;
  readonly persisted: PersistedDocuments;
  /** Other origins whose pages may connect, besides our own. */
  readonly origins: readonly string[];
  /** Whether the name that was asked for (Host) is one of ours. */
  readonly isOurs: (host: string | undefined) => boolean;
  readonly limits: SocketLimits & {
    readonly maxSockets: number;
    /** Operations at once on one socket. */
    readonly perSocket: number;
    /** From the handshake to `connection_init`. */
    readonly initMs: number;
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
  const { server, identity, rate, quota, limits, log } = options;
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  });
  const watch = watchSockets(limits, log);
  const operations = new WeakMap<ExecutionArgs, Operation>();
  const fanout = createFanout();
  const nameOf = createSubscriptionNames();
  const callers = new WeakMap<WebSocket, Known>();

  function operationOf(args: ExecutionArgs): Operation {
    const found = operations.get(args);
    if (found === undefined) throw new Error('An operation runs that was not prepared');
    return found;
  }

  async function connect({ extra, connectionParams, subscriptions }: Connection): Promise<boolean> {
    const { socket, request } = extra;
    const credentials = payloadCredentials(connectionParams) ?? headerCredentials(request.headers);
    const found = await identity.identify(credentials);
    if (!found.ok) {
      if (found.reason === 'unavailable') socket.close(1013, 'Tokens cannot be checked now, try again later');
      return false;
    }
    callers.set(socket, { caller: found.caller, expiresAt: found.expiresAt });
    watch.add(socket, () => Object.keys(subscriptions).length);
    if (found.expiresAt !== null) watch.expire(socket, found.expiresAt);
    return true;
  }

  /** Why an operation is not even looked at; null: it is. */
  function turnAway({ extra, subscriptions }: Connection, known: Known): GraphQLError | null {
    const { socket, request } = extra;
    if (watch.overfull(socket)) return new GraphQLError('The connection is not read');
    // The one that asks is among them already.
    if (Object.keys(subscriptions).length > limits.perSocket) {
      return tooManySubscriptions(limits.perSocket, 'on one connection');
    }
    const answer = rate?.take(rateKey(known.caller.id, request.socket.remoteAddress));
    if (answer === undefined || answer.ok) return null;
    const { code, message } = rateRefusal(answer);
    return new GraphQLError(message, { extensions: { code } });
  }

  /** Watches what others may watch too: each socket is counted, the execution is shared. */
  async function subscribe(args: ExecutionArgs): Promise<Subscribed> {
    const operation = operationOf(args);
    const { socket, id, clientKey, graphql } = operation;
    const leave = clientKey === null ? () => undefined : quota.enter(clientKey);
    if (leave === null) return { errors: [tooManySubscriptions(quota.perCaller, 'for one caller')] };
    return fanout.join(nameOf(args, graphql), { socket, id, leave }, async () => operation.subscribe(args));
  }

  const protocol = useServer(
    {
      connectionInitWaitTimeout: limits.initMs,
      // Why a socket is closed is told without what went wrong inside.
      isProd: !options.showDetails,
      onConnect: connect,
      // Each operation runs with the plugins that were set up for it when it was prepared.
      execute: args => operationOf(args).execute(args),
      subscribe,
      async onSubscribe(connection, id, payload) {
        const known = callers.get(connection.extra.socket);
        if (known === undefined) throw new Error('A socket asks before it was let in');
        const refusal = turnAway(connection, known);
        if (refusal !== null) return [refusal];
        const context = options.contextOf(connection.extra.request, known);
        const prepared = await prepare(options, { ...context, clientKey: null }, payload);
        if ('faults' in prepared) return prepared.faults;
        const { socket } = connection.extra;
        operations.set(prepared.args, { ...prepared.executors, ...context, socket, id });
        return prepared.args;
      },
      onNext({ extra }) {
        watch.overfull(extra.socket);
      },
    },
    sockets,
    KEEP_ALIVE_MS,
  );

  /** Why a request may not become a socket, as a status line and headers; null: it may. */
  function refusalOf(request: IncomingMessage): readonly [string, string?] | null {
    const { origin, host } = request.headers;
    if ((request.url ?? '').split('?', 1)[0] !== GRAPHQL_PATH) return ['404 Not Found'];
    if (!options.isOurs(host) || !mayConnect(origin, host, options.origins)) return ['403 Forbidden'];
    if (sockets.clients.size >= limits.maxSockets) return ['503 Service Unavailable'];
    const answer = rate?.take(rateKey(null, request.socket.remoteAddress));
    if (answer === undefined || answer.ok) return null;
    return ['429 Too Many Requests', `Retry-After: ${rateRefusal(answer).headers['retry-after']}\r\n`];
  }

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const refusal = refusalOf(request);
    if (refusal !== null) {
      refuseUpgrade(socket, ...refusal);
      return;
    }
    sockets.handleUpgrade(request, socket, head, client => {
      // What breaks on the way is told by the close that follows.
      client.on('error', error => log.debug({ error: error.message }, 'a socket broke'));
      forgiveLateSends(client);
      sockets.emit('connection', client, request);
    });
  }
  server.on('upgrade', upgrade);

  return {
    async stop() {
      server.off('upgrade', upgrade);
      watch.stop();
      await protocol.dispose();
      sockets.close();
    },
  };
}

type Connection = Context<Record<string, unknown> | undefined, Extra>;

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
    const { schema, execute, subscribe, contextFactory, parse, validate } = yoga.getEnveloped({
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
    return { args, executors: { execute, subscribe } };
  } catch (error) {
    return { faults: [maskError(error, log, showDetails)] };
  }
}

/**
 * What was on its way when a socket went is nobody's fault: its close tells. graphql-ws would print it as an error of
 * this process.
 */
function forgiveLateSends(client: WebSocket): void {
  const send = client.send.bind(client);
  client.send = (data: Parameters<typeof send>[0], ...rest: unknown[]) => {
    const done = rest.at(-1);
    send(data, error => {
      if (typeof done === 'function') done(client.readyState === client.OPEN ? error : undefined);
    });
  };
}

function refuseUpgrade(socket: Duplex, status: string, headers = ''): void {
  socket.on('error', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n${headers}Content-Length: 0\r\n\r\n`);
}

interface Executors {
  execute(args: ExecutionArgs): OperationResult;
  subscribe(args: ExecutionArgs): Subscribed | Promise<Subscribed>;
}

/** An operation that was let in, and where its results go. */
interface Operation extends Executors, ServerContext {
  readonly socket: WebSocket;
  readonly id: string;
}
