import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ExecutionArgs, GraphQLError } from 'graphql';
import type { OperationResult, SubscribePayload } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';
import { GRAPHQL_PATH, type GraphQLServer, type ServerContext } from './yoga.ts';

/** A WebSocket message larger than this closes the socket with 1009: a data URI fits, a film does not. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
const CONNECTION_INIT_MS = 10_000;
const KEEP_ALIVE_MS = 12_000;

/** The graphql-transport-ws protocol (graphql-ws' PROTOCOL.md) beside HTTP, on the same port and path. */
export interface GraphQLSockets {
  /** Closes every socket with 1001 and stops listening for new ones. */
  stop(): Promise<void>;
}

/** Listens for upgrades of `server`. `contextOf` says who asks. */
export function serveGraphQLSockets(
  server: Server,
  yoga: GraphQLServer,
  contextOf: (request: IncomingMessage) => ServerContext,
): GraphQLSockets {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
  });

  const executors = new WeakMap<ExecutionArgs, Executors>();

  function executorsOf(args: ExecutionArgs): Executors {
    const found = executors.get(args);
    if (found === undefined) throw new Error('An operation runs that was not prepared');
    return found;
  }

  const protocol = useServer(
    {
      connectionInitWaitTimeout: CONNECTION_INIT_MS,
      // Each operation runs with the plugins that were set up for it when it was prepared.
      execute: args => executorsOf(args).execute(args),
      subscribe: args => executorsOf(args).subscribe(args),
      onSubscribe: (context, _id, payload) =>
        prepare(yoga, contextOf(context.extra.request), payload, (args, set) => executors.set(args, set)),
    },
    sockets,
    KEEP_ALIVE_MS,
  );

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const path = (request.url ?? '').split('?', 1)[0];
    if (path !== GRAPHQL_PATH) {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, client => sockets.emit('connection', client, request));
  }
  server.on('upgrade', upgrade);

  return {
    async stop() {
      server.off('upgrade', upgrade);
      await protocol.dispose();
      sockets.close();
    },
  };
}

type Prepared = ExecutionArgs | readonly GraphQLError[];

/**
 * Parses and validates one operation with the very functions that HTTP uses, so that no guard is on one way only. A
 * document with a fault answers that fault; it must not throw, for that would close the socket and end every other
 * subscription on it.
 */
async function prepare(
  yoga: GraphQLServer,
  context: ServerContext,
  payload: SubscribePayload,
  remember: (args: ExecutionArgs, executors: Executors) => void,
): Promise<Prepared> {
  const { schema, execute, subscribe, contextFactory, parse, validate } = yoga.getEnveloped({
    ...context,
    params: payload,
  });
  try {
    const document = parse(payload.query);
    const faults = validate(schema, document);
    if (faults.length > 0) return faults;
    const args: ExecutionArgs = {
      schema,
      document,
      operationName: payload.operationName ?? null,
      variableValues: payload.variables ?? null,
      contextValue: await contextFactory(),
    };
    remember(args, { execute, subscribe });
    return args;
  } catch (error) {
    return [error instanceof GraphQLError ? error : new GraphQLError('Unexpected error.')];
  }
}

interface Executors {
  execute(args: ExecutionArgs): OperationResult;
  subscribe(args: ExecutionArgs): OperationResult;
}
