import { randomUUID } from 'node:crypto';
import type { FastifyError, FastifyPluginAsync, FastifyRequest } from 'fastify';
import { NO_IMAGES } from '../../images/inline.ts';
import { onceClosed } from '../closed.ts';
import { sendError } from '../errors.ts';
import { isOfForeignPage } from '../limits/cross-site.ts';
import type { Body } from '../rest/body.ts';
import { errorHandler } from '../rest/errors.ts';
import { addJsonParser } from '../rest/json-body.ts';
import { createCalls } from './calls.ts';
import type { McpOptions } from './context.ts';
import { editsOf, imagesInCall } from './edits.ts';

/** How often the system probes whether the peer of a silent connection is still there. */
const PROBE_MS = 30_000;
/** A body that is not JSON (https://www.jsonrpc.org/specification#error_object). */
const PARSE_ERROR = -32_700;

const SESSION = 'mcp-session-id';

/**
 * POST `/mcp`: the Model Context Protocol over streamable HTTP. Every gateway answers any request, since nothing is kept
 * between requests; the session id that clients of 2025 get only tells their calls apart for `notifications/cancelled`.
 */
export function mcpRoutes(options: McpOptions): FastifyPluginAsync {
  return async app => {
    const calls = createCalls();
    const handleError = errorHandler(options.maxBodyBytes, options.log);
    app.setErrorHandler<FastifyError>(handleError);
    addJsonParser(app, imagesInCall);
    app.addContentTypeParser('*', (_request, _payload, done) => done(null));
    const route = { config: { lifetime: 'stream' }, bodyLimit: options.maxBodyBytes } as const;

    app.post<{ Body: Body | null | undefined }>('/mcp', route, async (request, reply) => {
      // The protocol requires it against DNS rebinding; without keys the gate checks the Host, too.
      if (isOfForeignPage(request.headers, options.origins)) {
        return sendError(
          reply,
          403,
          'Requests of other sites are not accepted, except those in CORS_ORIGINS',
        );
      }
      const read = request.body ?? null;
      if (read !== null && !read.ok) {
        const error = { code: PARSE_ERROR, message: read.fault };
        return reply.code(400).send({ jsonrpc: '2.0', id: null, error });
      }
      const message = read?.value ?? null;
      const caller = options.callerOf(request);
      const scope = `${caller.id ?? ''} ${String(request.headers[SESSION] ?? '')}`;
      if (message?.method === 'notifications/cancelled' && request.headers[SESSION] !== undefined) {
        calls.cancel(scope, idOf(message.params, 'requestId'));
        return reply.code(202).send();
      }
      if (message?.method === 'initialize') reply.header(SESSION, randomUUID());

      const { socket } = request.raw;
      // A call may wait for longer than the server lets connections be silent; Node sets its timeout again afterwards.
      socket.setTimeout(0);
      socket.setKeepAlive(true, PROBE_MS);
      const gone = new AbortController();
      const leave =
        request.headers[SESSION] === undefined ? null : calls.add(scope, idOf(message, 'id'), gone);
      const left = (): void => {
        leave?.();
        gone.abort();
      };
      onceClosed(reply.raw, left);
      const baseUrl = options.baseUrlOf(request.raw);
      // Loaded with the first request, since it makes a start slower.
      const { answer } = await import('./answer.ts');
      const response = await answer({
        message,
        url: `${baseUrl}/mcp`,
        headers: protocolHeaders(request),
        edits: editsOf(options, {
          caller,
          baseUrl,
          traceparent: request.headers.traceparent,
          images: read?.images ?? NO_IMAGES,
        }),
        version: options.version,
        gone: gone.signal,
        ending: options.endingOf(reply.raw),
        onError: error => options.log.debug({ err: error }, 'a message of the Model Context Protocol failed'),
      });
      reply.headers({
        'cache-control': 'no-cache, no-transform',
        // Keeps nginx from buffering the events.
        'x-accel-buffering': 'no',
      });
      return reply.send(response);
    });
  };
}

/** The headers that the protocol knows: no credentials. */
function protocolHeaders({ headers }: FastifyRequest): Headers {
  const known = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    /^(mcp-.*|accept|content-type)$/.test(name) && typeof value === 'string' ? [[name, value]] : [],
  );
  return new Headers(known);
}

/** The id of a call; null: it has none. */
function idOf(message: unknown, name: string): string | number | null {
  if (typeof message !== 'object' || message === null) return null;
  const found: unknown = Object.entries(message).find(([key]) => key === name)?.[1];
  return typeof found === 'string' || typeof found === 'number' ? found : null;
}
