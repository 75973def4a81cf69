import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readPersisted, SHIPPED_DOCUMENTS } from '../../../src/operations/persisted-manifest.ts';
import { ask, askBothWays, json, OFTEN, type Post, post } from '../../support/both-ways.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { ANNOUNCED, API_KEYS, as, KEYS, postTooMuch } from '../../support/requests.ts';
import { openSocket } from '../../support/sockets.ts';

let rig: Rig;
let id: string;
/** The hash of one of the shipped documents. */
let listed: string;
beforeAll(async () => {
  rig = await startRig({ PERSISTED_DOCUMENTS: 'on' });
  id = await finishOne(rig);
  const shipped = await readPersisted(SHIPPED_DOCUMENTS);
  listed = [...shipped].find(([, document]) => document.startsWith('query Jobs('))?.[0] ?? '';
});
afterAll(() => rig.close());

async function finishOne({ url, images }: Rig, headers: Record<string, string> = {}): Promise<string> {
  const answer = await fetch(`${url}/edit-image`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ image1_url: `${images.url}/red.png`, prompt: 'x', steps: 2, megapixels: 0.1 }),
  });
  const { job_id: job }: { job_id: string } = await answer.json();
  const completed = async (): Promise<void> => {
    const state = await (await fetch(`${url}/status/${job}`, { headers })).json();
    expect(state.status).toBe('completed');
  };
  await vi.waitFor(completed, { timeout: 30_000 });
  return job;
}

const JOB = 'query Job($id: ID!) { job(id: $id) { __typename id status progress images { url } createdAt } }';

describe('a compiled query is answered directly, with the same response as Yoga’s', () => {
  it.each<[string, () => Post]>([
    ['with variables', () => ask(JOB, { id })],
    ['with its operation named', () => json({ query: JOB, variables: { id }, operationName: 'Job' })],
    ['of an unknown job', () => ask(JOB, { id: 'none' })],
    ['with undeclared variables', () => ask(JOB, { id, other: 1 })],
    ['with a numeric id', () => ask(JOB, { id: 7 })],
    [
      'with null for optional parameters',
      () => json({ query: '{ __typename }', variables: null, operationName: null, extensions: null }),
    ],
    ['with unknown extensions', () => json({ query: '{ __typename }', extensions: { trace: 1 } })],
    [
      'with fragments and aliases',
      () =>
        ask(
          '{ a: jobs(first: 1) { ...P } b: jobs { ...P } } fragment P on EditJobConnection { nodes { id progress } pageInfo { hasNextPage endCursor } }',
        ),
    ],
    [
      'with a list of enums',
      () =>
        ask('query ($s: [EditJobStatus!]) { jobs(status: $s) { nodes { status } } }', { s: ['COMPLETED'] }),
    ],
    [
      'with one enum for a list',
      () => ask('query ($s: [EditJobStatus!]) { jobs(status: $s) { nodes { status } } }', { s: 'COMPLETED' }),
    ],
    ['with a default for a variable', () => ask('query ($n: Int = 1) { jobs(first: $n) { nodes { id } } }')],
    [
      'with JSON and numbers in the request',
      () => ask(`{ job(id: "${id}") { request { seed cfg parameters images { bytes } } size { width } } }`),
    ],
    [
      'of a federation router',
      () =>
        ask(
          'query ($r: [_Any!]!) { _entities(representations: $r) { __typename ... on EditJob { id status } } }',
          { r: [{ __typename: 'EditJob', id }] },
        ),
    ],
    ['by its hash', () => json({ documentId: listed })],
  ])('%s', async (_name, request) => {
    const { directly, often, yoga } = await askBothWays(rig.url, request());
    expect(often).toEqual(yoga);
    expect(often.status).toBe(200);
    expect(JSON.parse(often.body).errors).toBeUndefined();
    expect(directly).toBe(true);
  });

  it.each<[string | undefined, string]>([
    [undefined, 'application/json'],
    ['*/*', 'application/json'],
    ['application/*', 'application/json'],
    ['application/json', 'application/json'],
    ['Application/JSON; q=0.5', 'application/json'],
    ['application/graphql-response+json', 'application/graphql-response+json'],
    ['application/graphql-response+json; charset=utf-8', 'application/graphql-response+json'],
    ['application/graphql-response+json,application/json;q=0.9', 'application/graphql-response+json'],
    ['application/json, application/graphql-response+json', 'application/json'],
    ['text/html, */*;q=0.1', 'application/json'],
    [
      'application/json;charset=latin1, application/graphql-response+json',
      'application/graphql-response+json',
    ],
    [
      'multipart/mixed, application/graphql-response+json, text/event-stream',
      'application/graphql-response+json',
    ],
  ])('for Accept: %s', async (accept, type) => {
    const headers: Record<string, string> = accept === undefined ? {} : { accept };
    const { directly, often, yoga } = await askBothWays(rig.url, { ...ask(JOB, { id }), headers });
    expect(often).toEqual(yoga);
    expect(often).toMatchObject({ status: 200, type: `${type}; charset=utf-8` });
    expect(directly).toBe(true);
  });
});

describe('an operation that is not compiled is answered directly, with the same response as Yoga’s', () => {
  const long = `{ __typename } # ${'x'.repeat(70_000)}`;
  it.each<[string, () => Post]>([
    [
      'two operations, with operationName',
      () => json({ query: 'query A { a: __typename } query B { b: __typename }', operationName: 'B' }),
    ],
    ['a long document', () => ask(long)],
    ['introspection', () => ask('{ __schema { queryType { name } } }')],
    ['a directive', () => ask('query ($no: Boolean!) { engines { id @skip(if: $no) state } }', { no: true })],
    ['an alias named __proto__', () => ask('{ __proto__: __typename engines { id } }')],
    [
      'a variable named like a property of every object',
      () => ask('query ($constructor: Int) { jobs(first: $constructor) { nodes { id } } }'),
    ],
    [
      'a fragment named like a property of every object',
      () => ask('{ engines { ...toString } } fragment toString on EditEngine { id }'),
    ],
    ['a missing variable', () => ask(JOB)],
    ['a null variable', () => ask(JOB, { id: null })],
    ['a variable of the wrong type', () => ask(JOB, { id: { of: 1 } })],
    [
      'a number that is not an Int',
      () => ask('query ($n: Int) { jobs(first: $n) { nodes { id } } }', { n: 1.5 }),
    ],
    [
      'an unknown enum value',
      () => ask('query ($s: [EditJobStatus!]) { jobs(status: $s) { nodes { id } } }', { s: ['LOST'] }),
    ],
    ['an argument that is out of range', () => ask('{ jobs(first: 101) { nodes { id } } }')],
    [
      'a field error',
      () =>
        ask('query ($r: [_Any!]!) { _entities(representations: $r) { __typename } }', {
          r: [{ __typename: 'EditEngine' }],
        }),
    ],
    [
      'a mutation',
      () =>
        ask('mutation ($id: ID!) { retryJob(id: $id) { __typename ... on EditError { code message } } }', {
          id: 'none',
        }),
    ],
  ])('%s', async (_name, request) => {
    const first = await post(rig.url, request());
    const { directly, often, yoga } = await askBothWays(rig.url, request());
    expect(first).toEqual({ directly: true, seen: yoga });
    expect(often).toEqual(yoga);
    expect(directly).toBe(true);
  });

  it('an error in the media type that the client accepts', async () => {
    const headers = { accept: 'application/graphql-response+json' };
    const { directly, often, yoga } = await askBothWays(rig.url, { ...ask(JOB), headers });
    expect(often).toEqual(yoga);
    expect(often.type).toContain('graphql-response+json');
    expect(directly).toBe(true);
  });
});

describe('everything else is answered by Yoga', () => {
  it.each<[string, () => Post]>([
    ['a body that is not JSON', () => ({ body: '{"query": "{ __typename }"' })],
    [
      'JSON after a byte order mark',
      () => ({ body: `\ufeff${JSON.stringify({ query: '{ __typename }' })}` }),
    ],
    ['bytes that are not UTF-8', () => ({ body: Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d) })],
    ['an empty body', () => ({ body: '' })],
    ['null', () => json(null)],
    ['a string', () => json('{ __typename }')],
    ['a batch', () => json([{ query: '{ __typename }' }])],
    ['no query', () => json({ variables: {} })],
    ['a query that is a number', () => json({ query: 7 })],
    ['variables that are a list', () => json({ query: '{ __typename }', variables: [] })],
    ['variables that are a string', () => json({ query: '{ __typename }', variables: '{}' })],
    ['extensions that are a string', () => json({ query: '{ __typename }', extensions: 'x' })],
    ['an unknown parameter', () => json({ query: '{ __typename }', id: 1 })],
    ['a numeric operation name', () => json({ query: '{ __typename }', operationName: 1 })],
    ['an unknown operation name', () => json({ query: JOB, variables: { id }, operationName: 'Other' })],
    ['an empty operation name', () => json({ query: JOB, variables: { id }, operationName: '' })],
    ['two operations, without operationName', () => ask('query A { __typename } query B { __typename }')],
    ['a syntax error', () => ask('{ job(')],
    ['an unknown field', () => ask('{ nothing }')],
    [
      'a document above a limit',
      () => ask(`{ ${Array.from({ length: 16 }, (_, n) => `a${n}: __typename`).join(' ')} }`),
    ],
    ['a document with too many tokens', () => ask(`{ ${'__typename '.repeat(2_000)} }`)],
    ['a subscription', () => ask('subscription { jobProgress(jobId: "none") { id } }')],
    ['an unknown hash', () => json({ documentId: `sha256:${'0'.repeat(64)}` })],
    ['the path with a trailing slash', () => ({ ...ask('{ __typename }'), path: '/graphql/' })],
    ['a path with a query string', () => ({ ...ask('{ __typename }'), path: '/graphql?query=x' })],
    ['Accept without JSON', () => ({ ...ask('{ __typename }'), headers: { accept: 'text/html' } })],
    [
      'Accept: text/event-stream',
      () => ({ ...ask('{ __typename }'), headers: { accept: 'text/event-stream' } }),
    ],
    [
      'Accept in another charset',
      () => ({ ...ask('{ __typename }'), headers: { accept: 'application/json; charset=latin1' } }),
    ],
    ['a compressed body', () => ({ ...ask('{ __typename }'), headers: { 'content-encoding': 'gzip' } })],
  ])('%s', async (_name, request) => {
    const { directly, often, yoga } = await askBothWays(rig.url, request());
    expect(often).toEqual(yoga);
    expect(directly).toBe(false);
  });

  it('a syntax error has its HTTP status, even when a socket sent the text first', async () => {
    const { socket, run } = await openSocket(rig.url);
    const query = '{ jobs(first: 1';
    expect((await run({ query })).type).toBe('error');
    socket.close();
    const headers = { accept: 'application/graphql-response+json' };
    const { seen } = await post(rig.url, { ...ask(query), headers });
    expect(seen).toMatchObject({ status: 400, body: expect.stringContaining('GRAPHQL_PARSE_FAILED') });
  });
});

describe('a query that is answered directly', () => {
  it('is executed for its own caller', async () => {
    const guarded = await startRig({ API_KEYS });
    try {
      const mine = await finishOne(guarded, as(KEYS.alice));
      const seen = async (key: string) => {
        const answer = await post(guarded.url, { ...ask(JOB, { id: mine }), headers: as(key) });
        return { directly: answer.directly, job: JSON.parse(answer.seen.body).data.job?.id ?? null };
      };
      for (let n = 1; n < OFTEN; n += 1) await seen(KEYS.alice);
      expect(await seen(KEYS.alice)).toEqual({ directly: true, job: mine });
      expect(await seen(KEYS.bob)).toEqual({ directly: true, job: null });
      expect(await seen(KEYS.olga)).toEqual({ directly: true, job: mine });
      expect((await post(guarded.url, ask(JOB, { id: mine }))).seen.status).toBe(401);
    } finally {
      await guarded.close();
    }
  });

  it('counts towards the rate limit', async () => {
    const limited = await startRig({ RATE_LIMIT: `${OFTEN + 1}/1h` });
    try {
      const given = ask('{ __typename }');
      for (let n = 0; n < OFTEN; n += 1) await post(limited.url, given);
      expect(await post(limited.url, given)).toMatchObject({ directly: true, seen: { status: 200 } });
      expect((await post(limited.url, given)).seen.status).toBe(429);
    } finally {
      await limited.close();
    }
  });

  it('sees each change of a job immediately', async () => {
    const given = ask('query ($id: ID!) { job(id: $id) { id } }', { id });
    const { often } = await askBothWays(rig.url, given);
    expect(JSON.parse(often.body)).toEqual({ data: { job: { id } } });
    const fleeting = await finishOne(rig);
    const its = ask('query ($id: ID!) { job(id: $id) { id } }', { id: fleeting });
    expect((await post(rig.url, its)).seen.body).toContain(fleeting);
    await rig.graphql('mutation ($id: ID!) { deleteJob(id: $id) { __typename } }', { id: fleeting });
    expect(await post(rig.url, its)).toMatchObject({
      directly: true,
      seen: { body: '{"data":{"job":null}}' },
    });
  });

  it('is dropped when the client leaves before its body is complete', async () => {
    const { hostname, port } = new URL(rig.url);
    const socket = connect(Number(port), hostname);
    const sent = new Promise<void>(resolve =>
      socket.write(
        'POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"query":',
        () => resolve(),
      ),
    );
    await sent;
    socket.destroy();
    expect((await post(rig.url, ask('{ __typename }'))).seen.status).toBe(200);
  });
});

describe('a body that is too large', () => {
  it.each([
    ['announced', ANNOUNCED, 'The body takes at most 64 MiB, got 3 GiB'],
    ['sent in chunks', {}, 'The body takes at most 64 MiB'],
  ])('is answered with the limit before its end: %s', async (_, length, message) => {
    const { status, body, sent } = await postTooMuch(`${rig.url}/graphql`, length);
    expect([status, body]).toEqual([
      413,
      { errors: [{ message, extensions: { code: 'REQUEST_ENTITY_TOO_LARGE' } }] },
    ]);
    expect(sent).toBeLessThan(200 * 1024 ** 2);
  });
});
