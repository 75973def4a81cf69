import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { type Gateway, startGateway } from '../../src/gateway.ts';
import { createLog } from '../../src/log.ts';
import { type OperationInfo, type Outcome, observe } from '../../src/operations/hooks.ts';
import { readPersisted, SHIPPED_DOCUMENTS } from '../../src/operations/persisted-manifest.ts';
import { testEnvironment } from '../support/gateway.ts';
import { openSocket, type RawSocket } from '../support/sockets.ts';
import { openEvents } from '../support/watch.ts';

/** What the hook saw of one operation. */
interface Seen extends Pick<OperationInfo, 'kind' | 'name' | 'transport'> {
  results: number;
  readonly outcomes: Outcome[];
}

const seen: Seen[] = [];
let gateway: Gateway;
let folder: string;
let socket: RawSocket;
/** A shipped document, by its hash. */
let persisted: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hooks-'));
  const config = readConfig(
    testEnvironment(folder, {
      PERSISTED_DOCUMENTS: 'on',
      SUBSCRIPTIONS_PER_CALLER: '1',
      SANDBOX_STEP: '20ms',
    }),
  );
  if (!config.ok) throw new Error(config.faults.join('; '));
  gateway = await startGateway(config.config, createLog('silent'), undefined, [
    ({ kind, name, transport, caller }) => {
      expect(caller).toMatchObject({ id: null, operator: true });
      const operation: Seen = { kind, name, transport, results: 0, outcomes: [] };
      seen.push(operation);
      return {
        result: () => {
          operation.results += 1;
        },
        end(outcome, durationMs) {
          expect(durationMs).toBeGreaterThanOrEqual(0);
          operation.outcomes.push(outcome);
        },
      };
    },
  ]);
  socket = await openSocket(gateway.url);
  persisted =
    [...(await readPersisted(SHIPPED_DOCUMENTS))].find(([, text]) => text.startsWith('query Jobs('))?.[0] ??
    '';
});
afterAll(async () => {
  socket.socket.close();
  await gateway.stop();
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  seen.splice(0);
});

async function post(params: object, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`${gateway.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(params),
  });
  return response.text();
}

async function get(params: Record<string, string>, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`${gateway.url}/graphql?${new URLSearchParams(params)}`, { headers });
  return response.text();
}

const EVENTS = { accept: 'text/event-stream' };
const QUERY = 'query Engines { engines { id } }';
const FAILING = 'query Page { jobs(first: 101) { nodes { id } } }';
const MUTATION = 'mutation Cancel { cancelJob(id: "none") { __typename } }';
const UNKNOWN_JOB = 'subscription Follow { jobProgress(jobId: "none") { id } }';
const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** Submits a job that runs for a while. */
async function submit(steps: number): Promise<string> {
  const edit = `mutation { editImage(input: { images: [{ dataUri: "${PIXEL}" }], prompt: "x", steps: ${steps}, megapixels: 0.1 }) { ... on EditJob { id } } }`;
  const id: unknown = JSON.parse(await post({ query: edit })).data.editImage.id;
  seen.splice(0);
  return String(id);
}

type Expected = [name: string, send: () => Promise<unknown>, operation: Partial<Seen> & { outcome: Outcome }];

describe('every operation starts and ends the hook once', () => {
  const query = { kind: 'query', name: 'Engines', results: 1, outcome: 'completed' } as const;
  const failing = { kind: 'query', name: 'Page', results: 1, outcome: 'failed' } as const;
  const mutation = { kind: 'mutation', name: 'Cancel', results: 1, outcome: 'completed' } as const;
  const unknownJob = { kind: 'subscription', name: 'Follow', results: 1, outcome: 'failed' } as const;
  const invalid = { kind: 'query', name: 'Bad', results: 1, outcome: 'rejected' } as const;
  const notGraphQL = { kind: null, name: null, results: 1, outcome: 'rejected' } as const;
  const hash = { documentId: `sha256:${'0'.repeat(64)}` };

  it.each<Expected>([
    ['query by POST', () => post({ query: QUERY }), { ...query, transport: 'post' }],
    [
      'query by POST in another content type',
      () => post({ query: QUERY }, { 'content-type': 'application/graphql+json' }),
      { ...query, transport: 'post' },
    ],
    ['query by GET', () => get({ query: QUERY }), { ...query, transport: 'get' }],
    ['query as an event', () => post({ query: QUERY }, EVENTS), { ...query, transport: 'sse' }],
    ['query over a socket', () => socket.run({ query: QUERY }), { ...query, transport: 'websocket' }],
    ['mutation by POST', () => post({ query: MUTATION }), { ...mutation, transport: 'post' }],
    [
      'mutation over a socket',
      () => socket.run({ query: MUTATION }),
      { ...mutation, transport: 'websocket' },
    ],
    ['failing query by POST', () => post({ query: FAILING }), { ...failing, transport: 'post' }],
    ['failing query by GET', () => get({ query: FAILING }), { ...failing, transport: 'get' }],
    [
      'failing query over a socket',
      () => socket.run({ query: FAILING }),
      { ...failing, transport: 'websocket' },
    ],
    [
      'subscription that fails to start, as events',
      () => post({ query: UNKNOWN_JOB }, EVENTS),
      { ...unknownJob, transport: 'sse' },
    ],
    [
      'subscription as parts, without a stream',
      () => post({ query: UNKNOWN_JOB }, { accept: 'multipart/mixed;subscriptionSpec=1.0' }),
      { ...unknownJob, transport: 'multipart' },
    ],
    [
      'subscription by callbacks, which are off',
      () => post({ query: UNKNOWN_JOB }, { accept: 'application/json;callbackSpec=1.0' }),
      { ...unknownJob, transport: 'callback', outcome: 'rejected' },
    ],
    [
      'subscription that fails to start, over a socket',
      () => socket.run({ query: UNKNOWN_JOB }),
      { ...unknownJob, transport: 'websocket' },
    ],
    [
      'subscription that a JSON client cannot read',
      () => post({ query: UNKNOWN_JOB }, { accept: 'application/json' }),
      { ...unknownJob, outcome: 'rejected', transport: 'post' },
    ],
    [
      'mutation by GET',
      () => get({ query: MUTATION }),
      { ...mutation, outcome: 'rejected', transport: 'get' },
    ],
    [
      'persisted query by POST',
      () => post({ documentId: persisted }),
      { kind: 'query', name: 'Jobs', results: 1, outcome: 'completed', transport: 'post' },
    ],
    [
      'persisted query by GET',
      () => get({ documentId: persisted }),
      { kind: 'query', name: 'Jobs', results: 1, outcome: 'completed', transport: 'get' },
    ],
    [
      'persisted query over a socket',
      () => socket.run({ query: '', documentId: persisted }),
      { kind: 'query', name: 'Jobs', results: 1, outcome: 'completed', transport: 'websocket' },
    ],
    ['unknown hash by POST', () => post(hash), { ...notGraphQL, transport: 'post' }],
    ['unknown hash by GET', () => get(hash), { ...notGraphQL, transport: 'get' }],
    [
      'unknown hash over a socket',
      () => socket.run({ query: '', ...hash }),
      { ...notGraphQL, transport: 'websocket' },
    ],
    [
      'invalid query by POST',
      () => post({ query: 'query Bad { nothing }' }),
      { ...invalid, transport: 'post' },
    ],
    ['invalid query by GET', () => get({ query: 'query Bad { nothing }' }), { ...invalid, transport: 'get' }],
    [
      'invalid query over a socket',
      () => socket.run({ query: 'query Bad { nothing }' }),
      { ...invalid, transport: 'websocket' },
    ],
    ['text that is not GraphQL, by POST', () => post({ query: '{' }), { ...notGraphQL, transport: 'post' }],
    [
      'text that is not GraphQL, over a socket',
      () => socket.run({ query: '{' }),
      { ...notGraphQL, transport: 'websocket' },
    ],
    [
      'unknown operation name',
      () => post({ query: QUERY, operationName: 'Other' }),
      { ...notGraphQL, name: 'Other', transport: 'post' },
    ],
  ])('%s', async (_name, send, { outcome, ...operation }) => {
    // More often than it takes to compile a document.
    for (let n = 0; n < 5; n += 1) await send();
    expect(seen).toEqual(Array.from({ length: 5 }, () => ({ ...operation, outcomes: [outcome] })));
  });

  it('rejects a subscription whose client accepts no events with a sentence', async () => {
    for (const accept of ['application/json', 'multipart/mixed;subscriptionSpec=2.0']) {
      const body = JSON.parse(await post({ query: UNKNOWN_JOB }, { accept }));
      expect(body.errors).toEqual([
        {
          message: expect.stringContaining('send Accept: text/event-stream'),
          extensions: { code: 'NOT_ACCEPTABLE' },
        },
      ]);
    }
  });

  it('does not take a parameter named errors for a rejection', async () => {
    const errors = [{ message: 'made up' }];
    expect(await post({ query: QUERY, errors })).toContain('Unexpected parameter');
    expect((await socket.run({ query: QUERY, errors })).type).toBe('next');
  });

  it('ignores a request without an operation', async () => {
    await post({ variables: {} });
    await post([{ query: QUERY }]);
    await fetch(`${gateway.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{',
    });
    expect(seen).toEqual([]);
  });
});

describe('a subscription', () => {
  const watch = (id: string): string => `subscription Watch { jobProgress(jobId: "${id}") { revision } }`;

  it('reports each event and the end of the stream over a socket', async () => {
    const query = watch(await submit(3));
    let events = 0;
    socket.send({ id: 'watch', type: 'subscribe', payload: { query } });
    while ((await socket.of('watch')).type === 'next') events += 1;
    const subscription = { kind: 'subscription', name: 'Watch', transport: 'websocket' };
    expect(seen).toEqual([{ ...subscription, results: expect.any(Number), outcomes: ['completed'] }]);
    expect(seen[0]?.results).toBeGreaterThanOrEqual(events);
  });

  it('reports each event and the end of the stream as server-sent events', async () => {
    await post({ query: watch(await submit(3)) }, EVENTS);
    expect(seen).toMatchObject([{ kind: 'subscription', transport: 'sse', outcomes: ['completed'] }]);
    expect(seen[0]?.results).toBeGreaterThan(1);
  });

  it('that its client completes before it is opened was left without a result', async () => {
    const query = watch(await submit(3));
    socket.send({ id: 'gone', type: 'subscribe', payload: { query } });
    socket.send({ id: 'gone', type: 'complete' });
    const subscription = { kind: 'subscription', name: 'Watch', transport: 'websocket' };
    await expect.poll(() => seen).toEqual([{ ...subscription, results: 0, outcomes: ['left'] }]);
  });

  it('reports nothing after its end', () => {
    const told: string[] = [];
    const hook = () => ({ result: () => told.push('result'), end: (outcome: Outcome) => told.push(outcome) });
    const caller = { id: null, operator: true };
    const observation = observe([hook], { kind: 'subscription', name: null, caller, transport: 'sse' });
    observation?.result(undefined, false);
    observation?.end('left');
    observation?.result(undefined, false);
    observation?.end('failed');
    expect(told).toEqual(['result', 'left']);
  });

  it('reports a client that leaves, and one above its quota', async () => {
    const query = watch(await submit(90));
    socket.send({ id: 'first', type: 'subscribe', payload: { query } });
    await socket.of('first');
    await socket.run({ query });
    expect(seen.map(({ outcomes }) => outcomes)).toEqual([[], ['rejected']]);
    socket.send({ id: 'first', type: 'complete' });
    await expect.poll(() => seen.map(({ outcomes }) => outcomes)).toEqual([['left'], ['rejected']]);
    const events = await openEvents(`${gateway.url}/graphql`, EVENTS, { query });
    await events.next();
    events.leave();
    await expect.poll(() => seen.at(-1)?.outcomes).toEqual(['left']);
    expect(seen).toHaveLength(3);
  });
});
