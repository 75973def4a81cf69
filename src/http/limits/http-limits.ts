import { type Config, isLoopback } from '../../config.ts';
import type { DocumentLimits } from '../../operations/documents.ts';
import type { PersistedMode } from '../../operations/persisted.ts';
import type { Rate } from '../../rate.ts';
import type { SocketLimits } from '../graphql/socket-guard.ts';

/** The limits of the HTTP server. Those of images and jobs are elsewhere. */
export interface HttpLimits {
  readonly documents: DocumentLimits;
  readonly graphiql: boolean;
  readonly persisted: PersistedMode;
  readonly subscriptionsPerCaller: number;
  readonly sockets: SocketLimits & {
    readonly maxSockets: number;
    readonly perSocket: number;
    readonly initMs: number;
  };
  /** Null: no limit. */
  readonly rate: Rate | null;
  readonly headersMs: number;
  readonly requestMs: number;
  /** Other origins whose pages may use the gateway. */
  readonly origins: readonly string[];
}

/** Enough for a list of a hundred jobs with their prompts, which is about 1 MB. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
const RATE_BEYOND_LOOPBACK: Rate = { limit: 300, windowMs: 60_000 };

export function httpLimits(config: Config): HttpLimits {
  const rate = config.RATE_LIMIT ?? (isLoopback(config.HOST) ? 'off' : RATE_BEYOND_LOOPBACK);
  return {
    documents: {
      depth: config.GRAPHQL_MAX_DEPTH,
      aliases: config.GRAPHQL_MAX_ALIASES,
      directives: config.GRAPHQL_MAX_DIRECTIVES,
      tokens: config.GRAPHQL_MAX_TOKENS,
      cost: config.GRAPHQL_MAX_COST,
      introspection: config.GRAPHQL_INTROSPECTION,
    },
    graphiql: config.GRAPHIQL,
    persisted: config.PERSISTED_DOCUMENTS,
    subscriptionsPerCaller: config.SUBSCRIPTIONS_PER_CALLER,
    sockets: {
      maxSockets: config.MAX_SOCKETS,
      perSocket: config.OPERATIONS_PER_SOCKET,
      initMs: config.CONNECTION_INIT_TIMEOUT,
      lifetimeMs: config.SOCKET_LIFETIME,
      idleMs: config.SOCKET_IDLE,
      slowMs: config.SLOW_READER,
      bufferBytes: SOCKET_BUFFER_BYTES,
    },
    rate: rate === 'off' ? null : rate,
    headersMs: config.HEADERS_TIMEOUT,
    requestMs: config.REQUEST_TIMEOUT,
    origins: config.CORS_ORIGINS,
  };
}
