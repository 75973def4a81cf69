import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { blocked, loader, plainImage } from '../support/images.ts';
import { serve } from '../support/outbound/servers.ts';
import { listen } from '../support/servers.ts';

/** A proxy that leads every name to loopback, and says what it was asked for. */
const asked: string[] = [];
let proxy: Server;
let proxyUrl: string;

beforeAll(async () => {
  proxy = createServer(async (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const target = new URL(request.url ?? '');
    if (target.pathname === '/inside') {
      response.writeHead(302, { location: 'http://192.168.0.1/a.png' }).end();
      return;
    }
    const answer = await fetch(`http://127.0.0.1:${target.port}${target.pathname}`);
    response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
  });
  proxy.on('connect', (request, client) => {
    asked.push(`CONNECT ${request.url}`);
    const upstream = connect(Number(request.url?.split(':')[1]), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      client.pipe(upstream).pipe(client);
    });
    upstream.on('error', () => client.destroy());
    client.on('error', () => upstream.destroy());
  });
  proxyUrl = `http://127.0.0.1:${await listen(proxy)}`;
});
beforeEach(() => {
  asked.length = 0;
});
afterAll(async () => {
  proxy.closeAllConnections();
  proxy.close();
  await once(proxy, 'close');
});

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const notFound = async (): Promise<never> => {
  throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
};

describe('FETCH_PROXY', () => {
  it('is used, also for names that only it can resolve', async () => {
    const bytes = await plainImage().png().toBuffer();
    const { port } = new URL(await serve((_, response) => response.end(bytes)));
    const fetched = loader({ proxy: proxyUrl, lookup: notFound }).fromUrl(
      `http://pictures.test:${port}/a.png`,
    );
    expect(await fetched).toMatchObject({ ok: true, image: { sha256: sha256(bytes) } });
    expect(asked).toEqual([`GET http://pictures.test:${port}/a.png`]);
  });

  it('opens a tunnel for https', async () => {
    const { port } = new URL(await serve((_, response) => response.end()));
    const fetched = loader({ proxy: proxyUrl, lookup: notFound }).fromUrl(`https://pictures.test:${port}/`);
    expect(await fetched).toMatchObject({ ok: false, failure: { code: 'INPUT_UNREACHABLE' } });
    expect(asked).toEqual([`CONNECT pictures.test:${port}`]);
  });

  it.each([
    ['http://169.254.169.254/latest', '169.254.169.254 is a link-local address'],
    ['https://10.0.0.1/a.png', '10.0.0.1 is a private address'],
    ['http://inside.test/a.png', 'inside.test leads to a private address'],
  ])('gets no request for %s', async (url, message) => {
    const lookup = async () => [{ address: '10.0.0.1', family: 4 }];
    const fetched = loader({ proxy: proxyUrl, lookup }).fromUrl(url);
    expect(await fetched).toEqual(blocked(message));
    expect(asked).toEqual([]);
  });

  it('gets no request for a redirect to a private address', async () => {
    const fetched = loader({ proxy: proxyUrl, lookup: notFound }).fromUrl('http://pictures.test/inside');
    expect(await fetched).toEqual(blocked('192.168.0.1 is a private address'));
    expect(asked).toEqual(['GET http://pictures.test/inside']);
  });

  it('that is unavailable is reported as unreachable', async () => {
    const fetched = loader({ proxy: 'http://127.0.0.1:9', lookup: notFound }).fromUrl(
      'http://pictures.test/',
    );
    expect(await fetched).toMatchObject({ ok: false, failure: { code: 'INPUT_UNREACHABLE' } });
  });
});
