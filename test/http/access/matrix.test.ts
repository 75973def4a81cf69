import { readFileSync } from 'node:fs';
import { buildSchema } from 'graphql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { OPENAI_ROUTES } from '../../../src/http/openai/index.ts';
import { buildOpenApi } from '../../../src/http/rest/contract/openapi.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, as, type GraphQLAnswer, KEYS, postGraphQL, postJson } from '../../support/requests.ts';
import { codesOf, openRawSocket, openSocket } from '../../support/sockets.ts';

const WHO = ['anonymous', 'alice', 'bob', 'olga'] as const;
type Who = (typeof WHO)[number];
const keyOf = (who: Who): string | null => (who === 'anonymous' ? null : KEYS[who]);

let rig: Rig;
/** A batch of Alice. */
let batch: string;
/** A completed job of Alice. */
let job: string;
let engine: string;
beforeAll(async () => {
  rig = await startRig({ API_KEYS });
  job = await submit('alice');
  const edit = { image1_url: `${rig.images.url}/red.png`, prompt: 'x', steps: 1, megapixels: 0.1 };
  const submitted = await postJson(`${rig.url}/edit-images`, { edits: [edit] }, as(KEYS.alice));
  batch = String(submitted.body.batch_id);
  await ended(job);
  const { data } = await postGraphQL(rig.url, '{ engines { id } }', {}, as(KEYS.olga));
  engine = z.object({ engines: z.tuple([z.object({ id: z.string() })]) }).parse(data).engines[0].id;
});
afterAll(() => rig.close());

async function submit(who: Who, { to = rig, steps = 1 } = {}): Promise<string> {
  const answer = await fetch(`${to.url}/edit-image`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...as(keyOf(who)) },
    body: JSON.stringify({ image1_url: `${to.images.url}/red.png`, prompt: 'x', steps, megapixels: 0.1 }),
  });
  const { job_id } = await answer.json();
  return String(job_id);
}

async function ended(id: string): Promise<void> {
  const socket = await openSocket(rig.url, { apiKey: KEYS.olga });
  socket.send({
    id: 'w',
    type: 'subscribe',
    payload: { query: 'subscription ($id: ID!) { jobProgress(jobId: $id) { status } }', variables: { id } },
  });
  await socket.receive('complete', 'w');
  socket.socket.close();
}

/** The expected status for each of WHO, in that order. `:own` is a new job of Alice for each request. */
const REST: Record<string, { path: string; body?: object; statuses: [number, number, number, number] }> = {
  'GET /': { path: '/', statuses: [200, 200, 200, 200] },
  'POST /edit-image': { path: '/edit-image', body: {}, statuses: [401, 400, 400, 400] },
  'POST /edit-images': { path: '/edit-images', body: {}, statuses: [401, 400, 400, 400] },
  'GET /batches/{batch_id}': { path: '/batches/:batch', statuses: [401, 200, 404, 200] },
  'GET /batches/{batch_id}/jobs': { path: '/batches/:batch/jobs', statuses: [401, 200, 404, 200] },
  'GET /batches/{batch_id}/events': { path: '/batches/:batch/events', statuses: [401, 200, 404, 200] },
  'POST /batches/{batch_id}/cancel': { path: '/batches/:batch/cancel', statuses: [401, 200, 404, 200] },
  'POST /batches/{batch_id}/retry': { path: '/batches/:batch/retry', statuses: [401, 409, 404, 409] },
  'POST /upload': { path: '/upload', body: {}, statuses: [401, 415, 415, 415] },
  'GET /events': { path: '/events', statuses: [401, 200, 200, 200] },
  'GET /events/{job_id}': { path: '/events/:job', statuses: [401, 200, 404, 200] },
  'GET /status/{job_id}': { path: '/status/:job', statuses: [401, 200, 404, 200] },
  'GET /download/{job_id}': { path: '/download/:job', statuses: [401, 200, 404, 200] },
  'HEAD /download/{job_id}': { path: '/download/:job', statuses: [401, 200, 404, 200] },
  'GET /input/{job_id}': { path: '/input/:job', statuses: [401, 200, 404, 200] },
  'HEAD /input/{job_id}': { path: '/input/:job', statuses: [401, 200, 404, 200] },
  'GET /preview/{job_id}': { path: '/preview/:job', statuses: [401, 404, 404, 404] },
  'GET /webhooks/{job_id}': { path: '/webhooks/:job', statuses: [401, 200, 404, 200] },
  'GET /jobs': { path: '/jobs', statuses: [401, 200, 200, 200] },
  'GET /me': { path: '/me', statuses: [401, 200, 200, 200] },
  'DELETE /jobs/{job_id}': { path: '/jobs/:own', statuses: [401, 200, 404, 200] },
  'POST /jobs/{job_id}/cancel': { path: '/jobs/:own/cancel', statuses: [401, 200, 404, 200] },
  // Only engines with keys of their own.
  'POST /engines': { path: '/engines', body: {}, statuses: [401, 401, 401, 401] },
  'DELETE /engines/{id}': { path: '/engines/x', statuses: [401, 401, 401, 401] },
  'GET /debug/files': { path: '/debug/files', statuses: [401, 403, 403, 200] },
  'GET /debug/job/{job_id}': { path: '/debug/job/:job', statuses: [401, 403, 403, 200] },
};

describe('every REST route', () => {
  it('is in the matrix', () => {
    const { paths }: { paths?: Record<string, object> } = buildOpenApi('2.0.0');
    const routes = Object.entries(paths ?? {}).flatMap(([path, methods]) =>
      Object.keys(methods).map(method => `${method.toUpperCase()} ${path}`),
    );
    expect(Object.keys(REST).sort()).toEqual(routes.sort());
  });

  it.each(
    Object.entries(REST).flatMap(([name, row]) => WHO.map((who, index) => ({ name, row, who, index }))),
  )('$name as $who', async ({ name, row, who, index }) => {
    const own = row.path.includes(':own') ? await submit('alice') : '';
    const leave = new AbortController();
    const answer = await fetch(
      rig.url + row.path.replace(':job', job).replace(':own', own).replace(':batch', batch),
      {
        signal: leave.signal,
        method: name.split(' ')[0] ?? 'GET',
        headers: {
          ...as(keyOf(who)),
          ...(row.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(row.body === undefined ? {} : { body: JSON.stringify(row.body) }),
      },
    );
    // This stream has no end.
    const text = name === 'GET /events' && answer.ok ? await firstEvents(answer) : await answer.text();
    leave.abort();
    if (name === 'GET /events' && answer.ok) expect(text.includes(job)).toBe(who !== 'bob');
    expect([answer.status, text.slice(0, 200)]).toEqual([row.statuses[index], expect.anything()]);
    if (answer.status === 401 && !name.startsWith('HEAD')) {
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer /);
      expect(Object.keys(JSON.parse(text))).toEqual(['detail']);
    }
    if (answer.status === 404 && name.includes('batch_id')) {
      expect(JSON.parse(text)).toEqual({ detail: 'Batch not found' });
    }
    if (answer.status === 404 && name.includes('job_id') && who === 'bob' && !name.startsWith('HEAD')) {
      expect(JSON.parse(text)).toEqual({ detail: 'Job not found' });
    }
  });

  it('lists the caller’s own jobs, and all jobs to operators', async () => {
    const bobs = await submit('bob');
    const idsOf = async (who: Who): Promise<string[]> => {
      const { jobs } = await (await fetch(`${rig.url}/jobs`, { headers: as(keyOf(who)) })).json();
      return Object.keys(jobs);
    };
    expect(await idsOf('bob')).toEqual([bobs]);
    expect(await idsOf('alice')).toContain(job);
    expect(await idsOf('alice')).not.toContain(bobs);
    expect(await idsOf('olga')).toEqual(expect.arrayContaining([job, bobs]));
  });

  it.each(['/docs', '/docs/json', '/openapi.json'])('%s is public', async path => {
    const answer = await fetch(rig.url + path);
    expect(answer.status).toBe(200);
    await answer.text();
  });
});

const OPENAI: Record<(typeof OPENAI_ROUTES)[number], { path: string; statuses: number[] }> = {
  'GET /models': { path: '/models', statuses: [401, 200, 200, 200] },
  'GET /models/{id}': { path: '/models/qwen-image-edit-plus', statuses: [401, 200, 200, 200] },
  'POST /images/edits': { path: '/images/edits', statuses: [401, 415, 415, 415] },
};

describe('every route of OpenAI’s API', () => {
  it.each(OPENAI_ROUTES.flatMap(name => WHO.map((who, index) => ({ name, who, index }))))(
    '$name as $who',
    async ({ name, who, index }) => {
      const { path, statuses } = OPENAI[name];
      const method = name.split(' ')[0] ?? 'GET';
      const answer = await fetch(`${rig.url}/v1${path}`, { method, headers: as(keyOf(who)) });
      const body = await answer.json();
      expect([answer.status, body]).toEqual([statuses[index], expect.anything()]);
      if (answer.status === 401) {
        expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer /);
        expect(Object.keys(body)).toEqual(['error']);
      }
    },
  );
});

describe('/mcp, the tools of assistants', () => {
  const call = async (who: Who, name: string, args: object) => {
    const answer = await fetch(`${rig.url}/mcp`, {
      method: 'POST',
      headers: {
        ...as(keyOf(who)),
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name, arguments: args },
      }),
    });
    return { answer, text: await answer.text() };
  };

  it.each(WHO.map((who, index) => ({ who, index })))('as $who', async ({ who, index }) => {
    const shows = [null, true, false, true][index];
    for (const name of ['watch_edit', 'get_image', 'cancel_edit']) {
      const { answer, text } = await call(who, name, { job_id: job });
      if (shows === null) {
        expect(answer.status).toBe(401);
        expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer /);
        continue;
      }
      expect(answer.status).toBe(200);
      expect([name, text.includes('JOB_NOT_FOUND')]).toEqual([name, !shows]);
      const unknown = await call(who, name, { job_id: '00000000-0000-4000-8000-000000000000' });
      if (!shows) expect(text).toBe(unknown.text);
    }
    const listed = await call(who, 'list_workflows', {});
    expect(listed.text.includes('qwen-image-edit-plus')).toBe(shows !== null);
    const rejected = await call(who, 'edit_image', { images: [], prompt: 'x' });
    expect(rejected.text.includes('takes a list of 1 to 3 images')).toBe(shows !== null);
  });
});

type Outcome = 'yes' | 'no';

/** `yes`: whether data shows that the operation was allowed. */
interface Row {
  readonly query: string;
  readonly may: [Outcome, Outcome, Outcome, Outcome];
  readonly yes: (data: Record<string, unknown>) => boolean;
}

const isJob = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'id' in value && !('code' in value);
const hasItems = (value: unknown): boolean => Array.isArray(value) && value.some(item => item !== null);

const GRAPHQL: Record<string, Row> = {
  'Query.job': {
    query: '{ job(id: ":job") { id } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ job: it }) => isJob(it),
  },
  'Query.jobs': {
    query: '{ jobs(first: 100) { nodes { id } } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ jobs }) => JSON.stringify(jobs).includes(job),
  },
  'Query.node': {
    query: '{ node(id: ":job") { id } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ node }) => isJob(node),
  },
  'Query.nodes': {
    query: '{ nodes(ids: [":job:output:0"]) { id } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ nodes }) => hasItems(nodes),
  },
  'Query.me': {
    query: '{ me { id operator } }',
    may: ['no', 'yes', 'yes', 'yes'],
    yes: ({ me }) => JSON.stringify(me).includes('"key:'),
  },
  'Query.caller': {
    query: '{ caller { id operator } }',
    may: ['no', 'yes', 'yes', 'yes'],
    yes: ({ caller }) => JSON.stringify(caller).includes('"key:'),
  },
  'Query.engines': {
    query: '{ engines { id state reason problems } }',
    may: ['no', 'yes', 'yes', 'yes'],
    yes: ({ engines }) => hasItems(engines),
  },
  'Query.workflows': {
    query: '{ workflows { name problems } }',
    may: ['no', 'yes', 'yes', 'yes'],
    yes: ({ workflows }) => hasItems(workflows),
  },
  'Query._service': { query: '{ _service { sdl } }', may: ['no', 'yes', 'yes', 'yes'], yes: () => true },
  'Query._entities': {
    query:
      '{ _entities(representations: [{ __typename: "EditJob", id: ":job" }]) { ... on EditJob { id } } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ _entities }) => hasItems(_entities),
  },
  'Mutation.editImage': {
    query:
      'mutation { editImage(input: { images: [{ url: ":pictures/red.png" }], prompt: "x", steps: 1, megapixels: 0.1 }) { ... on EditJob { id } ... on EditError { code } } }',
    may: ['no', 'yes', 'yes', 'yes'],
    yes: ({ editImage }) => isJob(editImage),
  },
  'Query.batch': {
    query: '{ batch(id: ":batch") { id jobs { nodes { id } } } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ batch: it }) => isJob(it),
  },
  'Mutation.editImages': {
    query:
      'mutation { editImages(input: { edits: [{ images: [{ url: ":pictures/red.png" }], prompt: "x", steps: 1, megapixels: 0.1 }] }) { ... on EditBatch { id } ... on EditError { code } } }',
    may: ['no', 'yes', 'yes', 'yes'],
    yes: ({ editImages }) => isJob(editImages),
  },
  'Mutation.cancelBatch': {
    query:
      'mutation { cancelBatch(batchId: ":batch") { ... on EditBatch { id } ... on EditError { code } } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ cancelBatch }) => isJob(cancelBatch),
  },
  'Mutation.retryFailed': {
    query:
      'mutation { retryFailed(batchId: ":batch") { ... on EditBatch { id } ... on EditInvalidInput { field } ... on EditError { code } } }',
    may: ['no', 'yes', 'no', 'yes'],
    // None of it has failed, which only those get to know that may see it.
    yes: ({ retryFailed }) => JSON.stringify(retryFailed).includes('INVALID_INPUT'),
  },
  'Mutation.cancelJob': {
    query: 'mutation { cancelJob(id: ":own") { ... on EditJob { id } ... on EditError { code } } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ cancelJob }) => isJob(cancelJob),
  },
  'Mutation.retryJob': {
    query: 'mutation { retryJob(id: ":job") { ... on EditJob { id } ... on EditError { code } } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ retryJob }) => isJob(retryJob),
  },
  'Mutation.deleteJob': {
    query:
      'mutation { deleteJob(id: ":own") { ... on EditDeletedJob { id: jobId } ... on EditError { code } } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ deleteJob }) => isJob(deleteJob),
  },
  'Mutation.setEngineState': {
    query: 'mutation { setEngineState(id: ":engine", drained: false) { ... on EditEngine { id } } }',
    may: ['no', 'no', 'no', 'yes'],
    yes: ({ setEngineState }) => isJob(setEngineState),
  },
  'Mutation.addEngine': {
    query: 'mutation { addEngine(url: "http://gpu:8188") { ... on EditError { code } } }',
    may: ['no', 'no', 'no', 'yes'],
    yes: ({ addEngine }) => JSON.stringify(addEngine) === '{"code":"INVALID_INPUT"}',
  },
  'Mutation.removeEngine': {
    query: 'mutation { removeEngine(id: "gpu:8188") { ... on EditError { code } } }',
    may: ['no', 'no', 'no', 'yes'],
    yes: ({ removeEngine }) => JSON.stringify(removeEngine) === '{"code":"ENGINE_NOT_FOUND"}',
  },
  'Subscription.jobUpdates': {
    query: 'subscription { jobUpdates(first: 100) { jobs { id } } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ jobUpdates }) => JSON.stringify(jobUpdates).includes(job),
  },
  'Subscription.jobProgress': {
    query: 'subscription { jobProgress(jobId: ":job") { id } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ jobProgress }) => isJob(jobProgress),
  },
  'Subscription.batchProgress': {
    query: 'subscription { batchProgress(batchId: ":batch") { id } }',
    may: ['no', 'yes', 'no', 'yes'],
    yes: ({ batchProgress }) => isJob(batchProgress),
  },
};

describe('every GraphQL root field', () => {
  it('is in the matrix', () => {
    const schema = buildSchema(
      readFileSync(new URL('../../../schema/schema.graphql', import.meta.url), 'utf8'),
    );
    const fields = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap(
      type => Object.keys(type?.getFields() ?? {}).map(field => `${type?.name}.${field}`),
    );
    expect(
      Object.keys(GRAPHQL)
        .filter(name => !name.includes('._'))
        .sort(),
    ).toEqual(fields.sort());
  });

  const cases = Object.entries(GRAPHQL).flatMap(([name, row]) =>
    WHO.map((who, index) => ({ name, row, who, index })),
  );

  async function fill(query: string): Promise<string> {
    const own = query.includes(':own') ? await submit('alice') : '';
    return query
      .replace(':engine', engine)
      .replace(':job', job)
      .replace(':batch', batch)
      .replace(':own', own)
      .replace(':pictures', rig.images.url);
  }

  it.each(cases)('$name as $who over HTTP', async ({ row, who, index }) => {
    const query = await fill(row.query);
    const headers = as(keyOf(who));
    const answer = query.startsWith('subscription')
      ? await askStream(query, headers)
      : await postGraphQL(rig.url, query, {}, headers);
    if (who === 'anonymous') {
      expect(answer.status).toBe(401);
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer /);
      expect(answer.errors?.map(({ extensions }) => extensions?.code)).toEqual(['UNAUTHENTICATED']);
    }
    expect(answer.data != null && row.yes(answer.data) ? 'yes' : 'no').toBe(row.may[index]);
  });

  it.each(cases.filter(({ who }) => who !== 'anonymous'))(
    '$name as $who over WebSocket',
    async ({ row, who, index }) => {
      const socket = await openSocket(rig.url, { authorization: `Bearer ${keyOf(who)}` });
      const { type, payload } = await socket.run({ query: await fill(row.query) });
      socket.socket.close();
      const data =
        type === 'next' && typeof payload === 'object' && payload !== null && 'data' in payload
          ? payload.data
          : null;
      expect(data != null && row.yes({ ...data }) ? 'yes' : 'no').toBe(row.may[index]);
    },
  );

  it('hides addresses and problems of engines from users', async () => {
    const query = `{ engines { id reason problems } workflows { problems } job(id: "${job}") { engine } }`;
    const user = await postGraphQL(rig.url, query, {}, as(KEYS.alice));
    const operator = await postGraphQL(rig.url, query, {}, as(KEYS.olga));
    expect(user.data).toMatchObject({
      engines: [{ id: 'engine-1', reason: null, problems: [] }],
      job: { engine: null },
    });
    expect(JSON.stringify(user.data)).not.toContain('127.0.0.1');
    expect(operator.data).toMatchObject({ engines: [{ id: expect.stringContaining('127.0.0.1') }] });
  });

  it('rejects users with FORBIDDEN where only operators are admitted', async () => {
    const { errors } = await postGraphQL(
      rig.url,
      GRAPHQL['Mutation.setEngineState']?.query ?? '',
      {},
      as(KEYS.bob),
    );
    expect(errors).toMatchObject([{ extensions: { code: 'FORBIDDEN' } }]);
  });
});

/** The first events of a stream, up to their id. */
async function firstEvents({ body }: Response): Promise<string> {
  let text = '';
  for await (const part of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += part;
    if (/^id: /m.test(text)) return text;
  }
  throw new Error('no event');
}

/** The first result of a subscription over server-sent events. */
async function askStream(query: string, headers: Record<string, string>): Promise<GraphQLAnswer> {
  const leave = new AbortController();
  const response = await fetch(`${rig.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...headers },
    body: JSON.stringify({ query }),
    signal: leave.signal,
  });
  const { status } = response;
  if (!response.ok || response.body === null)
    return { ...(await response.json()), status, headers: response.headers };
  try {
    let text = '';
    for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
      text += part;
      const data = /^data: (\{.*\})$/m.exec(text)?.[1];
      if (data !== undefined) return { ...JSON.parse(data), status, headers: response.headers };
    }
  } finally {
    leave.abort();
  }
  throw new Error('no event');
}

describe('sockets', () => {
  it.each([
    ['nothing', {}],
    ['a wrong key', { apiKey: 'wrong' }],
    ['a wrong token', { authorization: 'Bearer wrong' }],
    ['another scheme', { authorization: `Basic ${KEYS.alice}` }],
  ])('are closed with 4403 for %s in connection_init', async (_, init) => {
    const { closed } = await openSocket(rig.url, init);
    expect(await closed).toEqual({ code: 4403, reason: 'Forbidden' });
  });

  it('are closed with 4401 for an operation before connection_init', async () => {
    const socket = await openRawSocket(rig.url);
    socket.send({ id: '1', type: 'subscribe', payload: { query: '{ engines { id } }' } });
    expect((await socket.closed).code).toBe(4401);
  });

  it.each([
    ['X-API-Key', { 'x-api-key': KEYS.alice }],
    ['Authorization', { authorization: `Bearer ${KEYS.alice}` }],
  ])('use the header %s of the upgrade when connection_init has no credentials', async (_, headers) => {
    const socket = await openSocket(rig.url, {}, headers);
    const answer = await socket.run({ query: `{ job(id: "${job}") { id } }` });
    expect(answer.payload).toEqual({ data: { job: { id: job } } });
    socket.socket.close();
  });

  it('prefer the credentials of connection_init to those of the headers', async () => {
    const { closed } = await openSocket(rig.url, { apiKey: 'wrong' }, { 'x-api-key': KEYS.alice });
    expect((await closed).code).toBe(4403);
  });

  it('report a job of another caller exactly as an unknown job', async () => {
    const socket = await openSocket(rig.url, { apiKey: KEYS.bob });
    const query = (id: string) => `subscription { jobProgress(jobId: "${id}") { id } }`;
    const others = await socket.run({ query: query(job) });
    const none = await socket.run({ query: query('00000000-0000-4000-8000-000000000000') });
    expect(codesOf(others)).toEqual(['JOB_NOT_FOUND']);
    expect(JSON.stringify(others.payload)).toBe(JSON.stringify(none.payload));
    socket.socket.close();
  });
});

describe('keys', () => {
  it.each(['api_key', 'apikey', 'key', 'token', 'access_token', 'authorization', 'x-api-key'])(
    'are not read from the query string as %s',
    async name => {
      const rest = await fetch(`${rig.url}/jobs?${name}=${KEYS.olga}`);
      expect(rest.status).toBe(401);
      await rest.text();
      const graphql = await fetch(`${rig.url}/graphql?query={engines{id}}&${name}=${KEYS.olga}`);
      expect(graphql.status).toBe(401);
      await graphql.text();
    },
  );

  it.each([
    ['X-API-Key', { 'x-api-key': KEYS.alice }, 200],
    ['Bearer', { authorization: `bearer ${KEYS.alice}` }, 200],
    [
      'a wrong X-API-Key beside a valid Bearer',
      { 'x-api-key': 'x', authorization: `Bearer ${KEYS.alice}` },
      401,
    ],
    ['Basic', { authorization: `Basic ${Buffer.from(`alice:${KEYS.alice}`).toString('base64')}` }, 401],
    ['the hash itself', { 'x-api-key': API_KEYS.split('\n')[0]?.split('$')[1] ?? '' }, 401],
    ['an empty key', { 'x-api-key': '' }, 401],
    ['a key of 10,000 characters', { 'x-api-key': 'x'.repeat(10_000) }, 401],
  ])('sent as %s: %#', async (_, headers: Record<string, string>, status) => {
    const answer = await fetch(`${rig.url}/jobs`, { headers });
    expect(answer.status).toBe(status);
    await answer.text();
  });

  it('have separate Idempotency-Keys', async () => {
    const send = async (who: Who) => {
      const answer = await fetch(`${rig.url}/edit-image`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': 'shared', ...as(keyOf(who)) },
        body: JSON.stringify({
          image1_url: `${rig.images.url}/red.png`,
          prompt: 'same',
          steps: 1,
          megapixels: 0.1,
        }),
      });
      return (await answer.json()).job_id;
    };
    const [first, again, others] = [await send('alice'), await send('alice'), await send('bob')];
    expect(again).toBe(first);
    expect(others).not.toBe(first);
  });
});

describe('with keys, responses are not cacheable', () => {
  const NEVER = 'private, no-store';

  /** The response to Alice. */
  async function answerTo(url: string, path: string, init: RequestInit = {}) {
    const answer = await fetch(url + path, {
      ...init,
      headers: { ...as(KEYS.alice), ...init.headers },
    });
    await answer.arrayBuffer();
    return { status: answer.status, cached: answer.headers.get('cache-control') };
  }

  it.each<[string, string, RequestInit, number]>([
    ['an image', '', {}, 200],
    ['a part of an image', '', { headers: { range: 'bytes=0-9' } }, 206],
    ['the headers of an image', '', { method: 'HEAD' }, 200],
    ['a converted image', '?format=webp', {}, 200],
    ['the headers of a converted image', '?format=webp', { method: 'HEAD' }, 200],
    ['an image with its metadata', '?metadata=keep', {}, 200],
  ])('for %s', async (_, query, init, status) => {
    expect(await answerTo(rig.url, `/download/${job}${query}`, init)).toEqual({ status, cached: NEVER });
  });

  it.each<[string, RequestInit, number]>([
    ['an input image', {}, 200],
    ['the headers of an input image', { method: 'HEAD' }, 200],
  ])('for %s', async (_, init, status) => {
    expect(await answerTo(rig.url, `/input/${job}`, init)).toEqual({ status, cached: NEVER });
  });

  it('for a preview, while the job runs and when it has none', async () => {
    const slow = await startRig({ API_KEYS, SANDBOX_STEP: '100ms' });
    try {
      const id = await submit('alice', { to: slow, steps: 100 });
      const preview = () => answerTo(slow.url, `/preview/${id}`);
      await expect.poll(preview).toEqual({ status: 200, cached: NEVER });
      const status = await fetch(`${slow.url}/status/${id}`, { headers: as(KEYS.alice) });
      expect(await status.json()).toMatchObject({ status: 'processing' });
      await answerTo(slow.url, `/jobs/${id}`, { method: 'DELETE' });
      expect(await preview()).toEqual({ status: 404, cached: NEVER });
    } finally {
      await slow.close();
    }
  });
});
