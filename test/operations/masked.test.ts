import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEmbeddedLedger } from '../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed, createMemoryPreviews } from '../../src/adapters/embedded/live.ts';
import { createFileArtifacts } from '../../src/adapters/files/artifacts.ts';
import { readConfig } from '../../src/config.ts';
import { createEngineIdentity } from '../../src/http/access/engine-keys.ts';
import { createIdentity } from '../../src/http/access/identity.ts';
import { createReadiness } from '../../src/http/probes.ts';
import { type HttpServer, startHttpServer } from '../../src/http/server.ts';
import { httpLimits } from '../../src/http-limits.ts';
import { createImageLoader } from '../../src/images/loader.ts';
import { StoreUnavailable } from '../../src/jobs/errors.ts';
import { PLAIN_IMAGE_URLS } from '../../src/jobs/image-urls.ts';
import { createJobs } from '../../src/jobs/service.ts';
import { parseAllowList } from '../../src/outbound/allow-list.ts';
import { createCatalog } from '../../src/workflows/files/catalog.ts';
import { ask, askBothWays, OFTEN } from '../support/both-ways.ts';
import { NO_FLEET } from '../support/fleet.ts';
import { startRig } from '../support/gateway.ts';
import { recordLog } from '../support/log.ts';
import { postGraphQL } from '../support/requests.ts';
import { listen } from '../support/servers.ts';
import { codesOf, openSocket } from '../support/sockets.ts';

const SECRET = 'redis://:hunter2@10.0.0.7:6379 refused';
const log = recordLog();
const { lines } = log;
const WATCH = 'subscription ($id: ID!) { jobProgress(jobId: $id) { id } }';
/** By the id of the job that is asked for. */
const faults = new Map<string, Error>([['away', new StoreUnavailable('no route', 'ECONNREFUSED')]]);

let folder: string;
let server: HttpServer;
const stops: (() => Promise<void>)[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'masked-'));
  const feed = createEmbeddedFeed();
  const stored = openEmbeddedLedger({ path: join(folder, 'jobs.sqlite'), feed, now: Date.now });
  const images = createImageLoader({
    allow: parseAllowList(''),
    maxBytes: 1,
    maxPixels: 1,
    totalTimeoutMs: 1,
  });
  stops.push(
    () => stored.close(),
    () => images.close(),
  );
  const workflows = createCatalog({ workflows: [], broken: [] }, null, () => false);
  const previews = createMemoryPreviews();
  // A store that fails with what no caller should read.
  const ledger = {
    ...stored,
    get: (id: string) => Promise.reject(faults.get(id) ?? new Error(SECRET)),
    list: () => Promise.reject(new Error(SECRET)),
  };
  const artifacts = createFileArtifacts(folder);
  const limits = {
    maxQueue: 1,
    jobTtlMs: 1,
    cancelWaitMs: 1,
    secondsToRoom: () => 10,
    removeEngineFile: async () => undefined,
  };
  const jobs = createJobs({ ledger, feed, artifacts, previews, images, workflows, now: Date.now, ...limits });
  const config = readConfig({});
  if (!config.ok) throw new Error(config.faults.join());
  server = await startHttpServer({
    services: {
      jobs,
      previews,
      imageUrls: PLAIN_IMAGE_URLS,
      workflows,
      engines: () => [],
      waitingFor: async () => null,
      fleet: NO_FLEET,
    },
    identity: createIdentity({ keys: [], tokens: null }),
    engineIdentity: createEngineIdentity([]),
    callbacks: null,
    graphiql: null,
    imageUrls: null,
    routes: () => async () => {},
    log,
    host: '127.0.0.1',
    port: 0,
    publicUrl: null,
    maxBodyBytes: 1000,
    limits: httpLimits(config.config),
    documents: new Map(),
    fairBy: 'caller',
    trustedProxies: null,
    sharedRates: null,
    showDetails: false,
    readiness: createReadiness({
      pingStore: async () => {},
      tryWrite: async () => {},
      engines: () => [],
      now: Date.now,
      log,
    }),
    logRequests: false,
    onRequest: () => {},
    renderMetrics: null,
    onOperation: [],
  });
});
afterAll(async () => {
  await server.stop();
  for (const stop of stops) await stop();
  await rm(folder, { recursive: true });
});

/** What a caller was told is a reference, and the log has the rest under it. */
function expectReference(told: unknown, requestId: unknown = expect.any(String)): void {
  const text = JSON.stringify(told);
  expect(text).not.toContain('hunter2');
  const reference = /reference ([0-9a-f-]{36})/.exec(text)?.[1];
  expect(lines).toContainEqual({
    level: 'error',
    message: 'an operation failed',
    fields: expect.objectContaining({
      reference,
      requestId,
      err: expect.objectContaining({ message: SECRET, stack: expect.stringContaining('masked.test.ts') }),
    }),
  });
}

describe('an internal error', () => {
  const query = '{ job(id: "x") { id } }';
  const subscription = 'subscription { jobProgress(jobId: "x") { id } }';

  it('is masked by a reference over HTTP', async () => {
    const { errors } = await postGraphQL(server.url, query, {}, { 'x-request-id': 'asked' });
    expect(errors).toMatchObject([{ extensions: { code: 'INTERNAL_SERVER_ERROR' } }]);
    expectReference(errors, 'asked');
  });

  it('is masked by a reference and logged once in a compiled query', async () => {
    const often = 'query Often($id: ID!) { job(id: $id) { id } }';
    for (let n = 1; n < OFTEN; n += 1) await postGraphQL(server.url, often, { id: 'x' });
    lines.splice(0);
    const { errors } = await postGraphQL(server.url, often, { id: 'x' });
    expect(errors).toMatchObject([{ extensions: { code: 'INTERNAL_SERVER_ERROR' } }]);
    expectReference(errors);
    expect(lines.filter(({ level }) => level === 'error')).toHaveLength(1);
  });

  it('is reported as temporary while the store is out of reach, also in a compiled query', async () => {
    const given = ask('query Away($id: ID!) { job(id: $id) { id } }', { id: 'away' });
    const { directly, often, yoga } = await askBothWays(server.url, given);
    expect(often).toEqual(yoga);
    expect(directly).toBe(true);
    expect(often).toMatchObject({ status: 503, retryAfter: expect.stringMatching(/^\d+$/) });
    expect(JSON.parse(often.body)).toMatchObject({
      data: { job: null },
      errors: [{ extensions: { code: 'STORE_UNAVAILABLE' } }],
    });
  });

  it('is masked by a reference over server-sent events', async () => {
    const answer = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify({ query: subscription }),
    });
    expectReference(await answer.text());
  });

  it.each([query, subscription])(
    'is masked by a reference over a socket, which stays open: %s',
    async document => {
      const socket = await openSocket(server.url);
      const message = await socket.run({ query: document });
      expect(codesOf(message)).toEqual(['INTERNAL_SERVER_ERROR']);
      expectReference(message.payload);
      expect((await socket.run({ query: '{ engines { id } }' })).payload).toEqual({ data: { engines: [] } });
      socket.socket.close();
    },
  );
});

describe('a subscription whose events fail', () => {
  // Its first event is read from the store after it was opened.
  const query = 'subscription { jobUpdates { cursor } }';

  it('ends with the masked error over server-sent events', async () => {
    const answer = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify({ query }),
    });
    const text = await answer.text();
    expectReference(text);
    expect(text).toMatch(/event: complete\s/);
  });

  it('ends with the masked error over a socket, which stays open', async () => {
    const socket = await openSocket(server.url);
    const message = await socket.run({ query }, 'updates');
    expect([message.type, codesOf(message)]).toEqual(['next', ['INTERNAL_SERVER_ERROR']]);
    expectReference(message.payload);
    expect((await socket.of('updates')).type).toBe('complete');
    expect((await socket.run({ query: '{ engines { id } }' })).payload).toEqual({ data: { engines: [] } });
    socket.socket.close();
  });
});

describe('an error over a socket', () => {
  it.each([
    ['no GraphQL', { query: '{ job(' }],
    ['an unknown field', { query: '{ nothing }' }],
    ['a variable that is missing', { query: 'query ($id: ID!) { job(id: $id) { id } }' }],
    ['a store that is away', { query: '{ job(id: "away") { id } }' }],
    ['a subscription of which a variable is missing', { query: WATCH }],
    ['a subscription while the store is away', { query: WATCH, variables: { id: 'away' } }],
  ])('has no HTTP status or headers: %s', async (_, payload) => {
    const socket = await openSocket(server.url);
    const told = JSON.stringify(await socket.run(payload));
    socket.socket.close();
    expect(told).toContain('"message":');
    expect(told).not.toContain('"http":');
  });
});

describe('a client that leaves before the response', () => {
  it.each(['/graphql', '/edit-image'])('is logged at debug, not as an error: %s', async path => {
    const silent = createServer();
    const url = `http://127.0.0.1:${await listen(silent)}/picture.png`;
    const seen = recordLog();
    const gateway = await startRig({}, seen);
    const leave = new AbortController();
    // As soon as the picture is asked for.
    silent.on('request', () => leave.abort());
    try {
      const body =
        path === '/graphql'
          ? {
              query: `mutation { editImage(input: { images: [{ url: "${url}" }], prompt: "x" }) { __typename } }`,
            }
          : { image1_url: url, prompt: 'x' };
      const asked = fetch(gateway.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: leave.signal,
      });
      await expect(asked).rejects.toThrow('aborted');
      await expect
        .poll(() => seen.lines.map(({ level, message }) => `${level} ${message}`))
        .toContain('debug the client left before the response');
      expect(seen.lines.filter(({ level }) => level === 'error')).toEqual([]);
    } finally {
      silent.closeAllConnections();
      silent.close();
      await gateway.close();
    }
  });
});
