import type { Config } from './config.ts';
import { isLoopback } from './http/peers.ts';
import type { HttpLimits } from './http/server.ts';
import type { Rate } from './rate.ts';

/** Enough for a list of a hundred jobs with their prompts, which is about 1 MB. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
const RATE_BEYOND_LOOPBACK: Rate = { limit: 300, windowMs: 60_000 };

/** The HTTP server's limits from the settings. Beyond loopback there is a rate limit by default. */
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
