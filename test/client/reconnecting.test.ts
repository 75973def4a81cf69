import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { createClient, type JobSnapshot } from '../../src/client/client.ts';
import { nextEvent, onSubscribe, snapshot, startStandIn } from '../support/clients/stand-in.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { startSilentProxy } from '../support/proxies.ts';
import { submit } from '../support/requests.ts';

/** What each test started, in the order of its end. */
const started: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of started.splice(0).reverse()) await stop();
});

/** The same, with what ends it noted. */
async function ended<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
  const thing = await starting;
  started.push(thing.stop);
  return thing;
}

function clientOf(...given: Parameters<typeof createClient>) {
  const client = createClient(...given);
  started.push(client.close);
  return client;
}

/** Milliseconds: a busy machine opens a connection within what the first attempt, which fails, leaves of it. */
const PATIENCE = 6_000;

async function revisionsOf(watch: AsyncIterable<JobSnapshot>): Promise<number[]> {
  const revisions: number[] = [];
  for await (const { revision } of watch) revisions.push(revision);
  return revisions;
}

describe('a connection without traffic', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig();
    return () => rig.close();
  });

  async function startJob(url: string): Promise<string> {
    const client = createClient({ url });
    const images = [`${rig.images.url}/red.png`];
    const job = await client.edit({ images, prompt: 'x', steps: 2, megapixels: 0.25 });
    if (job.__typename !== 'EditJob') throw new Error(job.message);
    return job.id;
  }

  it('is replaced by server-sent events within patience', async () => {
    const proxy = await ended(startSilentProxy(rig.url, { swallow: true }));
    const client = clientOf({ url: proxy.url, patience: PATIENCE });
    expect((await client.wait(await startJob(rig.url))).status).toBe('COMPLETED');
  });

  it.each([
    ['Node’s own WebSocket', {}],
    ['the ws package', { webSocket: WebSocket }],
  ])('is retried until patience is over, by %s', async (_, more) => {
    const proxy = await ended(startSilentProxy(rig.url, { swallow: true }));
    const client = clientOf({ url: proxy.url, patience: 300, transports: ['websocket'], ...more });
    await expect(client.wait('x')).rejects.toMatchObject({
      kind: 'unreachable',
      message: expect.stringMatching(/WebSocket to 127\.0\.0\.1:\d+ did not open in time/),
    });
  });

  it('is given up after the network dropped it silently', async () => {
    const proxy = await ended(startSilentProxy(rig.url));
    const client = clientOf({ url: proxy.url, patience: PATIENCE, transports: ['websocket'] });
    // Node sends the handshake on the connection that it kept, if that is free.
    const id = await startJob(proxy.url);
    proxy.silence();
    const before = proxy.made;
    expect((await client.wait(id)).status).toBe('COMPLETED');
    expect(proxy.made).toBeGreaterThan(before);
  });
});

describe('a WebSocket without watches', () => {
  it('is replaced at once, even if the peer never sends its close frame', async () => {
    const rig = await startRig({ SANDBOX_STEP: '10s' });
    started.push(rig.close);
    const proxy = await ended(startSilentProxy(rig.url));
    const client = clientOf({ url: proxy.url, patience: PATIENCE, transports: ['websocket'] });
    // Not through the proxy: Node would send the next handshake on that connection.
    const id = await submit(rig);
    const watch = client.watch(id);
    await watch.next();
    proxy.silence();
    await watch.return?.();
    expect((await client.watch(id).next()).done).toBe(false);
  });
});

describe('a stream that ends before the job', () => {
  it('is requested again when the gateway says, and goes on with the newest state', async () => {
    const requests: number[] = [];
    const gateway = await ended(
      startStandIn((_request, response) => {
        requests.push(performance.now());
        const revision = requests.length === 1 ? 3 : 4;
        const status = requests.length === 1 ? 'PROCESSING' : 'COMPLETED';
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.end(`${nextEvent({ ...snapshot(revision), status })}: bye\nretry: 700\n\n`);
      }),
    );
    const client = clientOf({ url: gateway.url, transports: ['sse'] });
    const retries: string[] = [];
    const watch = client.watch('job', { onRetry: ({ message }) => retries.push(message) });
    expect(await revisionsOf(watch)).toEqual([3, 4]);
    expect(retries).toEqual(['The gateway ended the event stream before the job']);
    expect((requests[1] ?? 0) - (requests[0] ?? 0)).toBeGreaterThan(690);
  });

  it('is requested again until patience is over', async () => {
    let requests = 0;
    const router = await ended(
      startStandIn((request, response) => {
        if (request.headers.accept === 'text/event-stream') {
          requests += 1;
          // Patience ends while the third one is not answered.
          if (requests === 3) return;
          response.writeHead(200, { 'content-type': 'text/event-stream' }).end('event: complete\ndata:\n\n');
        } else {
          response.writeHead(200, { 'content-type': 'application/json' });
          response.end(JSON.stringify({ data: { job: snapshot(1) } }));
        }
      }),
    );
    const client = clientOf({ url: router.url, patience: 3_000, transports: ['sse'] });
    const retries: string[] = [];
    const watch = client.wait('job', { onRetry: ({ message }) => retries.push(message) });
    const message = 'The subscription ended before the job';
    await expect(watch).rejects.toMatchObject({ kind: 'unreachable', message });
    expect(requests).toBe(3);
    expect(retries).toEqual([message, message]);
  });

  it('is requested again while the gateway still counts the lost watch', async () => {
    let requests = 0;
    const gateway = await ended(
      startStandIn((_, response) => {
        requests += 1;
        if (requests === 2) {
          const errors = [{ message: 'Too many', extensions: { code: 'TOO_MANY_SUBSCRIPTIONS' } }];
          response.writeHead(429, { 'content-type': 'application/json' }).end(JSON.stringify({ errors }));
          return;
        }
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.end(nextEvent(requests === 1 ? snapshot(1) : snapshot(2, 'COMPLETED')));
      }),
    );
    const client = clientOf({ url: gateway.url, transports: ['sse'] });
    const retries: (string | null)[] = [];
    const watch = client.watch('job', { onRetry: ({ code }) => retries.push(code) });
    expect(await revisionsOf(watch)).toEqual([1, 2]);
    expect(retries).toEqual([null, 'TOO_MANY_SUBSCRIPTIONS']);
  });
});

describe('a token', () => {
  const refuse = () => {
    throw new Error('no HTTP request is expected');
  };
  let made = 0;
  const headers = (): Record<string, string> => ({ authorization: `Bearer ${++made}` });

  it('that expires is replaced by a new one from headers()', async () => {
    const seen: unknown[] = [];
    const gateway = await ended(
      startStandIn(refuse, (socket, payload, number) => {
        seen.push(payload);
        onSubscribe(socket, send => {
          if (number === 1) {
            send(snapshot(1));
            socket.close(4401, 'Unauthorized');
          } else send(snapshot(2, 'COMPLETED'));
        });
      }),
    );
    made = 0;
    const client = clientOf({ url: gateway.url, headers, transports: ['websocket'] });
    expect(await revisionsOf(client.watch('job'))).toEqual([1, 2]);
    expect(seen).toEqual([{ authorization: 'Bearer 1' }, { authorization: 'Bearer 2' }]);
  });

  it.each([4401, 4403])('that is rejected on a reconnect ends the watch: %i', async code => {
    const gateway = await ended(
      startStandIn(refuse, (socket, _, number) => {
        if (number > 1) {
          socket.close(code, 'Forbidden');
          return;
        }
        onSubscribe(socket, send => {
          send(snapshot(1));
          socket.close(4401, 'Unauthorized');
        });
      }),
    );
    const client = clientOf({ url: gateway.url, headers, transports: ['websocket'] });
    await expect(revisionsOf(client.watch('job'))).rejects.toMatchObject({
      kind: 'refused',
      status: code,
      retryable: false,
      message: expect.stringMatching(/valid API key or token.*Forbidden/),
    });
  });
});
