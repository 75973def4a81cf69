import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isOwnNetwork } from '../../src/outbound/address.ts';
import { parseAllowList } from '../../src/outbound/allow-list.ts';
import { blocked, failure, loader, plainImage } from '../support/images.ts';
import { selfSigned } from '../support/outbound/certificate.ts';
import { listenInTest, serve, serveTcp } from '../support/outbound/servers.ts';
import { freePort } from '../support/servers.ts';

const answers = (...addresses: string[]) =>
  addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 }));

describe('a name', () => {
  it('is resolved once per connection, and judged by the resolved addresses', async () => {
    const bytes = await plainImage().png().toBuffer();
    const url = new URL(await serve((_, response) => response.end(bytes)));
    const asked: string[] = [];
    const rebinding = loader({
      lookup: async host => {
        asked.push(host);
        return answers(asked.length === 1 ? '127.0.0.1' : '10.0.0.1');
      },
    });
    expect(await rebinding.fromUrl(`http://rebind.test:${url.port}/`)).toMatchObject({ ok: true });
    expect(asked).toEqual(['rebind.test']);
    expect(await rebinding.fromUrl(`http://rebind.test:${url.port}/`)).toEqual(
      blocked('rebind.test leads to a private address'),
    );
    expect(asked).toHaveLength(2);
  });

  it('that changes between two redirects is judged at each', async () => {
    const url = new URL(await serve((_, response) => response.writeHead(302, { location: '/again' }).end()));
    let calls = 0;
    const rebinding = loader({
      lookup: async () => {
        calls += 1;
        return answers(calls === 1 ? '127.0.0.1' : '169.254.169.254');
      },
    });
    expect(await rebinding.fromUrl(`http://rebind.test:${url.port}/`)).toEqual(
      blocked('rebind.test leads to a link-local address'),
    );
  });

  it('with one bad address among good ones is rejected before connecting', async () => {
    let connections = 0;
    const port = await serveTcp(() => {
      connections += 1;
    });
    for (const addresses of [answers('127.0.0.1', '10.0.0.1'), answers('::1', '127.0.0.1')]) {
      const result = await loader({ lookup: async () => addresses }).fromUrl(`http://mixed.test:${port}/`);
      expect(result).toEqual(
        failure('INPUT_BLOCKED', /^mixed\.test leads to a (private|loopback) address: /),
      );
    }
    expect(connections).toBe(0);
  });

  it('is reached at its next address if the first does not respond', async () => {
    const bytes = await plainImage().png().toBuffer();
    const url = new URL(await serve((_, response) => response.end(bytes)));
    const get = (...addresses: string[]) =>
      loader({ allow: parseAllowList('127.0.0.0/8'), lookup: async () => answers(...addresses) }).fromUrl(
        `http://two.test:${url.port}/`,
      );
    expect(await get('127.0.0.9', '127.0.0.1')).toMatchObject({ ok: true });
    expect(await get('127.0.0.9', '127.0.0.8')).toEqual(failure('INPUT_UNREACHABLE', 'connection refused'));
  });

  it('is reached by the other family if many addresses of the first do not respond', async () => {
    const bytes = await plainImage().png().toBuffer();
    const url = new URL(await serve((_, response) => response.end(bytes)));
    const result = await loader({
      allow: parseAllowList('127.0.0.1, ::1'),
      lookup: async () => answers('::1', '::1', '::1', '::1', '::1', '127.0.0.1'),
    }).fromUrl(`http://two.test:${url.port}/`);
    expect(result).toMatchObject({ ok: true });
  });

  it('that does not exist is named in the message', async () => {
    const notFound = failure('INPUT_UNREACHABLE', 'host not found: nowhere.test');
    expect(await loader({ lookup: async () => [] }).fromUrl('http://nowhere.test/?key=1')).toEqual(notFound);
    const rejecting = async () => {
      throw Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' });
    };
    expect(await loader({ lookup: rejecting }).fromUrl('http://nowhere.test/')).toEqual(notFound);
  });

  it('whose name server is silent times out like a connection, and an abort does not wait for it', async () => {
    const told: AbortSignal[] = [];
    const lookup = (_: string, signal: AbortSignal) => {
      told.push(signal);
      return new Promise<never>(() => {});
    };
    const timeout = failure('INPUT_UNREACHABLE', /^Connection timeout/);
    expect(await loader({ connectTimeoutMs: 100, lookup }).fromUrl('http://silent.test/')).toEqual(timeout);
    expect(await loader({ totalTimeoutMs: 100, lookup }).fromUrl('http://silent.test/')).toEqual(timeout);
    const caller = new AbortController();
    const result = loader({ lookup }).fromUrl('http://silent.test/', caller);
    await expect.poll(() => told.length).toBe(3);
    const reason = new Error('left');
    caller.abort(reason);
    await expect(result).rejects.toBe(reason);
    expect(told.map(signal => signal.aborted)).toEqual([true, true, true]);
  });

  it('whose connection ends up at another address gets no request', async () => {
    let heard = 0;
    const port = await serveTcp(socket => {
      socket.on('data', () => {
        heard += 1;
      });
    });
    // The system takes 0.0.0.0 for this host, so who connects to it arrives at 127.0.0.1.
    const get = (allow: string) =>
      loader({ allow: parseAllowList(allow), lookup: async () => answers('0.0.0.0') }).fromUrl(
        `http://elsewhere.test:${port}/`,
      );
    const elsewhere = failure('INPUT_BLOCKED', 'the connection led elsewhere');
    expect(await get('0.0.0.0')).toEqual(elsewhere);
    expect(await get('0.0.0.0, 127.0.0.1')).toEqual(elsewhere);
    expect(heard).toBe(0);
  });

  it('that resolves to a malformed address is rejected', async () => {
    for (const address of ['', 'localhost', '127.1', 'fe80::1%eth0', '8.8.8.8%1']) {
      const result = await loader({ lookup: async () => answers(address) }).fromUrl('http://odd.test/');
      expect(result).toEqual(failure('INPUT_BLOCKED'));
    }
  });
});

describe('FETCH_ALLOW', () => {
  it('allows hosts, addresses and networks, at all ports or at one', async () => {
    const bytes = await plainImage().png().toBuffer();
    const { port } = new URL(await serve((_, response) => response.end(bytes)));
    const get = async (allow: string, host = 'photos.test') => {
      const one = loader({ allow: parseAllowList(allow), lookup: async () => answers('127.0.0.1') });
      const result = await one.fromUrl(`http://${host}:${port}/`);
      return result.ok ? 'ok' : result.failure.message;
    };
    const rejected = /^photos\.test leads to a loopback address: /;
    expect(await get('photos.test')).toBe('ok');
    expect(await get('PHOTOS.test', 'photos.TEST')).toBe('ok');
    expect(await get(`photos.test:${port}`)).toBe('ok');
    expect(await get('127.0.0.0/8')).toBe('ok');
    expect(await get(`10.0.0.0/8, 127.0.0.1:${port}`, '127.1')).toBe('ok');
    expect(await get('bücher.test', 'b%C3%BCcher.test')).toBe('ok');
    expect(await get('')).toMatch(rejected);
    expect(await get('photos.test:1')).toMatch(rejected);
    expect(await get('127.0.0.1:1')).toMatch(rejected);
    expect(await get('test')).toMatch(rejected);
    expect(await get('10.0.0.0/8,other.test')).toMatch(rejected);
    expect(await get('localhost', '127.0.0.1')).toMatch(/^127\.0\.0\.1 is a loopback address: /);
  });
});

describe('loopback', () => {
  it('gets no connection in any spelling unless it is allowed', async () => {
    let connections = 0;
    const port = await serveTcp(() => {
      connections += 1;
    });
    const closed = loader({ allow: parseAllowList('') });
    for (const host of [
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f.1',
      '0',
      '[::ffff:127.0.0.1]',
      'localhost',
    ]) {
      expect(await closed.fromUrl(`http://${host}:${port}/`)).toEqual(failure('INPUT_BLOCKED'));
    }
    expect(connections).toBe(0);
  });
});

describe('the networks of this host', () => {
  it('include its own addresses and their neighbours, public or not', () => {
    const interfaces = () => ({
      eth0: [{ cidr: '93.184.216.34/24' }, { cidr: '2606:4700:1::7/64' }, { cidr: null }],
      gone: undefined,
    });
    expect(isOwnNetwork('93.184.216.34', interfaces)).toBe(true);
    expect(isOwnNetwork('93.184.216.99', interfaces)).toBe(true);
    expect(isOwnNetwork('::ffff:93.184.216.99', interfaces)).toBe(true);
    expect(isOwnNetwork('2606:4700:1::99', interfaces)).toBe(true);
    expect(isOwnNetwork('93.184.217.1', interfaces)).toBe(false);
    expect(isOwnNetwork('2606:4700:2::1', interfaces)).toBe(false);
    expect(isOwnNetwork('127.0.0.1')).toBe(true);
  });
});

describe('TLS', () => {
  const trusted = selfSigned('photos.test');
  const before = getCACertificates('default');
  beforeAll(() => setDefaultCACertificates([...before, trusted.cert]));
  afterAll(() => setDefaultCACertificates(before));

  it('uses the name for SNI and the certificate, although it connects to an address', async () => {
    const bytes = await plainImage().png().toBuffer();
    const seen: { name: unknown; host: unknown; protocol: unknown }[] = [];
    const port = await listenInTest(
      createTlsServer(trusted, (request, response) => {
        const name = 'servername' in request.socket ? request.socket.servername : null;
        seen.push({ name, host: request.headers.host, protocol: request.httpVersion });
        response.end(bytes);
      }),
    );
    const one = loader({ lookup: async () => answers('127.0.0.1') });
    expect(await one.fromUrl(`https://photos.test:${port}/`)).toMatchObject({ ok: true });
    expect(seen).toEqual([{ name: 'photos.test', host: `photos.test:${port}`, protocol: '1.1' }]);
    const invalid = failure('INPUT_UNREACHABLE', 'its TLS certificate is not valid');
    expect(await one.fromUrl(`https://other.test:${port}/`)).toEqual(invalid);
    expect(await one.fromUrl(`https://127.0.0.1:${port}/`)).toEqual(invalid);
    expect(seen).toHaveLength(1);
  });

  it('rejects an untrusted certificate, and a server without TLS', async () => {
    const port = await listenInTest(
      createTlsServer(selfSigned('photos.test'), (_, response) => response.end()),
    );
    const one = loader({ lookup: async () => answers('127.0.0.1') });
    expect(await one.fromUrl(`https://photos.test:${port}/`)).toEqual(
      failure('INPUT_UNREACHABLE', 'its TLS certificate is not valid'),
    );
    const plain = await listenInTest(createServer((_, response) => response.end()));
    expect(await one.fromUrl(`https://photos.test:${plain}/`)).toEqual(failure('INPUT_UNREACHABLE'));
  });
});

describe('a server that never ends the TLS handshake', () => {
  it('times out, and loses its connection then, on abort and on close', async () => {
    const arrived = [0, 1, 2].map(() => Promise.withResolvers<void>());
    const left = [0, 1, 2].map(() => Promise.withResolvers<void>());
    let connections = 0;
    const port = await serveTcp(socket => {
      const index = connections;
      connections += 1;
      socket.resume();
      socket.on('close', () => left[index]?.resolve());
      arrived[index]?.resolve();
    });
    const url = `https://127.0.0.1:${port}/`;
    expect(await loader({ connectTimeoutMs: 100 }).fromUrl(url)).toEqual(
      failure('INPUT_UNREACHABLE', 'Connection timeout'),
    );
    await left[0]?.promise;

    const caller = new AbortController();
    // Longer than a test may take: no clock ends these two.
    const patient = { connectTimeoutMs: 60_000, totalTimeoutMs: 60_000 };
    const aborted = loader(patient).fromUrl(url, caller);
    await arrived[1]?.promise;
    const reason = new Error('left');
    caller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    await left[1]?.promise;

    const closing = loader(patient);
    const ended = closing.fromUrl(url);
    await arrived[2]?.promise;
    await closing.close();
    expect(await ended).toEqual(failure('INPUT_UNREACHABLE', 'the gateway is shutting down'));
    await left[2]?.promise;
  });
});

describe('proxies of the environment', () => {
  it('are ignored', async () => {
    const bytes = await plainImage().png().toBuffer();
    const url = await serve((_, response) => response.end(bytes));
    // Whoever asked a proxy on this port would be refused.
    const proxy = `http://127.0.0.1:${await freePort()}`;
    const module = new URL('../../src/', import.meta.url).href;
    const script = `
      import { parseAllowList } from '${module}outbound/allow-list.ts';
      import { createImageLoader } from '${module}images/loader.ts';
      const loader = createImageLoader({
        allow: parseAllowList('127.0.0.1'), maxBytes: 1e6, maxPixels: 1e6, totalTimeoutMs: 5000,
      });
      const result = await loader.fromUrl('${url}/');
      await loader.close();
      console.log(result.ok ? 'taken' : result.failure.message);`;
    const env = { ...process.env, NODE_USE_ENV_PROXY: '1', NO_PROXY: '', no_proxy: '' };
    for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy']) {
      Object.assign(env, { [name]: proxy });
    }
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { env });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const code = await new Promise(resolve => child.on('close', resolve));
    expect({ code, output: output.trim() }).toEqual({ code: 0, output: 'taken' });
  });
});
