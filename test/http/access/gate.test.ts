import { type FastifyInstance, type FastifyRequest, fastify } from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeApiKey, parseApiKeys } from '../../../src/http/access/api-keys.ts';
import { createEngineIdentity } from '../../../src/http/access/engine-keys.ts';
import { addGate, createGate } from '../../../src/http/access/gate.ts';
import { createCallers, createIdentity } from '../../../src/http/access/identity.ts';
import { createHeldBytes } from '../../../src/http/limits/held-bytes.ts';
import { createStreams } from '../../../src/http/limits/lifetime.ts';
import { createPeers } from '../../../src/http/peers.ts';
import { createSubscriptionQuota } from '../../../src/operations/quota.ts';

const alice = makeApiKey('alice', 'user');
const olga = makeApiKey('olga', 'operator');

let app: FastifyInstance;
beforeAll(async () => {
  const parsed = parseApiKeys(`${alice.entry},${olga.entry}`);
  if (!parsed.ok) throw new Error(parsed.fault);
  const peers = createPeers(null);
  const callers = createCallers('caller', peers);
  app = fastify();
  const gate = createGate({
    identity: createIdentity({ keys: parsed.value, tokens: null }),
    engineIdentity: createEngineIdentity([]),
    callers,
    peers,
    rate: null,
    quota: createSubscriptionQuota(1),
    heldBytes: createHeldBytes(1_000),
    isOwnHost: () => true,
    streams: createStreams(60_000),
    imageUrls: null,
  });
  addGate(app, gate);
  const callerOf = (request: FastifyRequest) => callers.of(request.raw).caller.id;
  app.get('/plain', async request => callerOf(request));
  app.get('/other-config', { config: {} }, async request => callerOf(request));
  app.get('/public', { config: { access: 'public' } }, async () => 'public');
  app.get('/operator', { config: { access: 'operator' } }, async request => callerOf(request));
  app.get(
    '/either',
    { config: { access: ({ url }) => (url.endsWith('?page') ? 'public' : 'caller') } },
    async () => 'either',
  );
  app.get(
    '/own-format',
    {
      config: { reject: (_request, reply, { status, code }) => reply.code(status).send(`rejected: ${code}`) },
    },
    async () => 'admitted',
  );
});
afterAll(() => app.close());

const get = async (url: string, key?: string) => {
  const headers = key === undefined ? {} : { 'x-api-key': key };
  const { statusCode, body } = await app.inject({ url, headers });
  return [statusCode, body];
};

describe('a route', () => {
  it.each(['/plain', '/other-config'])(
    '%s without declared access requires an identified caller',
    async url => {
      expect(await get(url)).toEqual([401, expect.stringContaining('"detail":"Send a key or token')]);
      expect(await get(url, 'qek_unknown')).toEqual([401, expect.stringContaining('invalid or has expired')]);
      expect(await get(url, alice.key)).toEqual([200, 'key:alice']);
      const head = await app.inject({ method: 'HEAD', url });
      expect(head.statusCode).toBe(401);
    },
  );

  it('with public access identifies no caller', async () => {
    expect(await get('/public')).toEqual([200, 'public']);
  });

  it('for operators rejects users', async () => {
    expect((await get('/operator'))[0]).toBe(401);
    expect(await get('/operator', alice.key)).toEqual([403, '{"detail":"Only operators may do this"}']);
    expect(await get('/operator', olga.key)).toEqual([200, 'key:olga']);
  });

  it('may decide its access by the request', async () => {
    expect(await get('/either?page')).toEqual([200, 'either']);
    expect((await get('/either'))[0]).toBe(401);
  });

  it('may format rejections itself', async () => {
    expect(await get('/own-format')).toEqual([401, 'rejected: UNAUTHENTICATED']);
    expect(await get('/own-format', alice.key)).toEqual([200, 'admitted']);
  });
});
