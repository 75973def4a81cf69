import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, as, askGraphQL, KEYS, openSocket } from './support.ts';

const ISSUER = 'https://id.example/';
const AUDIENCE = 'qwen-edit';

let issuer: Server;
let rig: Rig;
let key: CryptoKey;
let stranger: CryptoKey;
let away = false;
beforeAll(async () => {
  const pair = await generateKeyPair('ES256');
  key = pair.privateKey;
  stranger = (await generateKeyPair('ES256')).privateKey;
  const jwks = { keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'one', alg: 'ES256', use: 'sig' }] };
  issuer = createServer((_request, response) => {
    if (away) response.writeHead(500).end();
    else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(jwks));
  });
  issuer.listen(0, '127.0.0.1');
  await once(issuer, 'listening');
  rig = await startRig(settings());
});
afterAll(async () => {
  await rig.close();
  issuer.closeAllConnections();
  issuer.close();
});

function settings(): Record<string, string> {
  const address = issuer.address();
  const port = typeof address === 'object' ? address?.port : 0;
  return { JWT_JWKS_URL: `http://127.0.0.1:${port}/`, JWT_ISSUER: ISSUER, JWT_AUDIENCE: AUDIENCE, API_KEYS };
}

interface Claims {
  sub?: string;
  iss?: string;
  aud?: string;
  exp?: number | string;
  [name: string]: unknown;
}

function sign(
  { sub = 'ann', iss = ISSUER, aud = AUDIENCE, exp = '5m', ...rest }: Claims = {},
  by = key,
  kid = 'one',
) {
  const token = new SignJWT(rest).setProtectedHeader({ alg: 'ES256', kid }).setIssuer(iss).setAudience(aud);
  if (sub !== '') token.setSubject(sub);
  if (exp !== '') token.setExpirationTime(exp);
  return token.sign(by);
}

const jobs = async (token: string): Promise<number> => {
  const answer = await fetch(`${rig.url}/jobs`, { headers: { authorization: `Bearer ${token}` } });
  await answer.text();
  return answer.status;
};

const seconds = (): number => Math.floor(Date.now() / 1000);

describe('a token', () => {
  it('lets its subject in, beside keys', async () => {
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
    ['signed by somebody else', () => sign({}, stranger)],
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
      'whose claims were changed',
      async () =>
        (await sign()).replace(/\.[^.]+\./, `.${Buffer.from('{"sub":"x"}').toString('base64url')}.`),
    ],
    ['that is none', () => 'a.b.c'],
  ])('%s is refused', async (_, token) => {
    expect(await jobs(await token())).toBe(401);
  });

  it.each([
    [{ role: 'operator' }, 200],
    [{ roles: ['user', 'operator'] }, 200],
    [{ role: 'user' }, 403],
    [{ operator: true }, 403],
  ])('%j may debug: %i', async (claims, status) => {
    const answer = await fetch(`${rig.url}/debug/files`, { headers: as(await sign(claims)) });
    expect(answer.status).toBe(status);
    await answer.text();
  });

  it('of one subject does not show the jobs of another, or of a key of the same name', async () => {
    const sent = await askGraphQL(
      rig.url,
      `mutation { editImage(input: { images: [{ url: "${rig.pictures}/red.png" }], prompt: "x", steps: 1, megapixels: 0.1 }) { ... on Job { id } } }`,
      {},
      as(await sign({ sub: 'alice' })),
    );
    const id = JSON.stringify(sent.data).match(/[0-9a-f-]{36}/)?.[0];
    const read = (token: string) => askGraphQL(rig.url, `{ job(id: "${id}") { id } }`, {}, as(token));
    expect((await read(await sign({ sub: 'alice' }))).data).toEqual({ job: { id } });
    expect((await read(await sign({ sub: 'bob' }))).data).toEqual({ job: null });
    expect((await read(KEYS.alice)).data).toEqual({ job: null });
  });

  it('ends its socket when it is over, with 4401', async () => {
    const socket = await openSocket(rig.url, {
      authorization: `Bearer ${await sign({ exp: seconds() + 1 })}`,
    });
    expect(await socket.closed).toEqual({ code: 4401, reason: 'Unauthorized' });
  });

  it('is neither good nor bad while the issuer is away: 503, and 1013 over a socket', async () => {
    away = true;
    const second = await startRig(settings());
    try {
      const answer = await fetch(`${second.url}/jobs`, { headers: as(await sign()) });
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '10']);
      await answer.text();
      const socket = await openSocket(second.url, { authorization: `Bearer ${await sign()}` });
      expect((await socket.closed).code).toBe(1013);
    } finally {
      away = false;
      await second.close();
    }
  });
});
