import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient as createSocketClient } from 'graphql-ws';
import { EventSource } from 'undici';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { createClient } from '../../src/client/client.ts';
import { type Balancer, startBalancer } from '../support/balancer.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type GatewayProcess, startGatewayProcess } from '../support/gateway.ts';
import { type ImageServer, startImageServer } from '../support/image-server.ts';
import { startReceiver } from '../support/receiver.ts';
import { postEdit, submit } from '../support/requests.ts';
import { listen } from '../support/servers.ts';
import { startRedis, type TestRedis } from '../support/stores/redis.ts';
import { until, waitForEnd, waitUntil } from '../support/watch.ts';

const JOBS = 10;
const STEPS = 100;
/** A run takes 5 s, so that jobs run, wait and end during the restarts. */
const STEP_MS = 50;
/** Several checks of the balancer. */
const DRAIN_DELAY = '300ms';

let redis: TestRedis;
let engines: TestEngine[];
let images: ImageServer;
let shared: string;
let balancer: Balancer;
const gateways: GatewayProcess[] = [];

beforeAll(async () => {
  redis = await startRedis();
  images = await startImageServer();
  shared = await mkdtemp(join(tmpdir(), 'rolling-'));
  engines = await Promise.all([1, 2].map(() => startTestEngine({ stepMs: STEP_MS })));
  gateways.push(...(await Promise.all([start('0'), start('0')])));
  balancer = await startBalancer(gateways.map(({ url }) => url));
});
afterAll(async () => {
  await balancer.stop();
  await Promise.all(gateways.map(gateway => gateway.end('SIGKILL')));
  await Promise.all(engines.map(engine => engine.stop()));
  await images.close();
  await redis.stop();
  await rm(shared, { recursive: true, force: true });
});

function start(port: string, overrides: Record<string, string> = {}): Promise<GatewayProcess> {
  const COMFYUI_URL = engines.map(({ url }) => url).join(',');
  const settings = { REDIS_URL: redis.url, PORT: port, COMFYUI_URL, DRAIN_DELAY, ...overrides };
  return startGatewayProcess(shared, settings);
}

/** What a watcher has seen. */
interface Seen {
  readonly name: string;
  readonly job: number;
  readonly revisions: number[];
  status: string;
  /** How often it connected again. */
  retries: number;
}

type WatchWith = (url: string, id: string, seen: Seen) => Promise<void>;

function see(seen: Seen, { revision, status }: { revision: number; status: string }): void {
  seen.revisions.push(revision);
  seen.status = status.toUpperCase();
}

const QUERY = 'subscription ($id: ID!) { jobProgress(jobId: $id) { revision status } }';

/** graphql-ws' own client with its own rules about what to retry. */
const withGraphQLWs: WatchWith = async (url, id, seen) => {
  let opened = 0;
  const client = createSocketClient({
    url: `${url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    retryAttempts: 20,
    on: {
      connected: () => {
        seen.retries = opened;
        opened += 1;
      },
    },
  });
  try {
    const results = client.iterate<{ jobProgress: { revision: number; status: string } }>({
      query: QUERY,
      variables: { id },
    });
    for await (const { data, errors } of results) {
      if (data == null) throw new Error(JSON.stringify(errors));
      // After a reconnect the present snapshot comes first, which may be the one that came last before.
      if (data.jobProgress.revision !== seen.revisions.at(-1)) see(seen, data.jobProgress);
    }
  } finally {
    await client.dispose();
  }
};

const withClient =
  (transport: 'websocket' | 'sse'): WatchWith =>
  async (url, id, seen) => {
    const client = createClient({ url, transports: [transport] });
    const onRetry = (): void => {
      seen.retries += 1;
    };
    try {
      for await (const snapshot of client.watch(id, { onRetry })) see(seen, snapshot);
    } finally {
      await client.close();
    }
  };

/** Watches as a page does, which gets 204 for a job that has ended. */
const withEventSource: WatchWith = (url, id, seen) => {
  const source = new EventSource(`${url}/events/${id}`);
  return new Promise((resolve, reject) => {
    source.addEventListener('message', ({ data, lastEventId }) => {
      see(seen, { revision: Number(lastEventId), status: JSON.parse(data).status });
    });
    source.addEventListener('error', () => {
      const ended = seen.status === 'COMPLETED';
      if (!ended) seen.retries += 1;
      if (!ended && source.readyState !== EventSource.CLOSED) return;
      source.close();
      if (ended) resolve();
      else reject(new Error('EventSource gave up'));
    });
  });
};

const WAYS: Readonly<Record<string, WatchWith>> = {
  'graphql-ws 1': withGraphQLWs,
  'graphql-ws 2': withGraphQLWs,
  'client over WebSocket': withClient('websocket'),
  'client over SSE': withClient('sse'),
  EventSource: withEventSource,
};

/** Sends requests of every kind, several at a time, until it is stopped. */
function keepRequesting(url: string, watched: string) {
  const failures: string[] = [];
  const submitted: string[] = [];
  let answered = 0;
  let going = true;
  const ask = async (path: string, init?: RequestInit): Promise<void> => {
    const answer = await fetch(url + path, init);
    const text = await answer.text();
    if (!answer.ok || text.includes('"errors"')) throw new Error(`${path}: ${answer.status} ${text}`);
  };
  const query = `{ job(id: "${watched}") { revision } engines { id } }`;
  const body = JSON.stringify({ query });
  const headers = { 'content-type': 'application/json' };
  const kinds: [pauseMs: number, request: () => Promise<void>][] = [
    [150, async () => void submitted.push(await submit({ url, images }, { steps: 1 }))],
    [5, () => ask(`/status/${watched}`)],
    // A poll that is in flight when a gateway stops.
    [5, () => ask(`/status/${watched}?wait=2&revision=99999`)],
    [5, () => ask('/graphql', { method: 'POST', headers, body })],
    [5, () => ask('/jobs?limit=5')],
  ];
  const running = kinds.map(async ([pauseMs, request]) => {
    while (going) {
      await request().then(
        () => {
          answered += 1;
        },
        error => failures.push(`${String(error)} ${String(error.cause ?? '')}`),
      );
      await new Promise(resolve => setTimeout(resolve, pauseMs));
    }
  });
  return {
    failures,
    submitted,
    answered: () => answered,
    async stop() {
      going = false;
      await Promise.all(running);
    },
  };
}

it('two gateways restart one after the other: no request fails, each watcher sees rising revisions to the last', async () => {
  const { url } = balancer;
  const ids: string[] = [];
  for (let n = 0; n < JOBS; n += 1) ids.push(await submit({ url, images }, { steps: STEPS }));
  const watchers: Seen[] = [];
  const watching = Promise.all(
    ids.flatMap((id, job) =>
      Object.entries(WAYS).map(([name, watch]) => {
        const seen: Seen = { name, job, revisions: [], status: '', retries: 0 };
        watchers.push(seen);
        return watch(url, id, seen);
      }),
    ),
  );
  const load = keepRequesting(url, ids[0] ?? '');
  await Promise.race([watching, until(() => watchers.every(({ revisions }) => revisions.length > 0))]);

  for (const [n, gateway] of gateways.entries()) {
    const stopped = gateway.end('SIGTERM');
    await until(() => !balancer.ready().includes(gateway.url));
    expect(await stopped).toBe(0);
    gateways[n] = await start(new URL(gateway.url).port);
    await until(() => balancer.ready().length === gateways.length);
  }
  // More than were on one gateway. Then the rest may end quickly.
  await until(() => watchers.filter(({ retries }) => retries > 0).length > watchers.length * 0.6);
  await load.stop();
  for (const engine of engines) await engine.fault({ stepMs: 0 });
  await watching;

  expect(load.failures).toEqual([]);
  expect(load.answered()).toBeGreaterThan(100);
  expect(balancer.losses).toEqual([503, 503]);
  for (const { name, job, revisions, status } of watchers) {
    const about = `${name} of job ${job}`;
    expect([about, status]).toEqual([about, 'COMPLETED']);
    expect(revisions, about).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    const last = watchers.filter(other => other.job === job).map(other => other.revisions.at(-1));
    expect(new Set(last).size, about).toBe(1);
  }
  // Each run was handed over, none was begun again.
  const all = [...ids, ...load.submitted];
  const ends = await Promise.all(all.map(id => waitForEnd(url, id)));
  expect(ends.filter(({ status, attempt }) => status !== 'COMPLETED' || attempt !== 1)).toEqual([]);
  const executed = await Promise.all(engines.map(async engine => (await engine.stats()).executed));
  const counts = executed.flatMap(each => Object.values(each));
  expect(counts).toEqual(counts.map(() => 1));
  expect(counts).toHaveLength(all.length);
}, 180_000);

it('a gateway stops in time although a webhook, an engine, an image server and clients hang', async () => {
  const receiver = await startReceiver(() => 'silent');
  const silent = createServer(() => {});
  const port = await listen(silent);
  const gateway = await start('0', {
    FETCH_TIMEOUT: '10m',
    WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    WEBHOOK_TIMEOUT: '10m',
    DRAIN_DELAY: '0ms',
  });
  const { url } = gateway;
  const target = { url, images };
  await submit(target, { webhook: { url: receiver.url } });
  await receiver.heard(1);

  // Long enough to be seen while it runs: the test before left steps without a duration.
  for (const engine of engines) await engine.fault({ stepMs: 50 });
  const id = await submit(target, { steps: 100 });
  await waitUntil(url, id, ({ status }) => status === 'PROCESSING');
  const clients = await Promise.all(
    [1, 2, 3].map(async () => {
      const client = connect(Number(new URL(url).port), '127.0.0.1');
      await once(client, 'connect');
      client.write(`GET /events/${id} HTTP/1.1\r\nhost: x\r\n\r\n`);
      return client.pause();
    }),
  );
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  await once(socket, 'open');
  socket.pause();
  const submitting = postEdit(target, { image1_url: `http://127.0.0.1:${port}/x.png` }).catch(() => null);
  await once(silent, 'connection');
  for (const engine of engines) await engine.fault({ slowHttp: 600_000 });

  const from = performance.now();
  expect(await gateway.end('SIGTERM')).toBe(0);
  expect(performance.now() - from).toBeLessThan(6_000);
  await submitting;
  for (const client of clients) client.destroy();
  socket.terminate();
  silent.close();
  await receiver.close();
});
