import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { held } from '../support/memory.ts';
import { postGraphQL } from '../support/requests.ts';
import { codesOf, openSocket } from '../support/sockets.ts';
import { eventually } from '../support/watch.ts';

let rig: Rig;
let strict: Rig;
beforeAll(async () => {
  rig = await startRig();
  strict = await startRig({ GRAPHQL_INTROSPECTION: 'off', GRAPHIQL: 'off', GRAPHQL_MAX_COST: '300' });
});
afterAll(async () => {
  await rig.close();
  await strict.close();
});

/** The codes of a document's errors, and that both ways say the same. */
async function codes(query: string, gateway: Rig = rig): Promise<(string | undefined)[]> {
  const http = await postGraphQL(gateway.url, query);
  const overHttp = (http.errors ?? []).map(({ extensions }) => extensions?.code);
  const socket = await openSocket(gateway.url);
  const message = await socket.run({ query });
  socket.socket.close();
  const overSocket =
    message.type === 'next' && !JSON.stringify(message.payload).includes('"errors"') ? [] : codesOf(message);
  expect(overSocket).toEqual(overHttp);
  return overHttp;
}

const many = (count: number, make: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => make(index)).join(' ');

/** `depth` fields within each other, of which only the schema's own may be so deep. */
const deep = (depth: number): string => {
  const field = depth - 4;
  return `{ jobs { nodes { request { ${field > 0 ? `images { ${'x { '.repeat(field)} slot ${'} '.repeat(field)} }` : 'prompt'} } } } }`;
};

const DOCUMENTS: readonly [string, string, string][] = [
  [
    'aliases',
    `{ ${many(15, i => `a${i}: engines { id }`)} }`,
    `{ ${many(16, i => `a${i}: engines { id }`)} }`,
  ],
  [
    'aliases in fragments that are spread often',
    `{ ${many(5, () => '...F')} } fragment F on Query { a: engines { id } }`,
    `{ ${many(16, () => '...F')} } fragment F on Query { a: engines { id } }`,
  ],
  [
    'directives',
    `{ engines { ${many(50, () => 'id @include(if: true)')} } }`,
    `{ engines { ${many(51, () => 'id @include(if: true)')} } }`,
  ],
  [
    'directives of fragments',
    '{ ...F @include(if: true) } fragment F on Query { engines { id } }',
    `{ ${many(51, () => '... @include(if: true) { engines { id } }')} }`,
  ],
  [
    'cost',
    '{ jobs(first: 100) { nodes { id } } }',
    `{ ${many(15, i => `j${i}: jobs(first: 100) { nodes { id status progress stage step totalSteps revision attempt } }`)} }`,
  ],
  [
    'cost by a variable',
    'query ($n: Int) { jobs(first: $n) { nodes { id } } }',
    `query ($n: Int) { ${many(15, i => `j${i}: jobs(first: $n) { nodes { id status progress stage step totalSteps revision attempt } }`)} }`,
  ],
];

describe('a document', () => {
  it.each(DOCUMENTS)('is limited in its %s', async (_, good, bad) => {
    expect(await codes(good)).toEqual([]);
    expect(new Set(await codes(bad))).toEqual(new Set(['DOCUMENT_LIMIT']));
  });

  it('is limited in its depth, through fragments too', async () => {
    const found = await codes(deep(11));
    expect(found).toContain('DOCUMENT_LIMIT');
    const inFragments = `{ jobs { ...A } } fragment A on EditJobConnection { nodes { request { ...B } } } fragment B on EditRequest { ${'x { '.repeat(8)} y ${'} '.repeat(8)} }`;
    expect(await codes(inFragments)).toContain('DOCUMENT_LIMIT');
    expect(await codes('{ jobs { edges { node { request { images { slot } } } } } }')).toEqual([]);
  });

  it('is limited in its tokens while it is parsed', async () => {
    expect(await codes(`{ ${many(2100, () => '__typename')} }`)).toEqual(['GRAPHQL_PARSE_FAILED']);
    const answer = await postGraphQL(rig.url, `{ ${many(2100, () => '__typename')} }`);
    expect(answer.errors?.[0]?.message).toContain('2000');
    const entities = (count: number) =>
      `{ _entities(representations: [${many(count, () => '{ __typename: "EditJob", id: "none" }')}]) { __typename } }`;
    expect(await codes(entities(240))).toEqual([]);
    expect(await codes(entities(250))).toEqual(['GRAPHQL_PARSE_FAILED']);
  });

  it('is measured quickly when nested fragments would grow exponentially', async () => {
    const levels = 60;
    const fragments = many(
      levels,
      i =>
        `fragment F${i} on Query { ${i + 1 < levels ? `...F${i + 1} ...F${i + 1}` : 'a: engines { id }'} }`,
    );
    const started = performance.now();
    expect(await codes(`{ ...F0 } ${fragments}`)).toContain('DOCUMENT_LIMIT');
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('is rejected when its fragments form a cycle', async () => {
    const found = await codes('{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }');
    expect(found.length).toBeGreaterThan(0);
  });

  it('is limited in the depth of introspection', async () => {
    const nested = `{ __schema { types { ${'fields { type { '.repeat(6)} name ${'} } '.repeat(6)} } } }`;
    expect((await codes(nested)).length).toBeGreaterThan(0);
  });

  it('is rejected in a batch', async () => {
    const answer = await fetch(`${rig.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([{ query: '{ engines { id } }' }, { query: '{ engines { id } }' }]),
    });
    expect(answer.status).toBe(400);
    expect(await answer.text()).not.toContain('"data"');
  });

  it('is limited in its number of mutations by their cost', async () => {
    const edit =
      'editImage(input: { images: [{ url: "http://127.0.0.1:1/x" }], prompt: "x" }) { ... on EditError { code } }';
    expect(await codes(`mutation { ${edit} }`, strict)).toEqual([]);
    expect(await codes(`mutation { ${many(7, i => `e${i}: ${edit}`)} }`, strict)).toEqual(['DOCUMENT_LIMIT']);
  });
});

describe('the schema', () => {
  const query = '{ __schema { queryType { name } } }';
  it('is readable by introspection', async () => {
    expect(await codes(query)).toEqual([]);
  });
  it('is hidden where introspection is off', async () => {
    expect((await codes(query, strict)).length).toBeGreaterThan(0);
    expect((await codes('{ __type(name: "EditJob") { name } }', strict)).length).toBeGreaterThan(0);
    expect(await codes('{ __typename }', strict)).toEqual([]);
  });
});

describe('GraphiQL', () => {
  const page = (gateway: Rig) => fetch(`${gateway.url}/graphql`, { headers: { accept: 'text/html' } });
  it('has a policy under which only its own scripts run', async () => {
    const answer = await page(rig);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^text\/html/);
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(policy).toMatch(/script-src 'sha256-[^']+' blob:;/);
    expect(policy).not.toMatch(/script-src[^;]*unsafe/);
    expect((await answer.text()).split('</script>')).toHaveLength(2);
  });
  it('can be turned off', async () => {
    const answer = await page(strict);
    expect(answer.headers.get('content-type') ?? '').not.toContain('text/html');
    await answer.text();
  });
});

describe('long documents', () => {
  it('are not kept in memory', async () => {
    const text = (n: number): string => `{ __typename } # ${n} ${'x'.repeat(2_000_000)}`;
    await postGraphQL(rig.url, text(0));
    const before = held();
    for (let n = 1; n <= 20; n += 1)
      expect(await postGraphQL(rig.url, text(n))).toMatchObject({ status: 200 });
    // Bodies of the newest requests may be held a moment longer, by the client that sent them.
    await eventually(
      async () => held() - before,
      grown => grown < 20_000_000,
    );
  });

  it('with an invalid content type are rejected as GraphQL errors', async () => {
    const answer = await fetch(`${rig.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain,application/json' },
      body: '{}',
    });
    expect(answer.status).toBe(415);
    expect(await answer.json()).toEqual({
      errors: [{ message: expect.any(String), extensions: { code: 'BAD_REQUEST' } }],
    });
  });
});
