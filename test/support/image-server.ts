import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import sharp from 'sharp';
import { listen } from './listen.ts';

/** A server of pictures on loopback: `/<anything>.jpg`, `.png`, `.webp`; also what callers get wrong. */
export interface Pictures {
  readonly url: string;
  /** Paths that were asked for, in order. */
  readonly asked: readonly string[];
  /** Resolves when `/hanging` was asked for and its asker has left. */
  readonly left: Promise<void>;
  /** Resolves when `/hanging` was asked for. */
  readonly hanging: Promise<void>;
  stop(): Promise<void>;
}

/** Starts it on a free port. */
export async function startPictures(): Promise<Pictures> {
  const asked: string[] = [];
  const left = Promise.withResolvers<void>();
  const hanging = Promise.withResolvers<void>();
  const picture = sharp({
    create: { width: 96, height: 64, channels: 3, background: { r: 200, g: 120, b: 40 } },
  });

  async function serve(path: string, response: ServerResponse): Promise<void> {
    const kind = /\.(jpg|png|webp)$/.exec(path)?.[1];
    if (kind !== undefined && !path.startsWith('/missing')) {
      const format = kind === 'jpg' ? 'jpeg' : kind === 'png' ? 'png' : 'webp';
      response.setHeader('content-type', `image/${format}`);
      response.end(await picture.clone().toFormat(format).toBuffer());
    } else if (path === '/text') {
      response.end('This is not a picture');
    } else if (path === '/large') {
      response.setHeader('content-length', 1024 ** 3);
      response.write('x');
    } else if (path === '/hanging') {
      response.once('close', () => left.resolve());
      hanging.resolve();
    } else {
      response.statusCode = 404;
      response.end();
    }
  }

  const server = createServer((request, response) => {
    const path = request.url ?? '/';
    asked.push(path);
    serve(path, response).catch((error: unknown) =>
      response.destroy(error instanceof Error ? error : undefined),
    );
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    left: left.promise,
    hanging: hanging.promise,
    async stop() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
