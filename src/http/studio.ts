import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { PAGE_HEADERS } from './headers.ts';

/** Where the page’s files are served. They have hashes in their names, so they never change. */
const ASSETS_PATH = '/studio/assets/';
const YEAR_MS = 365 * 24 * 60 * 60 * 1000;

const CONTENT_SECURITY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  // An input image may be at any address, and so may be the store that signed URLs of results point to.
  "img-src 'self' data: blob: https: http:",
  "connect-src 'self' ws: wss: blob:",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The built page. */
export interface Studio {
  /** Serves its scripts, styles and images, to all. */
  addAssets(app: FastifyInstance): Promise<void>;
  /** Sends its HTML document. */
  send(request: FastifyRequest, reply: FastifyReply): FastifyReply;
}

/** Opens the page that was built into `folder`. Null: it was not built. */
export async function openStudio(folder: string): Promise<Studio | null> {
  const html = await readFile(join(folder, 'index.html')).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (html === null) return null;
  const etag = `"${createHash('sha256').update(html).digest('base64url').slice(0, 22)}"`;
  return {
    async addAssets(app) {
      await app.register(async scope => {
        scope.addHook('onRoute', route => {
          route.config = { ...route.config, access: 'public' };
        });
        await scope.register(fastifyStatic, {
          root: join(folder, ASSETS_PATH),
          prefix: ASSETS_PATH,
          decorateReply: false,
          // One route for each file that was built, so no path reaches the file system.
          wildcard: false,
          globIgnore: ['**/*.{br,gz}'],
          preCompressed: true,
          maxAge: YEAR_MS,
          immutable: true,
        });
      });
    },
    send(request, reply) {
      reply
        .headers(PAGE_HEADERS)
        .headers({ 'content-security-policy': CONTENT_SECURITY, 'cache-control': 'no-cache', etag });
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      return reply.type('text/html; charset=utf-8').send(html);
    },
  };
}
