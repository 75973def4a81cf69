import { createServer } from 'node:http';
import { generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTokens } from '../../../src/http/access/tokens.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { AUDIENCE, type Claims, ISSUER, type Issuer, startIssuer } from '../../support/issuer.ts';
import { recordLog } from '../../support/log.ts';
import { API_KEYS, as, KEYS, postGraphQL } from '../../support/requests.ts';
import { freePort, listen } from '../../support/servers.ts';
import { openSocket } from '../../support/sockets.ts';
import { type EventReader, openEvents } from '../../support/watch.ts';

let issuer: Issuer;
let rig: Rig;
let stranger: CryptoKey;
beforeAll(async () => {
  stranger = (await generateKeyPair('ES256')).privateKey;
  issuer = await startIssuer();
  rig = await startRig({ ...issuer.settings, API_KEYS });
});
afterAll(async () => {
  await rig.close();
  issuer.stop();
});

const sign = (claims?: Claims, by?: CryptoKey): Promise<string> => issuer.sign(claims, by);

const jobs = async (token: string): Promise<number> => {
  const answer = await fetch(`${rig.url}/jobs`, { headers: { authorization: `Bearer ${token}` } });
  await answer.text();
  return answer.status;
};

const seconds = (): number => Math.floor(Date.now() / 1000);

describe('a token', () => {
  it('identifies its subject, beside keys', async () => {
    expect(await jobs(await sign())).toBe(200);
    expect(await jobs(KEYS.alice)).toBe(200);
  });

  it.each<[string, () => Promise<string> | string]>([
    ['of another issuer', () => sign({ iss: 'https://else.example/' })],
    ['for another audience', () => sign({ aud: 'other' })],
    ['that is over', () => sign({ exp: seconds() - 60 })],
    ['that is not yet', () => sign({ nbf: seconds() + 600 })],
    ['without an end', () => sign({ exp: '' })],
    ['without a subject', () => sign({ sub: '' })],
    ['with a subject of 1,000 characters', () => sign({ sub: 'x'.repeat(1000) })],
    ['signed by another issuer', () => sign({}, stranger)],
    [
      'that is not signed',
      () => new UnsecuredJWT({ sub: 'ann', iss: ISSUER, aud: AUDIENCE, exp: seconds() + 60 }).encode(),
    ],
    [
      'signed with the public key as a secret',
      () =>
        new SignJWT({})
          .setProtectedHeader({ alg: 'HS256', kid: 'one' })
          .setIssuer(ISSUER)
          .setAudience(AUDIENCE)
          .setSubject('ann')
          .setExpirationTime('5m')
          .sign(new TextEncoder().encode('public')),
    ],
    [
      'with changed claims',
      async () =>
        (await sign()).replace(/\.[^.]+\./, `.${Buffer.from('{"sub":"x"}').toString('base64url')}.`),
    ],
    ['that is none', () => 'a.b.c'],
  ])('%s is rejected', async (_, token) => {
    expect(await jobs(await token())).toBe(401);
  });

  it.each([
    [{ role: 'operator' }, 200],
    [{ roles: ['user', 'operator'] }, 200],
    [{ role: 'user' }, 403],
    [{ operator: true }, 403],
  ])('with %j gets %i from the debug routes', async (claims, status) => {
    const answer = await fetch(`${rig.url}/debug/files`, { headers: as(await sign(claims)) });
    expect(answer.status).toBe(status);
    await answer.text();
  });

  it('gives no access to jobs of another subject, or of a key with the same name', async () => {
    const sent = await postGraphQL(
      rig.url,
      `mutation { editImage(input: { images: [{ url: "${rig.images.url}/red.png" }], prompt: "x", steps: 1, megapixels: 0.1 }) { ... on EditJob { id } } }`,
      {},
      as(await sign({ sub: 'alice' })),
    );
    const id = JSON.stringify(sent.data).match(/[0-9a-f-]{36}/)?.[0];
    const read = (token: string) => postGraphQL(rig.url, `{ job(id: "${id}") { id } }`, {}, as(token));
    expect((await read(await sign({ sub: 'alice' }))).data).toEqual({ job: { id } });
    expect((await read(await sign({ sub: 'bob' }))).data).toEqual({ job: null });
    expect((await read(KEYS.alice)).data).toEqual({ job: null });
  });

  it('closes its socket with 4401 when it expires', async () => {
    const socket = await openSocket(rig.url, {
      authorization: `Bearer ${await sign({ exp: seconds() + 1 })}`,
    });
    expect(await socket.closed).toEqual({ code: 4401, reason: 'Unauthorized' });
  });

  it('gets 503, or 1013 over a socket, while the issuer is unreachable', async () => {
    issuer.setAway(true);
    const second = await startRig({ ...issuer.settings, API_KEYS });
    try {
      const answer = await fetch(`${second.url}/jobs`, { headers: as(await sign()) });
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '10']);
      await answer.text();
      const socket = await openSocket(second.url, { authorization: `Bearer ${await sign()}` });
      expect((await socket.closed).code).toBe(1013);
    } finally {
      issuer.setAway(false);
      await second.close();
    }
  });
});

describe('keys that cannot be fetched', () => {
  const pages = createServer((request, response) => {
    const status = Number(request.url?.slice(1)) || 200;
    response.writeHead(status, { location: '/' }).end('{"keys":"of a house"}');
  });
  let page: string;
  beforeAll(async () => {
    page = `http://127.0.0.1:${await listen(pages)}`;
  });
  afterAll(() => {
    pages.closeAllConnections();
    pages.close();
  });

  it.each<[string, () => Promise<string> | string, RegExp]>([
    ['nothing listens', async () => `http://127.0.0.1:${await freePort()}/jwks`, /ECONNREFUSED/],
    // A label has at most 63 characters (RFC 1035, 2.3.4).
    ['the host has no address', () => `http://${'a'.repeat(64)}.internal/jwks`, /ENOTFOUND|EAI_AGAIN/],
    ['the server speaks no TLS', () => page.replace('http:', 'https:'), /wrong version number|packet length/],
    ['the server fails', () => `${page}/500`, /^the server answered 500$/],
    ['the server redirects', () => `${page}/302`, /^the server answered 302$/],
    ['the response is something else', () => page, /^the response is not a key set$/],
  ])('are in the log once a minute, without the token, when %s', async (_, url, reason) => {
    const log = recordLog();
    const jwksUrl = await url();
    let time = 0;
    const options = {
      jwksUrl,
      issuer: ISSUER,
      audience: AUDIENCE,
      policyClaim: 'policy',
      policies: new Map(),
    };
    const tokens = createTokens({ ...options, now: () => time, log });
    const token = await sign();
    for (let round = 0; round < 3; round += 1) {
      expect(await tokens.verify(token)).toEqual({ ok: false, reason: 'unavailable' });
    }
    const { host } = new URL(jwksUrl);
    const warning = {
      level: 'warn',
      message: expect.stringContaining('JWT_JWKS_URL'),
      fields: { host, reason: expect.stringMatching(reason) },
    };
    expect(log.lines).toEqual([warning]);
    time = 60_000;
    await tokens.verify(token);
    expect(log.lines).toEqual([warning, warning]);
    expect(JSON.stringify(log.lines)).not.toContain(token.slice(0, 20));
  });

  it('are not blamed for an invalid token', async () => {
    const log = recordLog();
    const { JWT_JWKS_URL: jwksUrl = '' } = issuer.settings;
    const options = {
      jwksUrl,
      issuer: ISSUER,
      audience: AUDIENCE,
      policyClaim: 'policy',
      policies: new Map(),
    };
    const tokens = createTokens({ ...options, now: Date.now, log });
    expect(await tokens.verify(await sign({}, stranger))).toEqual({ ok: false, reason: 'invalid' });
    expect(log.lines).toEqual([]);
  });
});

describe.concurrent('a token that expires while a job runs', () => {
  let slow: Rig;
  let job: string;
  beforeAll(async () => {
    slow = await startRig({ ...issuer.settings, SANDBOX_STEP: '150ms' });
    const answer = await fetch(`${slow.url}/edit-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...as(await sign()) },
      body: JSON.stringify({
        image1_url: `${slow.images.url}/red.png`,
        prompt: 'x',
        steps: 100,
        megapixels: 0.1,
      }),
    });
    ({ job_id: job } = await answer.json());
  });
  afterAll(() => slow.close());

  const operation = () => ({ query: `subscription { jobProgress(jobId: "${job}") { status } }` });
  const events = (accept?: string) => (headers: Record<string, string>) =>
    openEvents(`${slow.url}/graphql`, accept === undefined ? headers : { accept, ...headers }, operation());

  /** Checks that the streams did not end because the job did. */
  async function stillRuns(): Promise<void> {
    const answer = await fetch(`${slow.url}/status/${job}`, { headers: as(await sign()) });
    expect(await answer.json()).toMatchObject({ status: 'processing' });
  }

  it('closes a watching socket with 4401', async () => {
    const exp = seconds() + 3;
    const socket = await openSocket(slow.url, as(await sign({ exp })));
    expect(await socket.run(operation())).toMatchObject({ type: 'next' });
    expect(await socket.closed).toEqual({ code: 4401, reason: 'Unauthorized' });
    expect(Date.now()).toBeGreaterThan(exp * 1000 - 100);
    await stillRuns();
  });

  it.each<[string, (headers: Record<string, string>) => Promise<EventReader>]>([
    ['/events', headers => openEvents(`${slow.url}/events/${job}`, headers)],
    ['/graphql for text/event-stream', events('text/event-stream')],
    ['/graphql for it and others', events('application/json, text/event-stream')],
    ['/graphql for it in capitals', events('Text/Event-Stream')],
    ['/graphql for text/*', events('text/*')],
    ['/graphql for */*', events('*/*')],
    ['/graphql for nothing', events()],
  ])('ends its stream of %s', async (_, open) => {
    const exp = seconds() + 3;
    const stream = await open(as(await sign({ exp })));
    expect(stream.status).toBe(200);
    let seen = 0;
    while ((await stream.next()) !== null) seen += 1;
    expect(seen).toBeGreaterThan(1);
    expect(Date.now()).toBeGreaterThan(exp * 1000 - 100);
    await stillRuns();
  });
});
