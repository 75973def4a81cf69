import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { recordLog } from '../support/log.ts';
import { API_KEYS, as, KEYS, submit } from '../support/requests.ts';
import { scrape } from '../support/scrape.ts';
import { until } from '../support/watch.ts';

const log = recordLog();
let rig: Rig;
let id: string;
beforeAll(async () => {
  rig = await startRig({ API_KEYS, LOG_REQUESTS: '1', RATE_LIMIT: '1000/1h' }, log);
  id = await submit(rig, {}, as(KEYS.alice));
  await until(async () => (await (await send(`/status/${id}`)).json()).status === 'completed');
});
afterAll(() => rig.close());

const send = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(rig.url + path, { ...init, headers: { ...as(KEYS.alice), ...init.headers } });

const post = (body: unknown, path = '/graphql'): Promise<Response> =>
  send(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: rig.url },
    body: JSON.stringify(body),
  });

/** Status, headers and body, without what differs between any two responses. */
async function seenOf(response: Response) {
  const {
    date,
    'x-request-id': requestId,
    'x-ratelimit-remaining': left,
    ...headers
  } = Object.fromEntries(response.headers);
  return { status: response.status, headers, body: await response.text(), left: Number(left), requestId };
}

describe('a request that is answered before Fastify', () => {
  it('has the headers and the body of one that Fastify answers', async () => {
    const before = await seenOf(await send(`/status/${id}`));
    const by = await seenOf(await send(`/status/${id}?_=1`));
    expect(before).toEqual({ ...by, left: by.left + 1, requestId: expect.any(String) });
    expect(before.headers).toMatchObject({ 'x-frame-options': 'DENY', 'x-ratelimit-limit': '1000' });
    expect(before.requestId).not.toBe(by.requestId);
  });

  it('has no body for HEAD, and the length of GET', async () => {
    const got = await seenOf(await send(`/status/${id}`));
    const head = await seenOf(await send(`/status/${id}`, { method: 'HEAD' }));
    const length = { 'content-length': got.headers['content-length'] };
    expect(head).toMatchObject({ status: 200, body: '', headers: length });
    expect(length).toEqual({ 'content-length': String(got.body.length) });
  });

  it.each([
    ['an unknown job', () => send('/status/unknown'), 404],
    ['a job of another caller', () => send(`/status/${id}`, { headers: as(KEYS.bob) }), 404],
    ['a document with an error', () => post({ query: '{ nothing }' }), 200],
  ] as const)('takes one from the rate when Fastify answers after all: %s', async (_, ask, status) => {
    await (await ask()).text();
    const one = await seenOf(await ask());
    const two = await seenOf(await ask());
    expect(one).toMatchObject({ status, body: expect.stringMatching(/^\{"(detail|errors)"/) });
    expect(one.left - two.left).toBe(1);
  });

  it('is rejected as the route rejects', async () => {
    const rest = await fetch(`${rig.url}/status/${id}`);
    expect([rest.status, await rest.text()]).toEqual([401, expect.stringContaining('{"detail":"Send a key')]);
    const graphql = await post({ query: '{ __typename }' });
    expect(graphql.status).toBe(200);
    const body = JSON.stringify({ query: '{ __typename }' });
    const headers = { 'content-type': 'application/json' };
    const rejected = await fetch(`${rig.url}/graphql`, { method: 'POST', headers, body });
    expect([rejected.status, await rejected.text()]).toEqual([
      401,
      expect.stringContaining('UNAUTHENTICATED'),
    ]);
  });

  it('is counted and logged once, by its route', async () => {
    const count = async () => {
      const { samples } = await scrape(`${rig.url}/metrics`, as(KEYS.olga));
      const labels = 'method="GET",route="/status/:job_id",status="200"';
      return samples.get(`qwen_edit_http_request_seconds_count{${labels}}`) ?? 0;
    };
    const before = await count();
    await (await send(`/status/${id}`, { headers: { 'x-request-id': 'direct' } })).text();
    const lines = () =>
      log.lines.filter(
        ({ message, fields }) => message === 'request' && Object(fields).requestId === 'direct',
      );
    await until(() => lines().length > 0);
    await (await send('/nothing', { headers: { 'x-request-id': 'after' } })).text();
    await until(() => log.lines.some(({ fields }) => Object(fields).requestId === 'after'));
    expect((await count()) - before).toBe(1);
    expect(lines()).toMatchObject([
      { fields: { method: 'GET', path: `/status/${id}`, status: 200, caller: 'key:alice' } },
    ]);
  });
});
