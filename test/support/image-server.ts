import { createServer, type ServerResponse } from 'node:http';
import sharp from 'sharp';
import { listen } from './servers.ts';

/**
 * A server of input images on loopback. `/red.png` is 96×64, `/blue.jpg` 64×96, and any other name that ends in `.png`,
 * `.jpg` or `.webp` an image of its kind, of noise and with more than 16 KiB if it begins with `noise`, except `/missing…`. `/page.html` and `/text` are not images, `/large` announces
 * 1 GiB, `/hanging` never answers; the rest is 404.
 */
export interface ImageServer {
  readonly url: string;
  /** The paths of all requests. */
  readonly requested: readonly string[];
  /** Resolves when `/hanging` was requested. */
  readonly hanging: Promise<void>;
  /** Resolves when the client of `/hanging` has closed its connection. */
  readonly aborted: Promise<void>;
  close(): Promise<void>;
}

/** Starts it on a free port. */
export async function startImageServer(): Promise<ImageServer> {
  const hanging = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  const encoded = new Map<string, Promise<Buffer>>();
  const requested: string[] = [];

  async function serve(path: string, response: ServerResponse): Promise<void> {
    const [, name = '', extension = ''] = /^\/(.+)\.(jpg|png|webp)$/.exec(path) ?? [];
    if (extension !== '' && !name.startsWith('missing')) {
      const image = encoded.get(path) ?? encode(name, extension);
      encoded.set(path, image);
      const type = `image/${extension === 'jpg' ? 'jpeg' : extension}`;
      response.writeHead(200, { 'content-type': type }).end(await image);
    } else if (path === '/page.html') {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><p>hello');
    } else if (path === '/text') {
      response.end('This is not an image');
    } else if (path === '/large') {
      response.writeHead(200, { 'content-length': 1024 ** 3 }).write('x');
    } else if (path === '/hanging') {
      response.once('close', () => aborted.resolve());
      hanging.resolve();
    } else {
      response.writeHead(404).end('nothing here');
    }
  }

  const server = createServer((request, response) => {
    requested.push(request.url ?? '/');
    serve(request.url ?? '/', response).catch((error: unknown) =>
      response.destroy(error instanceof Error ? error : undefined),
    );
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    requested,
    hanging: hanging.promise,
    aborted: aborted.promise,
    async close() {
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}

function encode(name: string, extension: string): Promise<Buffer> {
  const size = name === 'blue' ? { width: 64, height: 96 } : { width: 96, height: 64 };
  const background = name === 'blue' || name === 'red' ? name : '#c87828';
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  const image = name.startsWith('noise')
    ? sharp({ create: { width: 192, height: 128, channels: 3, background, noise } })
    : sharp({ create: { ...size, channels: 3, background } });
  return (extension === 'jpg' ? image.jpeg() : extension === 'png' ? image.png() : image.webp()).toBuffer();
}
