import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { readConfig } from '../../../src/config.ts';
import { createRateLimiter } from '../../../src/http/limits/rate.ts';
import { httpLimits } from '../../../src/http-limits.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, as, KEYS, postGraphQL } from '../../support/requests.ts';
import { codesOf, openSocket } from '../../support/sockets.ts';
import { startRedis, type TestRedis } from '../../support/stores/redis.ts';

describe('the rate limiter', () => {
  it('allows the limit in a burst, then as many as time gives back', () => {
    let at = 0;
    const limiter = createRateLimiter({ limit: 4, windowMs: 1_000 }, () => at);
    expect([1, 2, 3, 4, 5].map(() => limiter.take('a').ok)).toEqual([true, true, true, true, false]);
    expect(limiter.take('a')).toEqual({ ok: false, limit: 4, remaining: 0, retryAfterMs: 250 });
    expect(limiter.take('b')).toMatchObject({ ok: true, remaining: 3 });
    at = 249;
    expect(limiter.take('a').ok).toBe(false);
    at = 250;
    expect(limiter.take('a')).toMatchObject({ ok: true, remaining: 0 });
    at = 10_000;
    expect(limiter.take('a')).toMatchObject({ ok: true, remaining: 3 });
  });

  it('allows at most twice the limit in any window, and the whole limit after a quiet one', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 300 }),
        (limit, pauses) => {
          let at = 0;
          const limiter = createRateLimiter({ limit, windowMs: 1_000 }, () => at);
          const taken: number[] = [];
          for (const pause of pauses) {
            at += pause;
            if (limiter.take('a').ok) taken.push(at);
          }
          for (const start of taken) {
            expect(taken.filter(time => time >= start && time < start + 1_000).length).toBeLessThanOrEqual(
              2 * limit,
            );
          }
          at += 1_000;
          for (let i = 0; i < limit; i += 1) expect(limiter.take('a').ok).toBe(true);
        },
      ),
    );
  });
});

describe('RATE_LIMIT', () => {
  const limitOf = (environment: Record<string, string>) => {
    const config = readConfig(environment);
    if (!config.ok) throw new Error(config.faults.join());
    return httpLimits(config.config).rate;
  };
  it('is off on loopback and 300/1m elsewhere by default', () => {
    expect(limitOf({})).toBeNull();
    expect(limitOf({ HOST: '0.0.0.0', ALLOW_ANONYMOUS: '1' })).toEqual({ limit: 300, windowMs: 60_000 });
    expect(limitOf({ HOST: '0.0.0.0', ALLOW_ANONYMOUS: '1', RATE_LIMIT: 'off' })).toBeNull();
    expect(limitOf({ RATE_LIMIT: '100/1m' })).toEqual({ limit: 100, windowMs: 60_000 });
  });
  it.each(['100', '0/1m', '100/', '100/1y', '-1/1m', '1/0s'])('rejects %s', value => {
    expect(readConfig({ RATE_LIMIT: value })).toMatchObject({
      ok: false,
      faults: [expect.stringMatching(/^RATE_LIMIT: takes/)],
    });
  });
});

describe('a caller above its rate', () => {
  let rig: Rig;
  afterEach(() => rig.close());

  it('is rejected over REST, GraphQL and sockets, with one count for all', async () => {
    rig = await startRig({ API_KEYS, RATE_LIMIT: '6/1h' });
    const socket = await openSocket(rig.url, { apiKey: KEYS.alice });
    for (let i = 0; i < 2; i += 1) {
      expect((await fetch(`${rig.url}/jobs`, { headers: as(KEYS.alice) })).status).toBe(200);
      expect((await postGraphQL(rig.url, '{ engines { id } }', {}, as(KEYS.alice))).status).toBe(200);
      expect((await socket.run({ query: '{ engines { id } }' })).type).toBe('next');
    }
    const rest = await fetch(`${rig.url}/jobs`, { headers: as(KEYS.alice) });
    expect(rest.status).toBe(429);
    expect(await rest.json()).toEqual({
      detail: expect.stringMatching(/^Too many requests, try again in \d+ s$/),
    });
    expect(Number(rest.headers.get('retry-after'))).toBeGreaterThan(500);
    expect(rest.headers.get('x-ratelimit-remaining')).toBe('0');
    const graphql = await postGraphQL(rig.url, '{ engines { id } }', {}, as(KEYS.alice));
    expect([graphql.status, graphql.errors?.[0]?.extensions?.code]).toEqual([429, 'RATE_LIMITED']);
    expect(codesOf(await socket.run({ query: '{ engines { id } }' }))).toEqual(['RATE_LIMITED']);
    // The socket stays open, and other callers are not affected.
    expect(socket.socket.readyState).toBe(WebSocket.OPEN);
    expect((await fetch(`${rig.url}/jobs`, { headers: as(KEYS.bob) })).status).toBe(200);
    socket.socket.close();
  });

  it('cannot guess keys faster than the rate', async () => {
    rig = await startRig({ API_KEYS, RATE_LIMIT: '3/1h' });
    const statuses: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const answer = await fetch(`${rig.url}/jobs`, { headers: { 'x-api-key': `guess ${i}` } });
      statuses.push(answer.status);
      await answer.text();
    }
    expect(statuses).toEqual([401, 401, 401, 429, 429]);
    // Callers with a valid key are counted by their name.
    expect((await fetch(`${rig.url}/jobs`, { headers: as(KEYS.alice) })).status).toBe(200);
    await expect(openSocket(rig.url, { apiKey: 'guess' })).rejects.toThrow('429');
  });

  it('is counted by address without keys, and GET / is not limited', async () => {
    rig = await startRig({ RATE_LIMIT: '2/1h' });
    const statuses = [];
    for (let i = 0; i < 3; i += 1) statuses.push((await fetch(`${rig.url}/jobs`)).status);
    expect(statuses).toEqual([200, 200, 429]);
    expect((await fetch(rig.url)).status).toBe(200);
  });
});

describe('two gateways on one Redis', () => {
  let redis: TestRedis;
  let rigs: Rig[];
  const start = async (rate: string): Promise<[Rig, Rig]> => {
    redis = await startRedis();
    const environment = { API_KEYS, RATE_LIMIT: rate, REDIS_URL: redis.url };
    const [one, other] = [await startRig(environment), await startRig(environment)];
    rigs = [one, other];
    return [one, other];
  };
  afterEach(async () => {
    await Promise.all(rigs.map(rig => rig.close()));
    await redis.stop();
  });
  /** Sends a query that reads no store. */
  const ask = async (rig: Rig): Promise<number> =>
    (await postGraphQL(rig.url, '{ engines { id } }', {}, as(KEYS.alice))).status;

  it('share the count of a caller, across REST, GraphQL and sockets', async () => {
    const [one, other] = await start('6/1h');
    const socket = await openSocket(other.url, { apiKey: KEYS.alice });
    for (let i = 0; i < 2; i += 1) {
      const rest = await fetch(`${one.url}/jobs`, { headers: as(KEYS.alice) });
      expect([rest.status, rest.headers.get('x-ratelimit-remaining')]).toEqual([200, String(5 - 3 * i)]);
      expect(await ask(other)).toBe(200);
      expect((await socket.run({ query: '{ engines { id } }' })).type).toBe('next');
    }
    for (const rig of [one, other]) {
      const rest = await fetch(`${rig.url}/jobs`, { headers: as(KEYS.alice) });
      expect(rest.status).toBe(429);
      expect(Number(rest.headers.get('retry-after'))).toBeGreaterThan(500);
      expect(await ask(rig)).toBe(429);
    }
    expect(codesOf(await socket.run({ query: '{ engines { id } }' }))).toEqual(['RATE_LIMITED']);
    expect((await fetch(`${other.url}/jobs`, { headers: as(KEYS.bob) })).status).toBe(200);
    socket.socket.close();
  });

  it.each(['killed', 'frozen'] as const)('count locally while Redis is %s', async how => {
    const [one, other] = await start('2/1h');
    expect([await ask(one), await ask(other), await ask(one)]).toEqual([200, 200, 429]);
    if (how === 'killed') await redis.kill();
    else redis.pause();
    for (const rig of [one, other]) {
      const statuses = [await ask(rig), await ask(rig), await ask(rig)];
      expect(statuses).toEqual([200, 200, 429]);
    }
    if (how === 'frozen') redis.resume();
    // A restarted Redis has no counts; a resumed one knows that the budget is used up.
    else await redis.restart();
    await expect.poll(() => ask(one)).toBe(how === 'killed' ? 200 : 429);
  });

  it('count concurrent sockets before they open', async () => {
    const [one, other] = await start('2/1h');
    const opened = await Promise.allSettled(
      [one, other, one, other].map(({ url }) => openSocket(url, { apiKey: KEYS.alice })),
    );
    const sockets = opened.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []));
    const rejections = opened.flatMap(result =>
      result.status === 'rejected' ? [String(result.reason)] : [],
    );
    expect(sockets).toHaveLength(2);
    expect(rejections).toEqual([expect.stringContaining('429'), expect.stringContaining('429')]);
    for (const { socket } of sockets) socket.close();
  });
});
