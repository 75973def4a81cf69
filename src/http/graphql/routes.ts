import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyError, FastifyPluginAsync, FastifyReply } from 'fastify';
import type { Mask } from '../../operations/errors.ts';
import type { Operations, Source } from '../../operations/operations.ts';
import type { Callers, Known } from '../access/identity.ts';
import { rejectAsGraphQL } from '../access/rejections.ts';
import { type Direct, sendDirect } from '../direct.ts';
import { bodyTooLarge } from '../errors.ts';
import { EVENT_FORMAT, type StreamFormat, untilEnding } from '../farewell.ts';
import { PAGE_HEADERS, varyBy } from '../headers.ts';
import { mayBeForged } from '../limits/cross-site.ts';
import { answeredOf, goneSignal, type Streams } from '../limits/lifetime.ts';
import { BUILD_COMMAND } from '../pages.ts';
import { resultType } from './accept.ts';
import { type GetGraphiql, GRAPHQL_PATH, type Graphiql, wantsPage } from './graphiql.ts';
import { MULTIPART_FORMAT, MULTIPART_TYPE } from './multipart.ts';
import { answerPost, bodyOf, isPlainPost, MAX_BODY_BYTES, readBody, TOO_LARGE } from './post.ts';
import type { LazyYoga } from './yoga-loader.ts';

export interface RouteOptions {
  readonly operations: Operations;
  readonly yoga: LazyYoga;
  readonly callers: Callers;
  /** Null: GraphiQL is off. */
  readonly page: GetGraphiql | null;
  /** Ends event streams. */
  readonly streams: Streams;
  readonly mask: Mask;
  readonly clientOf: (
    request: IncomingMessage,
    known: Known,
    requestId: string,
    signal?: AbortSignal,
  ) => Pick<Source, 'context' | 'clientKey'>;
}

const NOT_BUILT = {
  status: 404,
  code: 'NOT_FOUND',
  message: `GraphiQL is not built: ${BUILD_COMMAND} builds it`,
  headers: {},
} as const;

const FORGED = {
  status: 403,
  code: 'FORBIDDEN',
  message:
    'Send Content-Type: application/json, or the header x-graphql-yoga-csrf or apollo-require-preflight with any value',
  headers: {},
} as const;

/**
 * Mounts GraphQL over HTTP: queries and mutations posted as plain JSON are answered directly, everything else by Yoga.
 * Fastify does not parse bodies here; Yoga reads them, or gets the bytes that were read before it turned out to be needed.
 */
export function graphqlRoutes(options: RouteOptions): FastifyPluginAsync {
  const { operations, yoga, callers, page, clientOf } = options;
  const direct: Direct = {
    matches: request => isPlainPost(request) && resultType(request.headers.accept) !== null,
    async answer(request, response, requestId) {
      const type = resultType(request.headers.accept);
      const body = await readBody(request);
      if (type === null || body === null) return null;
      const source: Source = {
        ...clientOf(request, callers.of(request), requestId),
        transport: 'post',
        signal: () => goneSignal({ raw: response }),
      };
      // Awaited, because a promise that an async function returns takes two more turns.
      return await answerPost({ operations, format: yoga.format }, body, type, source);
    },
  };
  return async app => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (request, _payload, done) => done(null, request.body));
    app.setErrorHandler((error: FastifyError, request, reply) => {
      const { statusCode: status = 500, message } = error;
      if (status >= 400 && status < 500) {
        return rejectAsGraphQL(request, reply, { status, code: 'BAD_REQUEST', message, headers: {} });
      }
      const { message: hidden, extensions } = options.mask(error, request.id);
      const code = String(extensions.code);
      return rejectAsGraphQL(request, reply, { status: 500, code, message: hidden, headers: {} });
    });
    app.route({
      url: GRAPHQL_PATH,
      method: ['GET', 'POST', 'OPTIONS'],
      config: {
        access: request => (page !== null && wantsPage(request) ? 'public' : 'caller'),
        reject: rejectAsGraphQL,
        direct,
      },
      // Before Fastify's own steps for bodies: for what the direct path left, or all of it where pages of other origins
      // are allowed.
      async onRequest(request, reply) {
        const { raw, id } = request;
        if (!direct.matches(raw)) return;
        if (bodyOf(raw) === null) {
          const found = await direct.answer(raw, reply.raw, id);
          if (found !== null) return sendDirect(reply, found);
        }
        const body = bodyOf(raw);
        // The client is gone: there is nothing to answer.
        if (body === null) return reply.hijack();
        request.body = Readable.from([body.original()]);
      },
      async handler(request, reply) {
        if (page !== null && wantsPage(request)) {
          const built = await page();
          return built === null ? rejectAsGraphQL(request, reply, NOT_BUILT) : sendPage(reply, built);
        }
        if (request.method === 'OPTIONS') return reply.code(204).header('allow', 'GET, POST, OPTIONS').send();
        if (mayBeForged(request.method, request.headers)) return rejectAsGraphQL(request, reply, FORGED);
        if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) {
          return rejectAsGraphQL(request, reply, {
            status: 413,
            code: TOO_LARGE,
            message: bodyTooLarge(MAX_BODY_BYTES, request.headers),
            headers: { connection: 'close' },
          });
        }
        const known = callers.of(request.raw);
        const client = clientOf(request.raw, known, request.id, goneSignal(reply));
        const answer = await (await yoga.door()).handleNodeRequestAndResponse(request, reply, {
          client,
          expiresAt: known.expiresAt,
          answered: () => answeredOf(reply),
        });
        for (const [name, value] of answer.headers) reply.header(name, value);
        // Keeps nginx from buffering a stream.
        reply.header('x-accel-buffering', 'no');
        reply.code(answer.status);
        const format = streamFormatOf(answer.headers.get('content-type'));
        if (format === null || answer.body === null) return reply.send(await answer.text());
        if (reply.raw.closed) {
          await answer.body.cancel();
          return reply.hijack();
        }
        options.streams.add(reply.raw, known.expiresAt);
        const parts = untilEnding(answer.body, options.streams.endingOf(reply.raw), format);
        return reply.send(Readable.from(parts, { objectMode: false, highWaterMark: 1 }));
      },
    });
  };
}

/** Null: the response is a single result. */
function streamFormatOf(contentType: string | null): StreamFormat | null {
  if (contentType === MULTIPART_TYPE) return MULTIPART_FORMAT;
  return contentType?.startsWith('text/event-stream') === true ? EVENT_FORMAT : null;
}

function sendPage(reply: FastifyReply, { html, contentSecurityPolicy }: Graphiql): FastifyReply {
  return varyBy(reply, 'accept')
    .headers(PAGE_HEADERS)
    .header('content-security-policy', contentSecurityPolicy)
    .type('text/html; charset=utf-8')
    .send(html);
}
