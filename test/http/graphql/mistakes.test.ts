import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../../support/gateway.ts';
import { openSocket, type RawSocket } from '../../support/sockets.ts';

const RESULT = `__typename
  ... on EditError { code message retryable }
  ... on EditInvalidInput { field }
  ... on EditImageRejected { field }`;
const EDIT = `mutation ($input: EditImageInput!) { editImage(input: $input) { ${RESULT} } }`;

const answerSchema = z.object({
  data: z.record(z.string(), z.unknown()).nullish(),
  errors: z
    .array(z.object({ message: z.string(), extensions: z.record(z.string(), z.unknown()).optional() }))
    .optional(),
});
type Answer = z.output<typeof answerSchema>;
type Variables = Readonly<Record<string, unknown>>;

let rig: Rig;
let socket: RawSocket;
beforeAll(async () => {
  rig = await startRig({ WEBHOOK_SECRET: `whsec_${Buffer.alloc(24, 'k').toString('base64')}` });
  socket = await openSocket(rig.url);
});
afterAll(async () => {
  socket.socket.terminate();
  await rig.close();
});

async function post(query: string, variables: Variables, accept: string): Promise<Response> {
  return fetch(`${rig.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept },
    body: JSON.stringify({ query, variables }),
  });
}

/** How operations come in, and how each is answered. */
const WAYS = {
  POST: async (query: string, variables: Variables): Promise<Answer> =>
    answerSchema.parse(await (await post(query, variables, 'application/json')).json()),
  'server-sent events': async (query: string, variables: Variables): Promise<Answer> => {
    const text = await (await post(query, variables, 'text/event-stream')).text();
    return answerSchema.parse(JSON.parse(/^data: (\{.*)$/m.exec(text)?.[1] ?? text));
  },
  WebSocket: async (query: string, variables: Variables): Promise<Answer> => {
    const { type, payload } = await socket.run({ query, variables });
    return answerSchema.parse(type === 'error' ? { errors: payload } : payload);
  },
  GET: async (query: string, variables: Variables): Promise<Answer> => {
    const search = new URLSearchParams({ query, variables: JSON.stringify(variables) });
    return answerSchema.parse(await (await fetch(`${rig.url}/graphql?${search}`)).json());
  },
} as const;
const { GET: _, ...MUTATING } = WAYS;

/** JSON as GraphQL writes it: keys without quotes. */
const literal = (value: unknown): string => JSON.stringify(value).replaceAll(/"(\w+)":/g, '$1:');

/** A valid edit, but for these fields. */
const inputOf = (fields: object): object => ({
  images: [{ url: `${rig.images.url}/red.png` }],
  prompt: 'x',
  steps: 1,
  megapixels: 0.1,
  ...fields,
});

/** Fields of an edit with a mistake: the field that the error names, what is sent, and the message. */
const MISTAKES: readonly (readonly [string, object, RegExp])[] = [
  ['seed', { seed: -1 }, /integer from 0 to 18446744073709551615.*got -1/],
  ['seed', { seed: 1.5 }, /got 1.5/],
  ['seed', { seed: 'twelve' }, /got "twelve"/],
  ['seed', { seed: '18446744073709551616' }, /got 18446744073709551616/],
  ['seed', { seed: '' }, /got ""/],
  ['seed', { seed: true }, /got true/],
  ['seed', { seed: [1] }, /got \[1\]/],
  ['seed', { seed: { of: 'me' } }, /got \{"of":"me"\}/],
  ['images.0', { images: [{ url: 'file:///etc/passwd' }] }, /not an http or https URL/],
  ['images.0', { images: [{ url: 'not a url' }] }, /not an http or https URL/],
  ['images.0', { images: [{ url: '' }] }, /not an http or https URL/],
  ['images.0', { images: [{ url: 5 }] }, /takes an http\(s\) URL, got 5/],
  ['images.0', { images: [{ url: { href: 'http://a.test/' } }] }, /takes an http\(s\) URL, got \{/],
  ['images.0', { images: [{ url: `http://a.test/${'x'.repeat(9_000)}` }] }, /longer than/],
  ['images.0', { images: [{ dataUri: 'none' }] }, /takes data:image/],
  ['images.0', { images: [{ uploadId: '../../etc/passwd' }] }, /is not one of your uploads/],
  ['images.0', { images: [{ uploadId: 7 }] }, /is not one of your uploads/],
  ['images.0', { images: [{ jobId: '' }] }, /is not one of your jobs/],
  ['images.0', { images: [{ jobId: 'j'.repeat(5_000) }] }, /is not one of your jobs/],
  ['images', { images: [] }, /1 to 3/],
  ['images', { images: Array.from({ length: 4 }, () => ({ url: 'http://a.test/' })) }, /got 4/],
  ['webhook.url', { webhook: { url: 'ftp://a.test/' } }, /takes an http\(s\) URL/],
  ['webhook.url', { webhook: { url: '' } }, /takes an http\(s\) URL/],
  ['webhook.url', { webhook: { url: 5 } }, /takes an http\(s\) URL, got 5/],
  ['webhook.url', { webhook: { url: 'http://[::1]/' } }, /from outside/],
  ['webhook.events', { webhook: { url: 'https://a.test/', events: [] } }, /takes a list/],
  ['prompt', { prompt: '' }, /not empty, got ""/],
  ['prompt', { prompt: '   ' }, /not empty, got " {3}"/],
  ['prompt', { prompt: 'x'.repeat(10_001) }, /at most 10000/],
  ['negativePrompt', { negativePrompt: 'x'.repeat(10_001) }, /at most 10000/],
  ['steps', { steps: 0 }, /1 to 100, got 0/],
  ['cfg', { cfg: 0.5 }, /1 to 20, got 0.5/],
  ['megapixels', { megapixels: 900 }, /got 900/],
  ['workflow', { workflow: 'none' }, /none/],
  ['parameters', { parameters: 'none' }, /takes an object, got "none"/],
  ['parameters', { parameters: [1] }, /takes an object, got \[1\]/],
  ['parameters.sampler', { parameters: { sampler: 'x' } }, /is not a parameter/],
  ['idempotencyKey', { idempotencyKey: '' }, /1 to 200/],
  ['idempotencyKey', { idempotencyKey: 'x'.repeat(201) }, /1 to 200/],
];

describe.each(Object.entries(MUTATING))('a mistake in editImage over %s', (_way, send) => {
  it.each(
    MISTAKES.map(
      ([field, fields, message]) => [field, JSON.stringify(fields).slice(0, 60), fields, message] as const,
    ),
  )('in %s is an error with its field: %s', async (field, _, fields, message) => {
    const input = inputOf(fields);
    const inText = await send(`mutation { editImage(input: ${literal(input)}) { ${RESULT} } }`, {});
    for (const answer of [inText, await send(EDIT, { input })]) {
      expect(answer.errors).toBeUndefined();
      expect(answer.data?.editImage).toMatchObject({
        __typename: 'EditInvalidInput',
        field,
        message: expect.stringMatching(message),
        retryable: false,
      });
    }
  });

  it('in a variable of its own is an error with its field', async () => {
    const query = `mutation ($url: URL!, $seed: EditSeed, $hook: URL!) {
      url: editImage(input: { images: [{ url: $url }], prompt: "x" }) { ${RESULT} }
      seed: editImage(input: { images: [{ url: "http://a.test/" }], prompt: "x", seed: $seed }) { ${RESULT} }
      hook: editImage(input: { images: [{ url: "http://a.test/" }], prompt: "x", webhook: { url: $hook } }) { ${RESULT} }
    }`;
    const { data, errors } = await send(query, { url: 'nowhere', seed: 'many', hook: 7 });
    expect(errors).toBeUndefined();
    expect(data).toMatchObject({
      url: { __typename: 'EditInvalidInput', field: 'images.0' },
      seed: { __typename: 'EditInvalidInput', field: 'seed' },
      hook: { __typename: 'EditInvalidInput', field: 'webhook.url' },
    });
  });

  it('in a large seed loses no digit', async () => {
    const seed = '18446744073709551615';
    const input = literal(inputOf({})).replace('{', `{seed: ${seed}, `);
    const made = '{ __typename ... on EditJob { request { seed } } }';
    const { data } = await send(`mutation { editImage(input: ${input}) ${made} }`, {});
    expect(data?.editImage).toEqual({ __typename: 'EditJob', request: { seed } });
    const rounded = await send(EDIT, { input: inputOf({ seed: Number(seed) }) });
    expect(rounded.data?.editImage).toMatchObject({ message: expect.stringMatching(/send it as a string/) });
  });

  it.each([
    ['a missing field', { prompt: undefined }],
    ['a field that is null', { prompt: null }],
    ['an unknown field', { promt: 'x' }],
    ['an unknown enum value', { priority: 'URGENT' }],
    ['a text for a number', { steps: '20' }],
    ['a fraction for an integer', { steps: 2.5 }],
    ['an integer beyond 32 bits', { steps: 3_000_000_000 }],
    ['a number for a text', { prompt: 5 }],
    ['no source of an image', { images: [{}] }],
    ['two sources of an image', { images: [{ url: 'http://a.test/', jobId: 'x' }] }],
    ['an image that is null', { images: [null] }],
    ['an unknown event', { webhook: { url: 'http://a.test/', events: ['PROGRESS'] } }],
  ])('against the types is an error of the operation with a code: %s', async (_, fields) => {
    const input = inputOf(fields);
    const inText = await send(`mutation { editImage(input: ${literal(input)}) { ${RESULT} } }`, {});
    expect(inText).toMatchObject({ errors: [{ extensions: { code: 'GRAPHQL_VALIDATION_FAILED' } }] });
    const inVariable = await send(EDIT, { input });
    expect(inVariable).toMatchObject({ errors: [{ extensions: { code: 'BAD_USER_INPUT' } }] });
    for (const { data, errors } of [inText, inVariable]) {
      expect(data ?? null).toBeNull();
      expect(errors?.every(({ extensions }) => typeof extensions?.code === 'string')).toBe(true);
    }
  });
});

describe.each(Object.entries(WAYS))('a mistake in a query over %s', (_way, send) => {
  const JOBS = `query ($first: Int, $after: String, $status: [EditJobStatus!]) {
    jobs(first: $first, after: $after, status: $status) { nodes { id } }
  }`;

  it.each([
    ['first', { first: -1 }, /first takes 0 to 100, got -1/],
    ['first', { first: 101 }, /first takes 0 to 100, got 101/],
    ['after', { after: 'none' }, /after takes a cursor of a page/],
  ])('in %s is an error with its field', async (field, args, message) => {
    const inText = await send(`{ jobs(${literal(args).slice(1, -1)}) { nodes { id } } }`, {});
    for (const { data, errors } of [inText, await send(JOBS, args)]) {
      expect(data).toEqual({ jobs: null });
      expect(errors).toMatchObject([
        { message: expect.stringMatching(message), extensions: { code: 'BAD_USER_INPUT', field } },
      ]);
    }
  });

  it.each([
    ['an unknown status', JOBS, { status: ['LOST'] }],
    ['a text for a number', JOBS, { first: '5' }],
    ['an integer beyond 32 bits', JOBS, { first: 3_000_000_000 }],
    ['a list for a text', JOBS, { after: ['x'] }],
    ['no id', 'query ($id: ID!) { job(id: $id) { id } }', {}],
    ['an object for an id', 'query ($id: ID!) { job(id: $id) { id } }', { id: {} }],
    [
      'null for an argument with a default',
      'query ($of: [_Any!]! = []) { _entities(representations: $of) { __typename } }',
      { of: null },
    ],
    [
      'a representation of another type',
      'query ($of: [_Any!]!) { _entities(representations: $of) { __typename } }',
      { of: [{ __typename: 'Album' }] },
    ],
  ])('has a code: %s', async (_, query, variables) => {
    expect(await send(query, variables)).toMatchObject({
      errors: [{ extensions: { code: 'BAD_USER_INPUT' } }],
    });
  });
});

describe('a mistake in a subscription', () => {
  const WATCH = 'subscription ($id: ID!) { jobProgress(jobId: $id) { id } }';
  const { WebSocket, 'server-sent events': events } = WAYS;

  it.each([
    ['WebSocket', WebSocket],
    ['server-sent events', events],
  ] as const)('has a code over %s', async (_, send) => {
    expect(await send(WATCH, { id: {} })).toMatchObject({
      errors: [{ extensions: { code: 'BAD_USER_INPUT' } }],
    });
    expect(await send(WATCH, { id: '' })).toMatchObject({
      errors: [{ extensions: { code: 'JOB_NOT_FOUND' } }],
    });
  });
});

describe('an Accept header without a type that results have', () => {
  const jobs = async (): Promise<unknown> =>
    (await (await post('{ jobs { nodes { id } } }', {}, 'application/json')).json()).data;

  it.each([
    ['a query', '{ __typename }', 'image/png'],
    ['a mutation, which is not executed', 'mutation { editImage(input: {}) { __typename } }', 'text/html'],
    ['a document with an error', '{ none }', 'application/json;charset=latin1'],
    ['parts of another kind', '{ __typename }', 'multipart/mixed'],
  ])('is an error that names them, for %s', async (_, query, accept) => {
    const before = await jobs();
    const input = literal(inputOf({}));
    const response = await post(query.replace('input: {}', `input: ${input}`), {}, accept);
    expect([response.status, response.headers.get('content-type')]).toEqual([
      406,
      'application/json; charset=utf-8',
    ]);
    expect(answerSchema.parse(await response.json())).toEqual({
      errors: [
        {
          message:
            'A result is answered with JSON: send Accept: application/graphql-response+json, or application/json',
          extensions: { code: 'NOT_ACCEPTABLE' },
        },
      ],
    });
    expect(await jobs()).toEqual(before);
  });

  it.each(['image/png', 'multipart/mixed'])(
    'does not keep an error of the request from its client: %s',
    async accept => {
      const response = await fetch(`${rig.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept },
        body: '{',
      });
      expect(response.status).toBe(400);
      expect(answerSchema.parse(await response.json())).toMatchObject({ errors: [{}] });
    },
  );

  it.each(['', 'text/event-stream', 'text/*', 'image/png, */*'])('is not %j', async accept => {
    const response = await post('{ __typename }', {}, accept);
    expect([response.status, await response.text()]).toEqual([
      200,
      expect.stringContaining('{"data":{"__typename":"Query"}}'),
    ]);
  });
});
