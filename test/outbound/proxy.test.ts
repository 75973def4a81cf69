import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { startRig } from '../support/gateway.ts';
import { blocked, failure, loader, plainImage } from '../support/images.ts';
import { recordLog } from '../support/log.ts';
import { serve } from '../support/outbound/servers.ts';
import { freePort, listen } from '../support/servers.ts';

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

const through = (url: string) => ({ url, onUnreachable: () => {} });

const notFound = async (): Promise<never> => {
  throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
};

describe('FETCH_PROXY', () => {
  it('is used, also for names that only it can resolve', async () => {
    const bytes = await plainImage().png().toBuffer();
    const { port } = new URL(await serve((_, response) => response.end(bytes)));
    const fetched = loader({ proxy: through(proxyUrl), lookup: notFound }).fromUrl(
      `http://pictures.test:${port}/a.png`,
    );
    expect(await fetched).toMatchObject({ ok: true, image: { sha256: sha256(bytes) } });
    expect(asked).toEqual([`GET http://pictures.test:${port}/a.png`]);
  });

  it('opens a tunnel for https', async () => {
    const { port } = new URL(await serve((_, response) => response.end()));
    const fetched = loader({ proxy: through(proxyUrl), lookup: notFound }).fromUrl(
      `https://pictures.test:${port}/`,
    );
    expect(await fetched).toMatchObject({ ok: false, failure: { code: 'INPUT_UNREACHABLE' } });
    expect(asked).toEqual([`CONNECT pictures.test:${port}`]);
  });

  it.each([
    ['http://169.254.169.254/latest', '169.254.169.254 is a link-local address'],
    ['https://10.0.0.1/a.png', '10.0.0.1 is a private address'],
    ['http://inside.test/a.png', 'inside.test leads to a private address'],
  ])('gets no request for %s', async (url, message) => {
    const lookup = async () => [{ address: '10.0.0.1', family: 4 }];
    const fetched = loader({ proxy: through(proxyUrl), lookup }).fromUrl(url);
    expect(await fetched).toEqual(blocked(message));
    expect(asked).toEqual([]);
  });

  it('gets no request for a redirect to a private address', async () => {
    const fetched = loader({ proxy: through(proxyUrl), lookup: notFound }).fromUrl(
      'http://pictures.test/inside',
    );
    expect(await fetched).toEqual(blocked('192.168.0.1 is a private address'));
    expect(asked).toEqual(['GET http://pictures.test/inside']);
  });

  it.each(['http://pictures.test/', 'https://pictures.test/'])(
    'that cannot be reached is what failed, for %s',
    async url => {
      const away = `127.0.0.1:${await freePort()}`;
      for (const scheme of ['http', 'https']) {
        const faults: string[] = [];
        const proxied = {
          url: `${scheme}://me:hunter2@${away}`,
          onUnreachable: (error: Error) => faults.push(error.message),
        };
        expect(await loader({ proxy: proxied, lookup: notFound }).fromUrl(url)).toEqual(
          failure('INPUT_UNREACHABLE', 'the proxy of the gateway could not be reached'),
        );
        expect(faults).toEqual([`connect ECONNREFUSED ${away}`]);
      }
    },
  );

  it('is not blamed for a server behind it, whose port is closed', async () => {
    const faults: Error[] = [];
    const proxied = { url: proxyUrl, onUnreachable: (error: Error) => faults.push(error) };
    const url = `https://pictures.test:${await freePort()}/`;
    expect(await loader({ proxy: proxied, lookup: notFound }).fromUrl(url)).toMatchObject({
      failure: { code: 'INPUT_UNREACHABLE', message: expect.not.stringContaining('proxy') },
    });
    expect(faults).toEqual([]);
  });

  it('that cannot be reached is in the log of a gateway, once a minute and without its password', async () => {
    const log = recordLog();
    const away = `127.0.0.1:${await freePort()}`;
    const rig = await startRig({ FETCH_PROXY: `http://me:hunter2@${away}` }, log);
    onTestFinished(() => rig.close());
    for (let round = 0; round < 3; round += 1) {
      const answer = await fetch(`${rig.url}/edit-image`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ image1_url: `${rig.images.url}/red.png`, prompt: 'x' }),
      });
      const text = await answer.text();
      expect(text).toContain('the proxy of the gateway could not be reached');
      expect(text).not.toContain(away);
    }
    const lines = log.lines.filter(({ message }) => message.includes('FETCH_PROXY'));
    expect(lines).toMatchObject([{ level: 'warn', fields: { host: away } }]);
    expect(JSON.stringify(log.lines)).not.toContain('hunter2');
  });
});
