import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { OutgoingHttpHeader, ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import sirv from 'sirv';
import type { Log } from '../log.ts';
import { PAGE_HEADERS, varyBy } from './headers.ts';

/** A page that `build-pages.ts` built. */
export interface Page {
  /** Serves its scripts, styles and images, to all. `log` gets those that cannot be read. */
  addAssets(app: FastifyInstance, log: Log): Promise<void>;
  /** Sends its HTML document. */
  send(request: FastifyRequest, reply: FastifyReply): FastifyReply;
}

export interface PageOptions {
  /** The path of its files, e.g. `/docs/static/`, in the folder as in URLs. */
  readonly assetsPath: string;
  /** The files have hashes in their names, so they never change. */
  readonly hashed: boolean;
  readonly contentSecurityPolicy: string;
}

/** Command that builds the pages, for those who run a gateway without them. */
export const BUILD_COMMAND = 'npm run build:pages';

const YEAR_S = 365 * 24 * 60 * 60;

/** Opens the page that was built into `folder`. Null: it was not built. */
export async function openPage(folder: string, options: PageOptions): Promise<Page | null> {
  const html = await readBuilt(join(folder, 'index.html'));
  if (html === null) return null;
  const { assetsPath } = options;
  const etag = `"${createHash('sha256').update(html).digest('base64url').slice(0, 22)}"`;
  return {
    async addAssets(app, log) {
      const serve = serveFiles(folder, options.hashed, log);
      app.get(`${assetsPath}*`, { config: { access: 'public' } }, serve);
    },
    send(request, reply) {
      const headers = {
        'content-security-policy': options.contentSecurityPolicy,
        'cache-control': 'no-cache',
        etag,
      };
      reply.headers(PAGE_HEADERS).headers(headers);
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      return reply.type('text/html; charset=utf-8').send(html);
    },
  };
}

/** The bytes of a built file; null: it was not built. */
export async function readBuilt(file: string): Promise<Buffer | null> {
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}

/** A handler that sends the files which are in the folder now, so no path reaches the file system. */
function serveFiles(folder: string, hashed: boolean, log: Log) {
  /** What each response varies by, because sirv replaces it. */
  const vary = new WeakMap<ServerResponse, OutgoingHttpHeader>();
  const send = sirv(folder, {
    brotli: true,
    gzip: true,
    extensions: [],
    ...(hashed ? { maxAge: YEAR_S, immutable: true } : { maxAge: 0, etag: true }),
    setHeaders: response => response.setHeader('vary', vary.get(response) ?? ''),
  });
  return (request: FastifyRequest, reply: FastifyReply): void => {
    const headers = varyBy(reply, 'accept-encoding').getHeaders();
    for (const [name, value = ''] of Object.entries(headers)) reply.raw.setHeader(name, value);
    vary.set(reply.raw, headers.vary ?? '');
    // The files are small, and sirv throws on a range that ends before it starts.
    delete request.raw.headers.range;
    // sirv does not listen for errors of the stream that it pipes, such as that of a file which was removed since the start.
    reply.raw.once('pipe', (file: Readable) => {
      file.once('error', error => {
        log.error({ err: error }, 'a file of a page cannot be read');
        // The headers are on their way: only closing the connection shows that the file is not whole.
        reply.raw.destroy();
      });
    });
    let isMissing = false;
    send(request.raw, reply.raw, () => {
      isMissing = true;
    });
    if (isMissing) reply.callNotFound();
    else reply.hijack();
  };
}
