import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { VerifiedImage } from '../../src/images/verify.ts';
import { blocked, failure, loader, plainImage } from '../support/images.ts';
import { serve, serveTcp } from '../support/outbound/servers.ts';
import { freePort } from '../support/servers.ts';

describe('images by URL', () => {
  it.each(['png', 'jpeg', 'webp'] as const)(
    'come byte for byte as a %s, whatever the server calls it',
    async format => {
      const bytes = await plainImage().toFormat(format).toBuffer();
      const url = await serve((_, response) => response.setHeader('content-type', 'text/plain').end(bytes));
      const result = await loader().fromUrl(`${url}/a`);
      expect(result).toMatchObject({
        ok: true,
        image: { mimeType: `image/${format}`, width: 40, height: 30 },
      });
      expect(result.ok && Buffer.from(result.image.bytes).equals(bytes)).toBe(true);
    },
  );

  it('arrive complete from a server that sends them byte by byte', async () => {
    const bytes = await plainImage().png().toBuffer();
    const url = await serve(async (_, response) => {
      response.socket?.setNoDelay(true);
      for (const byte of bytes) {
        await new Promise<void>(resolve => response.write(Buffer.of(byte), () => resolve()));
      }
      response.end();
    });
    const result = await loader().fromUrl(url);
    expect(result.ok && Buffer.from(result.image.bytes).equals(bytes)).toBe(true);
  });

  it.each([
    [404, 'the server answered 404'],
    [500, 'the server answered 500'],
    [204, 'the server answered 204'],
    [206, 'the server answered 206'],
    [304, 'the server answered 304'],
  ])('are rejected with status %i', async (status, message) => {
    const url = await serve((_, response) => response.writeHead(status).end());
    expect(await loader().fromUrl(`${url}/?secret=1`)).toEqual(failure('INPUT_UNREACHABLE', message));
  });

  it.each([
    ['text/html; charset=utf-8', '<!doctype html><p>hello', 'text/html'],
    ['image/png', '<html><body>log in', 'text/html'],
    ['image/png', '', 'an empty file'],
    ['application/json', '{"error":"no"}', 'application/json'],
    ['image/jpeg', 'hello', 'something else'],
    ['not a type', 'hello', 'something else'],
  ])('with the type %s and the body %j are described', async (type, body, name) => {
    const url = await serve((_, response) => response.setHeader('content-type', type).end(body));
    const message = `${name}, not a JPEG, PNG or WebP image`;
    expect(await loader().fromUrl(url)).toEqual(failure('INPUT_NOT_AN_IMAGE', message));
  });

  it('are requested uncompressed, and rejected compressed', async () => {
    let asked: string | undefined;
    const body = gzipSync(await plainImage().png().toBuffer());
    const url = await serve((request, response) => {
      asked = request.headers['accept-encoding'];
      response.setHeader('content-encoding', request.url === '/odd' ? 'identity, gzip' : 'GZip').end(body);
    });
    expect(await loader().fromUrl(url)).toEqual(
      failure('INPUT_NOT_AN_IMAGE', /compressed response \(gzip\)/),
    );
    expect(await loader().fromUrl(`${url}/odd`)).toEqual(
      failure('INPUT_NOT_AN_IMAGE', /compressed response,/),
    );
    expect(asked).toBe('identity');
  });
});

describe('the byte limit', () => {
  it('trusts neither a declared length nor its absence', async () => {
    let sent = 0;
    const url = await serve((request, response) => {
      if (request.url === '/declared') response.setHeader('content-length', 10_000_000);
      const more = (): void => {
        do sent += 16_384;
        while (!response.destroyed && response.write(Buffer.alloc(16_384)));
      };
      response.on('drain', more);
      more();
    });
    const message = 'larger than 195.3 KiB';
    expect(await loader().fromUrl(`${url}/declared`)).toEqual(failure('INPUT_TOO_LARGE', message));
    expect(await loader().fromUrl(`${url}/endless`)).toEqual(failure('INPUT_TOO_LARGE', message));
    // What lies in the buffers of two sockets, and not the rest of an endless body.
    expect(sent).toBeLessThan(20_000_000);
  });

  it('accepts an image of exactly its size and none of a byte more', async () => {
    const bytes = await plainImage().png().toBuffer();
    const url = await serve((_, response) => response.end(bytes));
    expect(await loader({ maxBytes: bytes.byteLength }).fromUrl(url)).toMatchObject({ ok: true });
    const less = loader({ maxBytes: bytes.byteLength - 1 });
    expect(await less.fromUrl(url)).toEqual(failure('INPUT_TOO_LARGE'));
    const uri = (content: Buffer): string => `data:;base64,${content.toString('base64')}`;
    expect(await less.fromDataUri(uri(bytes))).toEqual(failure('INPUT_TOO_LARGE'));
    const most = loader({ maxBytes: 10 * 1024 ** 2 });
    expect(await most.fromDataUri(uri(Buffer.alloc(11 * 1024 ** 2)))).toEqual(
      failure('INPUT_TOO_LARGE', 'larger than 10 MiB'),
    );
  });

  it('rejects a response shorter than declared, and one that is longer', async () => {
    const bytes = await plainImage().png().toBuffer();
    const url = await serve((_, response) => {
      response.writeHead(200, { 'content-length': bytes.byteLength });
      response.write(bytes.subarray(0, 20), () => response.destroy());
    });
    expect(await loader().fromUrl(url)).toEqual(failure('INPUT_UNREACHABLE', /closed early|reset/));
    const port = await serveTcp(socket => {
      socket.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n'), bytes]));
    });
    expect(await loader().fromUrl(`http://127.0.0.1:${port}/`)).toMatchObject({ ok: false });
  });
});

describe('the time limit', () => {
  it('applies to a body that drips', async () => {
    const url = await serve((_, response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    });
    const result = await loader({ totalTimeoutMs: 300 }).fromUrl(url);
    expect(result).toEqual(failure('INPUT_UNREACHABLE', 'Connection timeout: not complete after 0.3 s'));
  });

  it('applies to headers that drip', async () => {
    const port = await serveTcp(socket => {
      socket.write('HTTP/1.1 200 OK\r\nx-slow: ');
      const timer = setInterval(() => socket.write('x'), 20);
      socket.on('close', () => clearInterval(timer));
    });
    const result = await loader({ totalTimeoutMs: 300 }).fromUrl(`http://127.0.0.1:${port}/`);
    expect(result).toEqual(failure('INPUT_UNREACHABLE', /^Connection timeout/));
  });

  it('applies to a server that does not respond', async () => {
    const url = await serve(() => {});
    const result = await loader({ headersTimeoutMs: 200 }).fromUrl(url);
    expect(result).toEqual(failure('INPUT_UNREACHABLE', 'Connection timeout'));
  });

  it('applies to all redirects together', async () => {
    const url = await serve((_, response) => {
      setTimeout(() => response.writeHead(302, { location: '/' }).end(), 80);
    });
    const result = await loader({ totalTimeoutMs: 200, maxRedirects: 100 }).fromUrl(url);
    expect(result).toEqual(failure('INPUT_UNREACHABLE', /^Connection timeout/));
  });
});

describe('servers that fail', () => {
  it('are reported by what they did', async () => {
    const at = (port: number) => loader().fromUrl(`http://127.0.0.1:${port}/`);
    expect(await at(await freePort())).toEqual(failure('INPUT_UNREACHABLE', 'connection refused'));
    const reset = await serveTcp(socket => socket.resetAndDestroy());
    expect(await at(reset)).toEqual(failure('INPUT_UNREACHABLE', /reset|closed/));
    const closed = await serveTcp(socket => socket.once('data', () => socket.end()));
    expect(await at(closed)).toEqual(failure('INPUT_UNREACHABLE', /reset|closed/));
    const redis = await serveTcp(socket => socket.once('data', () => socket.end('-ERR unknown command\r\n')));
    expect(await at(redis)).toEqual(failure('INPUT_UNREACHABLE', 'the server does not speak HTTP'));
    const wordy = await serveTcp(socket => {
      socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(64 * 1024)}\r\n\r\n`));
    });
    expect(await at(wordy)).toEqual(failure('INPUT_UNREACHABLE', /headers are too large/));
  });
});

describe('redirects', () => {
  const TARGETS: Readonly<Record<string, string>> = {
    '/1': '/0',
    '/2': '/1',
    '/3': '/2',
    '/4': '/3',
    '/private': 'http://10.0.0.1/a.png?token=x',
    '/metadata': 'http://169.254.169.254/latest/meta-data',
    '/decimal': '//2130706434/',
    '/mapped': 'http://[::ffff:10.0.0.1]/',
    '/file': 'file:///etc/passwd',
    '/data': 'data:image/png;base64,AAAA',
    '/credentials': 'http://u:p@127.0.0.1/',
    '/port': 'http://127.0.0.1:22/',
    '/name': 'http://inside.test/',
    '/broken': 'http://[',
  };
  const lookup = async () => [{ address: '192.168.1.1', family: 4 }];

  async function follow(path: string) {
    const bytes = await plainImage().png().toBuffer();
    const url = await serve((request, response) => {
      const location = TARGETS[request.url ?? ''];
      if (request.url === '/nowhere') response.writeHead(302).end();
      else if (location === undefined) response.end(bytes);
      else response.writeHead(302, { location }).end('moved');
    });
    return await loader({ lookup }).fromUrl(url + path);
  }

  it('are followed up to a limit', async () => {
    expect(await follow('/3')).toMatchObject({ ok: true });
    expect(await follow('/4')).toEqual(failure('INPUT_UNREACHABLE', 'more than 3 redirects'));
    expect(await follow('/nowhere')).toEqual(failure('INPUT_UNREACHABLE', 'a redirect that leads nowhere'));
  });

  it.each([
    ['/private', '10.0.0.1 is a private address'],
    ['/metadata', '169.254.169.254 is a link-local address'],
    ['/decimal', '127.0.0.2 is a loopback address'],
    ['/mapped', '::ffff:a00:1 is a private address'],
    ['/name', 'inside.test leads to a private address'],
    ['/file', 'a redirect whose target is not an http or https URL'],
    ['/data', 'a redirect whose target is not an http or https URL'],
    ['/broken', 'a redirect whose target is not an http or https URL'],
    ['/credentials', 'the URL contains credentials'],
    ['/port', 'port 22 is not allowed'],
  ])('to %s are checked again', async (path, message) => {
    expect(await follow(path)).toEqual(blocked(message));
  });
});

describe('an abort', () => {
  it('rejects with its reason and hangs up, also for waiting images', async () => {
    const asked = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    const url = await serve((request, response) => {
      asked.resolve();
      response.writeHead(200).write('x');
      request.on('close', left.resolve);
    });
    const one = loader({ fetches: 1, local: 1 });
    const caller = new AbortController();
    const outcomes = Promise.allSettled([one.fromUrl(url, caller), one.fromUrl(url, caller)]);
    await asked.promise;
    const reason = new Error('the caller left');
    caller.abort(reason);
    expect(await outcomes).toEqual([
      { status: 'rejected', reason },
      { status: 'rejected', reason },
    ]);
    await left.promise;
    await expect(one.fromUrl(url, caller)).rejects.toBe(reason);
    await expect(one.fromDataUri('data:,x', caller)).rejects.toBe(reason);
    expect(await one.fromUrl('x:')).toEqual(failure('INVALID_INPUT'));
  });
});

describe('a loader', () => {
  it('processes a limited number of images at once', async () => {
    const bytes = await plainImage().png().toBuffer();
    let now = 0;
    let most = 0;
    const url = await serve((_, response) => {
      now += 1;
      most = Math.max(most, now);
      setTimeout(() => {
        now -= 1;
        response.end(bytes);
      }, 20);
    });
    const three = loader({ fetches: 3 });
    const results = await Promise.all(Array.from({ length: 10 }, () => three.fromUrl(url)));
    expect(results.every(result => result.ok)).toBe(true);
    expect(most).toBe(3);
  });

  it('keeps slots for callers of few images, and lets waiting callers take turns', async () => {
    const bytes = await plainImage().png().toBuffer();
    const held: { path: string; end: () => void }[] = [];
    const url = await serve((request, response) => {
      held.push({ path: String(request.url), end: () => response.end(bytes) });
    });
    const four = loader({ fetches: 4 });
    const get = (share: string, n: number) => four.fromUrl(`${url}/${share}${n}`, { share });
    const all = [1, 2, 3, 4, 5].map(n => get('a', n));
    await expect.poll(() => held.length).toBe(3);
    all.push(get('b', 1));
    await expect.poll(() => held.map(({ path }) => path).toSorted()).toEqual(['/a1', '/a2', '/a3', '/b1']);
    all.push(get('b', 2), get('c', 1), get('c', 2));
    // One place at a time: a waited first, then b, then c.
    for (const path of ['/a4', '/b2', '/c1', '/a5', '/c2']) {
      const before = held.length;
      held.find(({ path: asked }) => asked.startsWith('/a'))?.end();
      held.splice(
        held.findIndex(({ path: asked }) => asked.startsWith('/a')),
        1,
      );
      await expect.poll(() => held.length).toBe(before);
      expect(held.at(-1)?.path).toBe(path);
    }
    for (const { end } of held) end();
    expect((await Promise.all(all)).every(({ ok }) => ok)).toBe(true);
  });

  it('limits local images, whatever is being fetched', async () => {
    const bytes = await plainImage().png().toBuffer();
    const asked = Promise.withResolvers<void>();
    const url = await serve(() => asked.resolve());
    const two = loader({ fetches: 1, local: 2, totalTimeoutMs: 60_000 });
    const caller = new AbortController();
    const fetched = two.fromUrl(url, caller);
    await asked.promise;
    expect(await two.fromReader(async () => ({ bytes }))).toMatchObject({ ok: true });
    let reading = 0;
    const go = Promise.withResolvers<void>();
    const read = async (): Promise<{ bytes: Uint8Array }> => {
      reading += 1;
      await go.promise;
      return { bytes };
    };
    const results = [two.fromReader(read), two.inTurn(read), two.fromReader(read), two.inTurn(read)];
    const last = two.fromReader(async () => ({ bytes }));
    await expect.poll(() => reading).toBe(2);
    go.resolve();
    await Promise.all([...results, last]);
    expect(reading).toBe(4);
    caller.abort();
    await expect(fetched).rejects.toBe(caller.signal.reason);
  });

  it('keeps a slot for local images of other callers', async () => {
    const bytes = await plainImage().png().toBuffer();
    const local = loader();
    const go = Promise.withResolvers<void>();
    const slow = Array.from({ length: 5 }, () => local.inTurn(() => go.promise, { share: 'a' }));
    expect(await local.fromReader(async () => ({ bytes }), { share: 'b' })).toMatchObject({ ok: true });
    go.resolve();
    await Promise.all(slow);
  });

  it('ends images in flight when it is closed, and rejects later ones', async () => {
    const asked = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    const url = await serve(request => {
      asked.resolve();
      request.on('close', left.resolve);
    });
    const closing = loader();
    const result = closing.fromUrl(url);
    await asked.promise;
    await closing.close();
    await left.promise;
    const ended = failure('INPUT_UNREACHABLE', 'the gateway is shutting down');
    expect(await result).toEqual(ended);
    expect(await closing.fromUrl(url)).toEqual(ended);
  });
});

describe('decoding', () => {
  /** Decodes images of any width, and notes in which order that ends. Decoding one of `WIDE` takes hundreds of times as long as one of 40. */
  function decoder() {
    const decoding = loader({ maxBytes: 10_000_000, maxPixels: 20_000_000 });
    const ended: unknown[] = [];
    return {
      ended,
      async read(width: number): Promise<VerifiedImage> {
        const bytes = await plainImage(width, width).png().toBuffer();
        const result = await decoding.fromReader(async () => ({ bytes }));
        if (!result.ok) throw new Error(result.failure.message);
        return result.image;
      },
      async decode(image: VerifiedImage, share: string, signal?: AbortSignal): Promise<void> {
        try {
          expect(await decoding.decode(image, { share, signal })).toBeNull();
          ended.push(image.width);
        } catch (error) {
          ended.push(error);
        }
      },
    };
  }
  const WIDE = 3_500;

  it('leaves a slot to other callers, however many images of one caller wait', async () => {
    const { read, decode, ended } = decoder();
    const wide = [await read(WIDE), await read(WIDE + 1), await read(WIDE + 2)];
    const small = await read(40);
    await Promise.all([...wide.map(image => decode(image, 'a')), decode(small, 'b')]);
    expect(ended).toEqual([40, WIDE, WIDE + 1, WIDE + 2]);
  });

  it('takes no slot for an image that was decoded before', async () => {
    const { read, decode, ended } = decoder();
    const small = await read(40);
    await decode(small, 'a');
    const wide = [await read(WIDE), await read(WIDE + 1)];
    await Promise.all([...wide, small].map(image => decode(image, 'a')));
    expect(ended).toEqual([40, 40, WIDE, WIDE + 1]);
  });

  it('ends the wait for a slot with the reason of an abort', async () => {
    const { read, decode, ended } = decoder();
    const [first, second] = [await read(WIDE), await read(WIDE + 1)];
    const caller = new AbortController();
    const decoded = [decode(first, 'a', caller.signal), decode(second, 'a', caller.signal)];
    caller.abort();
    await Promise.all(decoded);
    expect(ended).toEqual([caller.signal.reason, WIDE]);
  });
});
