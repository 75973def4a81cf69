import { ApolloClient, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { CombinedProtocolErrors } from '@apollo/client/errors';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { multipartProcessor } from '../../src/http/graphql/multipart.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { API_KEYS, as, KEYS, submit } from '../support/requests.ts';

/**
 * https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol, and Apollo Client's own
 * reading of it.
 */

const ACCEPT = 'multipart/mixed;subscriptionSpec=1.0, application/json';
const LONG = 'x'.repeat(10_000);
const WATCH = 'subscription ($id: ID!) { jobProgress(jobId: $id) { status revision } }';

interface Watched {
  jobProgress: { status: string; revision: number };
}

let rig: Rig;
const clients: ApolloClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.stop();
});

/** Watches with Apollo Client as it is, until the subscription ends. */
function watchWithApollo(
  id: string,
  { headers = {}, useGET = false }: { headers?: Record<string, string>; useGET?: boolean } = {},
): Promise<{ seen: Watched['jobProgress'][]; error: unknown }> {
  const link = new HttpLink({ uri: `${rig.url}/graphql`, headers, useGETForQueries: useGET });
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  clients.push(client);
  const seen: Watched['jobProgress'][] = [];
  return new Promise((resolve, reject) => {
    client.subscribe<Watched>({ query: gql(WATCH), variables: { id }, fetchPolicy: 'no-cache' }).subscribe({
      next({ data, error }) {
        if (error !== undefined) resolve({ seen, error });
        if (data != null) seen.push(data.jobProgress);
      },
      error: reject,
      complete: () => resolve({ seen, error: null }),
    });
  });
}

async function open(
  query: string,
  variables: object,
  init: RequestInit = {},
  accept = ACCEPT,
): Promise<Response> {
  return fetch(`${rig.url}/graphql`, {
    method: 'POST',
    ...init,
    headers: { 'content-type': 'application/json', accept, ...init.headers },
    body: JSON.stringify({ query, variables }),
  });
}

/** The bodies of a whole response, read by the letter of RFC 2046, 5.1.1. */
async function partsOf(response: Response): Promise<unknown[]> {
  expect(response.headers.get('content-type')).toBe(
    'multipart/mixed;boundary="graphql";subscriptionSpec=1.0',
  );
  const [preamble, ...parts] = `\r\n${await response.text()}`.split('\r\n--graphql');
  expect([preamble, parts.pop()]).toEqual(['', '--\r\n']);
  return parts.map(part => {
    const [, type, body = ''] = /^\r\nContent-Type: (.*)\r\n\r\n(.*)$/.exec(part) ?? [];
    expect(type).toBe('application/json');
    return JSON.parse(body);
  });
}

describe('a subscription over multipart HTTP', () => {
  beforeAll(async () => {
    rig = await startRig({ API_KEYS, SUBSCRIPTIONS_PER_CALLER: '2', SANDBOX_STEP: '60ms' });
  });
  afterAll(() => rig.close());
  const alice = as(KEYS.alice);

  it.each([
    ['POST', {}],
    ['GET', { useGET: true }],
  ] as const)('reaches Apollo Client by %s, up to its end', async (_, options) => {
    const id = await submit(rig, { steps: 10 }, alice);
    const { seen, error } = await watchWithApollo(id, { ...options, headers: alice });
    expect(error).toBeNull();
    const revisions = seen.map(({ revision }) => revision);
    expect(revisions.length).toBeGreaterThan(2);
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    expect(seen.at(-1)?.status).toBe('COMPLETED');
  });

  it('is an empty part, payloads, and the closing boundary', async () => {
    const id = await submit(rig, { steps: 3 }, alice);
    const response = await open(WATCH, { id }, { headers: alice });
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toBe('no-cache');
    const [first, ...rest] = await partsOf(response);
    expect(first).toEqual({});
    expect(rest.length).toBeGreaterThan(1);
    expect(rest.at(-1)).toMatchObject({ payload: { data: { jobProgress: { status: 'COMPLETED' } } } });
  });

  it.each([
    'multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9',
    'multipart/mixed; subscriptionSpec="1.0"',
    'application/json, Multipart/Mixed;subscriptionspec=1.0, text/event-stream',
  ])('is sent for Accept: %s', async accept => {
    const id = await submit(rig, { steps: 1 }, alice);
    const parts = await partsOf(await open(WATCH, { id }, { headers: alice }, accept));
    expect(parts.length).toBeGreaterThan(1);
  });

  it.each([
    ['text/event-stream, multipart/mixed;subscriptionSpec=1.0', 200, 'text/event-stream'],
    ['multipart/mixed, text/event-stream', 200, 'text/event-stream'],
    ['multipart/mixed;deferSpec=20220824', 406, 'application/json; charset=utf-8'],
    ['multipart/mixed;subscriptionSpec=2.0, application/json', 406, 'application/json; charset=utf-8'],
  ])('is not sent for Accept: %s', async (accept, status, type) => {
    const id = await submit(rig, { steps: 1 }, alice);
    const response = await open(WATCH, { id }, { headers: alice }, accept);
    expect([response.status, response.headers.get('content-type')]).toEqual([status, type]);
    await response.text();
  });

  it('reports an unknown job to Apollo Client as errors of the result', async () => {
    const { seen, error } = await watchWithApollo('none', { headers: alice });
    expect(seen).toEqual([]);
    expect(error).toBeInstanceOf(CombinedGraphQLErrors);
  });

  it('sends a single result as a part only to a client that accepts nothing else', async () => {
    const query = '{ __typename }';
    const single = await open(query, {}, { headers: alice });
    expect(await single.json()).toEqual({ data: { __typename: 'Query' } });
    const only = await open(query, {}, { headers: alice }, 'multipart/mixed;subscriptionSpec=1.0');
    expect(await partsOf(only)).toEqual([{}, { payload: { data: { __typename: 'Query' } } }]);
  });

  it('leaves results out for a client that does not read, and ends with the newest', async () => {
    const id = await submit(rig, { steps: 100, prompt: LONG, negativePrompt: LONG }, alice);
    const prompts = Array.from({ length: 15 }, (_, n) => `p${n}: request { prompt negativePrompt }`).join(
      ' ',
    );
    const large = `subscription ($id: ID!) { jobProgress(jobId: $id) { status revision ${prompts} } }`;
    const [read, left] = await Promise.all([
      open(large, { id }, { headers: alice }),
      open(large, { id }, { headers: alice }),
    ]);
    // More than the buffers of a connection hold.
    const all = await partsOf(read);
    const some = await partsOf(left);
    const completed = { payload: { data: { jobProgress: { status: 'COMPLETED' } } } };
    expect([all.at(-1), some.at(-1)]).toMatchObject([completed, completed]);
    expect(all.length).toBeGreaterThan(30);
    expect(some.length).toBeLessThan(all.length / 2);
  });

  it('counts against the caller’s quota until its client leaves', async () => {
    const id = await submit(rig, { steps: 100 }, alice);
    const leave = new AbortController();
    for (const _ of [1, 2]) {
      expect((await open(WATCH, { id }, { headers: alice, signal: leave.signal })).status).toBe(200);
    }
    const full = await open(WATCH, { id }, { headers: alice });
    expect(await full.json()).toMatchObject({ errors: [{ extensions: { code: 'TOO_MANY_SUBSCRIPTIONS' } }] });
    leave.abort();
    await expect
      .poll(async () => {
        const again = new AbortController();
        const response = await open(WATCH, { id }, { headers: alice, signal: again.signal });
        again.abort();
        return response.headers.get('content-type');
      })
      .toContain('multipart/mixed');
  });
});

describe('a subscription over multipart HTTP that ends early', () => {
  it('tells Apollo Client of it as a transport error, at the end of its lifetime and at a stop', async () => {
    rig = await startRig({ SOCKET_LIFETIME: '400ms', SANDBOX_STEP: '200ms' });
    try {
      const id = await submit(rig, { steps: 100 });
      const { seen, error } = await watchWithApollo(id);
      expect(seen.length).toBeGreaterThan(0);
      expect(error).toBeInstanceOf(CombinedProtocolErrors);
      expect(error).toMatchObject({ errors: [{ extensions: { code: 'SUBSCRIPTION_ENDED_EARLY' } }] });
      const response = await open(WATCH, { id });
      const parts = partsOf(response);
      await rig.close();
      expect((await parts).at(-1)).toMatchObject({
        payload: null,
        errors: [{ message: expect.any(String) }],
      });
    } finally {
      await rig.close();
    }
  });
});

describe('heartbeats', () => {
  it('are empty parts while nothing happens, and stop with the response', async () => {
    let left = false;
    const silent: AsyncIterableIterator<never> = {
      [Symbol.asyncIterator]: () => silent,
      next: () => new Promise(() => undefined),
      async return() {
        left = true;
        return { done: true, value: undefined };
      },
    };
    const { body } = multipartProcessor(5)(silent, { Response, ReadableStream });
    const reader = body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (text.split('{}').length < 5) text += (await reader?.read())?.value ?? '';
    expect(text).toMatch(/^--graphql(\r\nContent-Type: application\/json\r\n\r\n\{\}\r\n--graphql){4,}$/);
    await reader?.cancel();
    expect(left).toBe(true);
  });
});
