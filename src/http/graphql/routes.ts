import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyError, FastifyPluginAsync, FastifyReply } from 'fastify';
import type { GraphQLError } from 'graphql';
import type { Callers, Known } from '../access/callers.ts';
import { refuseGraphQL } from '../access/rejections.ts';
import { PAGE_HEADERS, varyBy } from '../headers.ts';
import { mayBeForged } from '../limits/cross-site.ts';
import type { Streams } from '../limits/lifetime.ts';
import { goneSignal } from '../limits/lifetime.ts';
import { answerType } from './answer-type.ts';
import type { DirectOperations } from './direct.ts';
import { type GetPage, GRAPHQL_PATH, type Page, wantsPage } from './page.ts';
import { isPlainPost, readBody } from './plain-post.ts';
import type { GraphQLServer, ServerContext } from './yoga.ts';

export interface RouteOptions {
  readonly yoga: GraphQLServer;
  readonly direct: DirectOperations;
  readonly callers: Callers;
  /** Null: browsers get no page. */
  readonly page: GetPage | null;
  /** Ends what stays open. */
  readonly streams: Streams;
  /** What callers may see of a fault of ours. */
  readonly mask: (error: unknown) => GraphQLError;
  readonly contextOf: (request: IncomingMessage, known: Known, signal?: AbortSignal) => ServerContext;
}

const FORGED = {
  status: 403,
  code: 'FORBIDDEN',
  message:
    'Send Content-Type: application/json, or the header x-graphql-yoga-csrf or apollo-require-preflight with any value',
  headers: {},
} as const;

/**
 * Mounts GraphQL: operations that are posted as plain JSON are answered at once, everything else by Yoga. Fastify passes
 * bodies on untouched; Yoga reads them, or gets what was read to find out whether it is needed.
 */
export function graphqlRoutes(options: RouteOptions): FastifyPluginAsync {
  const { yoga, direct, callers, page, contextOf } = options;
  return async app => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (request, _payload, done) => done(null, request.body));
    app.setErrorHandler((error: FastifyError, request, reply) => {
      const { statusCode: status = 500, message } = error;
      if (status >= 400 && status < 500) {
        return refuseGraphQL(request, reply, { status, code: 'BAD_REQUEST', message, headers: {} });
      }
      const { message: hidden, extensions } = options.mask(error);
      const code = String(extensions.code);
      return refuseGraphQL(request, reply, { status: 500, code, message: hidden, headers: {} });
    });
    app.route({
      url: GRAPHQL_PATH,
      method: ['GET', 'POST', 'OPTIONS'],
      // Most requests end here, before Fastify has looked at what they bring.
      async onRequest(request, reply) {
        const type = answerType(request.headers.accept);
        if (type === null || !isPlainPost(request)) return;
        const bytes = await readBody(request.raw);
        // Nobody is there to be answered.
        if (bytes === null) return reply.hijack();
        const context = contextOf(request.raw, callers.of(request.raw));
        const found = await direct.answer(bytes.toString(), type, { context, gone: () => goneSignal(reply) });
        if (found !== null) return reply.code(found.status).headers(found.headers).send(found.body);
        request.body = Readable.from([bytes]);
      },
      async handler(request, reply) {
        if (page !== null && wantsPage(request)) return sendPage(reply, await page());
        if (request.method === 'OPTIONS') return reply.code(204).header('allow', 'GET, POST, OPTIONS').send();
        if (mayBeForged(request.method, request.headers)) return refuseGraphQL(request, reply, FORGED);
        const known = callers.of(request.raw);
        const context = contextOf(request.raw, known, goneSignal(reply));
        const answer = await yoga.handleNodeRequestAndResponse(request, reply, context);
        for (const [name, value] of answer.headers) reply.header(name, value);
        // For server-sent events behind nginx, which would hold them back otherwise.
        reply.header('x-accel-buffering', 'no');
        const live = answer.headers.get('content-type')?.startsWith('text/event-stream') === true;
        if (live) options.streams.add(reply.raw, known.expiresAt);
        reply.code(answer.status).send(live ? answer.body : await answer.text());
        return reply;
      },
    });
  };
}

function sendPage(reply: FastifyReply, { html, contentSecurityPolicy }: Page): FastifyReply {
  return varyBy(reply, 'accept')
    .headers(PAGE_HEADERS)
    .header('content-security-policy', contentSecurityPolicy)
    .type('text/html; charset=utf-8')
    .send(html);
}
