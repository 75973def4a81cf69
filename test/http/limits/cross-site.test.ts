import { once } from 'node:events';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { type Rig, startRig } from '../../support/gateway.ts';
import { openSocket } from '../../support/sockets.ts';

const FRIEND = 'https://app.example.com';
const STRANGER = 'https://evil.example';

let rig: Rig;
let open: Rig;
beforeAll(async () => {
  rig = await startRig();
  open = await startRig({ CORS_ORIGINS: `${FRIEND}, http://localhost:5173` });
});
afterAll(async () => {
  await rig.close();
  await open.close();
});

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

/** Like fetch(), with headers that fetch does not allow. */
async function ask(url: string, method: string, headers: Record<string, string>, body = ''): Promise<Answer> {
  const sent = request(url, { method, headers });
  sent.end(body);
  const [response] = await once(sent, 'response');
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

const QUERY = JSON.stringify({ query: '{ engines { id } }' });
const GET = `?query=${encodeURIComponent('{ engines { id } }')}`;

describe('a request that a foreign page could have sent', () => {
  it.each<[string, string, Record<string, string>, string, number]>([
    [
      'a plain form',
      'POST',
      { 'content-type': 'application/x-www-form-urlencoded' },
      `query=${encodeURIComponent('{engines{id}}')}`,
      403,
    ],
    ['a form with files', 'POST', { 'content-type': 'multipart/form-data; boundary=x' }, '', 403],
    ['JSON as text', 'POST', { 'content-type': 'text/plain' }, QUERY, 403],
    ['JSON as text, with a capital', 'POST', { 'content-type': 'Text/Plain;charset=utf-8' }, QUERY, 403],
    ['no type', 'POST', {}, QUERY, 403],
    ['JSON', 'POST', { 'content-type': 'application/json' }, QUERY, 200],
    [
      'a form with the header of Yoga',
      'POST',
      { 'content-type': 'application/x-www-form-urlencoded', 'x-graphql-yoga-csrf': '1' },
      `query=${encodeURIComponent('{engines{id}}')}`,
      200,
    ],
  ])('is recognised by %s', async (_, method, headers, body, status) => {
    const answer = await ask(`${rig.url}/graphql`, method, headers, body);
    expect([answer.status, answer.body]).toEqual([status, expect.anything()]);
    if (status === 403) expect(JSON.parse(answer.body).errors[0].extensions.code).toBe('FORBIDDEN');
  });

  it.each<[Record<string, string>, number]>([
    [{}, 200],
    [{ 'sec-fetch-site': 'same-origin' }, 200],
    [{ 'sec-fetch-site': 'none' }, 200],
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
    [{ origin: STRANGER }, 403],
    [{ 'sec-fetch-site': 'cross-site', 'apollo-require-preflight': 'yes' }, 200],
    [{ 'sec-fetch-site': 'cross-site', 'content-type': 'application/json' }, 200],
    [{ 'sec-fetch-site': 'cross-site', accept: 'text/event-stream' }, 403],
  ])('by GET is recognised by %j', async (headers, status) => {
    expect((await ask(`${rig.url}/graphql${GET}`, 'GET', headers)).status).toBe(status);
  });

  it('cannot run a mutation by GET', async () => {
    const query = encodeURIComponent('mutation { setEngineState(id: "x", drained: true) { __typename } }');
    const answer = await ask(`${rig.url}/graphql?query=${query}`, 'GET', {});
    expect(answer.status).toBe(405);
  });

  it('cannot submit an edit over REST', async () => {
    const answer = await ask(
      `${rig.url}/edit-image`,
      'POST',
      { 'content-type': 'text/plain', origin: STRANGER },
      '{}',
    );
    expect(answer.status).toBe(415);
  });
});

const PATHS = ['/', '/jobs', '/graphql?query={__typename}', '/status/x', '/openapi.json'];

describe('CORS', () => {
  it.each(PATHS)('allows only CORS_ORIGINS to read %s', async path => {
    for (const origin of [STRANGER, FRIEND, 'null', rig.url]) {
      const answer = await ask(rig.url + path, 'GET', { origin, 'apollo-require-preflight': '1' });
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    }
    const stranger = await ask(open.url + path, 'GET', { origin: STRANGER, 'apollo-require-preflight': '1' });
    expect(stranger.headers['access-control-allow-origin']).toBeUndefined();
    const friend = await ask(open.url + path, 'GET', { origin: FRIEND, 'apollo-require-preflight': '1' });
    expect(friend.headers['access-control-allow-origin']).toBe(FRIEND);
    expect(friend.headers['access-control-allow-credentials']).toBeUndefined();
    expect(friend.headers.vary?.toString().toLowerCase()).toContain('origin');
  });

  it.each(['/graphql', '/edit-image', '/jobs/x'])(
    'answers the questions of browsers about %s',
    async path => {
      const question = {
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type,authorization,x-api-key',
      };
      const friend = await ask(open.url + path, 'OPTIONS', { origin: FRIEND, ...question });
      expect(friend.status).toBe(204);
      expect(friend.headers['access-control-allow-origin']).toBe(FRIEND);
      expect(friend.headers['access-control-allow-headers']).toContain('authorization');
      for (const url of [rig.url, open.url]) {
        const stranger = await ask(url + path, 'OPTIONS', { origin: STRANGER, ...question });
        expect(stranger.headers['access-control-allow-origin']).toBeUndefined();
      }
    },
  );
});

describe('sockets', () => {
  const connect = async (url: string, origin: string): Promise<number> => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { origin });
    return new Promise(resolve => {
      socket.once('unexpected-response', (_request, response) => {
        socket.once('error', () => resolve(response.statusCode ?? 0));
        socket.terminate();
      });
      socket.once('open', () => {
        socket.close();
        resolve(101);
      });
    });
  };

  it('are opened by pages of the own origin and of CORS_ORIGINS only', async () => {
    expect(await connect(rig.url, rig.url)).toBe(101);
    expect(await connect(rig.url, STRANGER)).toBe(403);
    expect(await connect(rig.url, 'null')).toBe(403);
    expect(await connect(rig.url, FRIEND)).toBe(403);
    expect(await connect(open.url, FRIEND)).toBe(101);
    expect(await connect(open.url, STRANGER)).toBe(403);
  });

  it('are opened by clients without an origin', async () => {
    const socket = await openSocket(rig.url);
    expect((await socket.run({ query: '{ __typename }' })).type).toBe('next');
    socket.socket.close();
  });
});

describe('a Host on loopback', () => {
  const port = () => new URL(rig.url).port;
  it.each([
    ['evil.example', 403],
    ['localhost.evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['', 403],
    ['localhost', 200],
    ['app.localhost', 200],
    ['[::1]', 200],
    ['192.168.1.7', 200],
  ])('%s gets %i', async (name, status) => {
    const host = `${name}:${port()}`;
    expect((await ask(`${rig.url}/jobs`, 'GET', { host })).status).toBe(status);
    expect(
      (await ask(`${rig.url}/graphql`, 'POST', { host, 'content-type': 'application/json' }, QUERY)).status,
    ).toBe(status);
    const socket = openSocket(rig.url, {}, { host, origin: `http://${host}` });
    if (status === 403) await expect(socket).rejects.toThrow('403');
    else (await socket).socket.close();
  });

  it('is accepted if PUBLIC_URL names it', async () => {
    const named = await startRig({ PUBLIC_URL: 'https://edit.example/' });
    expect((await ask(`${named.url}/jobs`, 'GET', { host: 'edit.example' })).status).toBe(200);
    expect((await ask(`${named.url}/jobs`, 'GET', { host: 'other.example' })).status).toBe(403);
    await named.close();
  });
});

describe('every response', () => {
  it.each(['/', '/jobs', '/nowhere', '/status/x', '/graphql?query={__typename}', '/docs', '/graphql'])(
    '%s has the security headers of its kind',
    async path => {
      const isPage = path === '/docs' || path === '/graphql';
      const answer = await ask(rig.url + path, 'GET', isPage ? { accept: 'text/html' } : {});
      expect(answer.headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'cross-origin-resource-policy': 'same-origin',
        'content-security-policy': expect.stringContaining('frame-ancestors'),
      });
      expect(answer.headers['cross-origin-opener-policy']).toBe(isPage ? 'same-origin' : undefined);
      expect(answer.headers['origin-agent-cluster']).toBe(isPage ? '?1' : undefined);
      expect(answer.headers['strict-transport-security']).toBeUndefined();
      expect(answer.headers['x-powered-by']).toBeUndefined();
      expect(answer.headers.server).toBeUndefined();
    },
  );
});
