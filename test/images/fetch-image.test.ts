import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { afterEach, describe, expect, it } from 'vitest';
import { parseAllowList } from '../../src/images/allow.ts';
import {
  createImageLoader,
  type ImageLoader,
  type ImageLoaderOptions,
} from '../../src/images/fetch-image.ts';

const closers: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function portOf(server: Pick<Server, 'address'>): number {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return bound.port;
}

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${portOf(server)}`;
}

function loader(options: Partial<ImageLoaderOptions> = {}): ImageLoader {
  const made = createImageLoader({
    allow: parseAllowList('127.0.0.1'),
    maxBytes: 200_000,
    maxPixels: 1_000_000,
    totalTimeoutMs: 5_000,
    ...options,
  });
  closers.push(() => made.close());
  return made;
}

const picture = (width = 40, height = 30) =>
  sharp({ create: { width, height, channels: 3, background: '#a04020' } });
const noise = (width: number, height: number) =>
  sharp({
    create: {
      width,
      height,
      channels: 3,
      background: 'grey',
      noise: { type: 'gaussian', mean: 128, sigma: 40 },
    },
  });
const failure = (code: string, message?: string | RegExp) => ({
  ok: false,
  failure: {
    code,
    message:
      message === undefined
        ? expect.any(String)
        : typeof message === 'string'
          ? message
          : expect.stringMatching(message),
  },
});

describe('pictures by URL', () => {
  it.each(['png', 'jpeg', 'webp'] as const)('takes a %s, whatever the server calls it', async format => {
    const bytes = await picture().toFormat(format).toBuffer();
    const url = await serve((_, response) => response.setHeader('content-type', 'text/plain').end(bytes));
    const result = await loader().fromUrl(`${url}/a`);
    expect(result).toMatchObject({ ok: true, image: { mimeType: `image/${format}`, width: 40, height: 30 } });
    expect(result.ok && Buffer.from(result.image.bytes).equals(bytes)).toBe(true);
  });

  it('measures a picture as EXIF turns it', async () => {
    const bytes = await picture().jpeg().withMetadata({ orientation: 6 }).toBuffer();
    const url = await serve((_, response) => response.end(bytes));
    expect(await loader().fromUrl(url)).toMatchObject({ ok: true, image: { width: 30, height: 40 } });
  });

  it('keeps the first frame of an animation, as PNG', async () => {
    const frames = Buffer.concat([
      await picture(8, 8).raw().toBuffer(),
      await sharp({ create: { width: 8, height: 8, channels: 3, background: 'blue' } })
        .raw()
        .toBuffer(),
    ]);
    const bytes = await sharp(frames, { raw: { width: 8, height: 16, channels: 3, pageHeight: 8 } })
      .webp({ loop: 0 })
      .toBuffer();
    expect((await sharp(bytes).metadata()).pages).toBe(2);
    const url = await serve((_, response) => response.end(bytes));
    expect(await loader().fromUrl(url)).toMatchObject({
      ok: true,
      image: { mimeType: 'image/png', width: 8, height: 8 },
    });
  });

  it.each([
    ['HTML', '<!doctype html><p>hello', /an HTML page/],
    ['an SVG', '<svg xmlns="http://www.w3.org/2000/svg"/>', /an SVG/],
    ['a GIF', 'GIF89a\u0001', /a GIF/],
    ['nothing', '', /an empty answer/],
    ['text', 'hello', /something else/],
  ])('refuses %s', async (_, body, message) => {
    const url = await serve((_request, response) =>
      response.setHeader('content-type', 'image/png').end(body),
    );
    expect(await loader().fromUrl(url)).toEqual(failure('INPUT_NOT_AN_IMAGE', message));
  });

  it.each(['png', 'jpeg', 'webp'] as const)('refuses a %s that is cut short', async format => {
    const bytes = await noise(120, 120).toFormat(format).toBuffer();
    const url = await serve((_, response) =>
      response.end(bytes.subarray(0, Math.floor(bytes.byteLength * 0.6))),
    );
    expect(await loader().fromUrl(url)).toEqual(failure('INPUT_NOT_AN_IMAGE', /broken/));
  });

  it('refuses an answer that is not 200', async () => {
    const url = await serve((_, response) => response.writeHead(404).end('no'));
    expect(await loader().fromUrl(url)).toEqual(failure('INPUT_UNREACHABLE', 'the server answered 404'));
  });

  it('refuses many pixels before it decodes them', async () => {
    const bytes = await picture(1_200, 1_200).png({ compressionLevel: 9 }).toBuffer();
    const url = await serve((_, response) => response.end(bytes));
    expect(await loader().fromUrl(url)).toEqual(failure('INPUT_TOO_LARGE', /1200 × 1200/));
  });

  it('refuses a compressed answer, and asks for none', async () => {
    let asked: string | undefined;
    const body = gzipSync(await picture().png().toBuffer());
    const url = await serve((request, response) => {
      asked = request.headers['accept-encoding'];
      response.setHeader('content-encoding', 'gzip').end(body);
    });
    expect(await loader().fromUrl(url)).toEqual(failure('INPUT_NOT_AN_IMAGE', /gzip/));
    expect(asked).toBe('identity');
  });

  it('believes neither a declared length nor its lack', async () => {
    const url = await serve((request, response) => {
      if (request.url === '/declared') response.setHeader('content-length', 10_000_000);
      const more = (): void => {
        while (response.write(Buffer.alloc(16_384))) if (response.destroyed) return;
      };
      response.on('drain', more);
      more();
    });
    expect(await loader().fromUrl(`${url}/declared`)).toEqual(failure('INPUT_TOO_LARGE'));
    expect(await loader().fromUrl(`${url}/endless`)).toEqual(failure('INPUT_TOO_LARGE', /larger than/));
  });

  it('refuses an answer that is shorter than it says', async () => {
    const bytes = await picture().png().toBuffer();
    const url = await serve((_, response) => {
      response.writeHead(200, { 'content-length': bytes.byteLength });
      response.write(bytes.subarray(0, 20), () => response.destroy());
    });
    expect(await loader().fromUrl(url)).toEqual(failure('INPUT_UNREACHABLE', /closed early|reset/));
  });

  it('gives up on a server that drips, and on one that does not answer', async () => {
    const url = await serve((request, response) => {
      if (request.url !== '/drip') return;
      response.writeHead(200);
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    });
    expect(await loader({ totalTimeoutMs: 300 }).fromUrl(`${url}/drip`)).toEqual(
      failure('INPUT_UNREACHABLE', /timeout/),
    );
    expect(await loader({ headersTimeoutMs: 200 }).fromUrl(`${url}/mute`)).toEqual(
      failure('INPUT_UNREACHABLE', /timeout/),
    );
  });

  it('says when nobody listens, and when the connection is reset', async () => {
    const free = createTcpServer();
    await new Promise<void>(resolve => free.listen(0, '127.0.0.1', resolve));
    const port = portOf(free);
    await new Promise<void>(resolve => free.close(() => resolve()));
    expect(await loader().fromUrl(`http://127.0.0.1:${port}/`)).toEqual(
      failure('INPUT_UNREACHABLE', 'connection refused'),
    );
    const rude = createTcpServer(socket => socket.resetAndDestroy());
    await new Promise<void>(resolve => rude.listen(0, '127.0.0.1', resolve));
    closers.push(() => void rude.close());
    expect(await loader().fromUrl(`http://127.0.0.1:${portOf(rude)}/`)).toEqual(
      failure('INPUT_UNREACHABLE', /reset|closed/),
    );
  });

  it('aborts with the reason of its signal, also while it waits in line', async () => {
    let arrived = (): void => {};
    const asked = new Promise<void>(resolve => {
      arrived = resolve;
    });
    const url = await serve(() => arrived());
    const one = loader({ concurrency: 1 });
    const caller = new AbortController();
    const first = one.fromUrl(url, caller.signal);
    const second = one.fromUrl(url, caller.signal);
    await asked;
    caller.abort(new Error('the caller left'));
    await expect(first).rejects.toThrow('the caller left');
    await expect(second).rejects.toThrow('the caller left');
  });
});

describe('redirects', () => {
  it('are followed, each hop judged anew', async () => {
    const bytes = await picture().png().toBuffer();
    const url = await serve((request, response) => {
      const n = Number(request.url?.slice(1));
      const to: Record<number, string> = {
        7: 'http://10.0.0.1/a.png',
        8: 'file:///etc/passwd',
        9: 'http://u:p@127.0.0.1/',
      };
      if (n === 0) response.end(bytes);
      else response.writeHead(302, { location: to[n] ?? `/${n - 1}` }).end();
    });
    expect(await loader().fromUrl(`${url}/3`)).toMatchObject({ ok: true });
    expect(await loader().fromUrl(`${url}/4`)).toEqual(failure('INPUT_UNREACHABLE', 'more than 3 redirects'));
    expect(await loader().fromUrl(`${url}/7`)).toEqual(
      failure('INPUT_BLOCKED', '10.0.0.1 is a private address'),
    );
    expect(await loader().fromUrl(`${url}/8`)).toEqual(failure('INVALID_INPUT'));
    expect(await loader().fromUrl(`${url}/9`)).toEqual(failure('INPUT_BLOCKED'));
  });
});

describe('names', () => {
  it('are resolved once: an answer that changes has nothing to change', async () => {
    const bytes = await picture().png().toBuffer();
    const url = new URL(await serve((_, response) => response.end(bytes)));
    const asked: string[] = [];
    const rebinding = loader({
      allow: parseAllowList(`127.0.0.1:${url.port}`),
      lookup: async host => {
        asked.push(host);
        return [{ address: asked.length === 1 ? '127.0.0.1' : '10.0.0.1', family: 4 }];
      },
    });
    expect(await rebinding.fromUrl(`http://rebind.test:${url.port}/`)).toMatchObject({ ok: true });
    expect(asked).toEqual(['rebind.test']);
    expect(await rebinding.fromUrl(`http://rebind.test:${url.port}/`)).toEqual(
      failure('INPUT_BLOCKED', /10\.0\.0\.1/),
    );
  });

  it('are opened by FETCH_ALLOW with their port, by host or by CIDR', async () => {
    const bytes = await picture().png().toBuffer();
    const url = new URL(await serve((_, response) => response.end(bytes)));
    const lookup = async () => [{ address: '127.0.0.1', family: 4 }];
    const get = (allow: string) =>
      loader({ allow: parseAllowList(allow), lookup }).fromUrl(`http://photos.test:${url.port}/`);
    expect(await get('photos.test')).toMatchObject({ ok: true });
    expect(await get(`photos.test:${url.port}`)).toMatchObject({ ok: true });
    expect(await get('127.0.0.0/8')).toMatchObject({ ok: true });
    expect(await get('photos.test:1')).toEqual(failure('INPUT_BLOCKED'));
    expect(await get('10.0.0.0/8,other.test')).toEqual(failure('INPUT_BLOCKED'));
    expect(() => parseAllowList('10.0.0.0/99')).toThrow('10.0.0.0/99');
    expect(() => parseAllowList('127.1')).toThrow('127.1');
  });
});

describe('data URIs', () => {
  it('are taken in base64 and percent-encoded, the declared type apart', async () => {
    const bytes = await picture().png().toBuffer();
    const base64 = bytes.toString('base64');
    for (const uri of [
      `data:image/png;base64,${base64}`,
      `DATA:text/html;charset=x;BASE64,${base64.replace(/.{76}/g, '$&\r\n')}`,
      `data:,${[...bytes].map(byte => `%${byte.toString(16).padStart(2, '0')}`).join('')}`,
    ]) {
      expect(await loader().fromDataUri(uri)).toMatchObject({
        ok: true,
        image: { mimeType: 'image/png', width: 40 },
      });
    }
  });

  it.each([
    ['data:image/png;base64,%%%', 'INVALID_INPUT'],
    ['data:image/png;base64,abcde', 'INVALID_INPUT'],
    ['data:image/png;base64', 'INVALID_INPUT'],
    ['image/png;base64,aaaa', 'INVALID_INPUT'],
    ['data:,%zz', 'INVALID_INPUT'],
    ['data:image/png;base64,', 'INPUT_NOT_AN_IMAGE'],
    [`data:image/png;base64,${'A'.repeat(400_000)}`, 'INPUT_TOO_LARGE'],
  ])('%.30s… is refused as %s', async (uri, code) => {
    expect(await loader().fromDataUri(uri)).toEqual(failure(code));
  });
});
