import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../../support/gateway.ts';
import { recordLog } from '../../support/log.ts';
import { held } from '../../support/memory.ts';
import { API_KEYS, as, KEYS, submit } from '../../support/requests.ts';
import { codesOf, openRawSocket, openSocket } from '../../support/sockets.ts';

let rig: Rig;
afterEach(() => rig.close());

const watch = (id: string) => ({ query: `subscription { jobProgress(jobId: "${id}") { status } }` });

/** Opens a subscription over server-sent events and reads its first event. */
async function stream(
  id: string,
  headers: Record<string, string> = {},
): Promise<{ first: string; leave: () => void }> {
  const leave = new AbortController();
  const answer = await fetch(`${rig.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...headers },
    body: JSON.stringify(watch(id)),
    signal: leave.signal,
  });
  if (answer.body === null) throw new Error('no body');
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let first = '';
  while (!first.includes('data: {')) first += (await reader.read()).value ?? '';
  return { first, leave: () => leave.abort() };
}

describe('operations on one socket', () => {
  it('are limited in number', async () => {
    rig = await startRig({ OPERATIONS_PER_SOCKET: '3', SANDBOX_STEP: '200ms' });
    const id = await submit(rig, { steps: 100 });
    const socket = await openSocket(rig.url);
    for (const name of ['a', 'b', 'c']) expect((await socket.run(watch(id), name)).type).toBe('next');
    expect(codesOf(await socket.run(watch(id), 'd'))).toEqual(['TOO_MANY_SUBSCRIPTIONS']);
    socket.send({ id: 'a', type: 'complete' });
    // The protocol keeps the order of messages: the slot is free when the next one is read.
    expect((await socket.run(watch(id), 'e')).type).toBe('next');
    socket.socket.close();
  });
});

describe('subscriptions of one caller', () => {
  it('are limited in number, over sockets and event streams together', async () => {
    rig = await startRig({ API_KEYS, SUBSCRIPTIONS_PER_CALLER: '3', SANDBOX_STEP: '200ms' });
    const id = await submit(rig, { steps: 100 }, as(KEYS.alice));
    const one = await openSocket(rig.url, { apiKey: KEYS.alice });
    const two = await openSocket(rig.url, { apiKey: KEYS.alice });
    expect((await one.run(watch(id), 'a')).type).toBe('next');
    expect((await two.run(watch(id), 'b')).type).toBe('next');
    const third = await stream(id, as(KEYS.alice));
    expect(third.first).not.toContain('TOO_MANY');
    expect(codesOf(await two.run(watch(id), 'c'))).toEqual(['TOO_MANY_SUBSCRIPTIONS']);
    const fourth = await stream(id, as(KEYS.alice));
    expect(fourth.first).toContain('TOO_MANY_SUBSCRIPTIONS');
    // Other callers have quotas of their own.
    const olga = await openSocket(rig.url, { apiKey: KEYS.olga });
    expect((await olga.run(watch(id))).type).toBe('next');
    // Each way of leaving frees a slot.
    one.send({ id: 'a', type: 'complete' });
    await one.run({ query: '{ __typename }' });
    expect((await two.run(watch(id), 'd')).type).toBe('next');
    third.leave();
    two.socket.terminate();
    await expect.poll(async () => (await one.run(watch(id))).type).toBe('next');
    await expect.poll(async () => (await one.run(watch(id))).type).toBe('next');
    for (const socket of [one, olga]) socket.socket.close();
    fourth.leave();
  });
});

describe('a socket', () => {
  it('that never sends connection_init is closed with 4408', async () => {
    rig = await startRig({ CONNECTION_INIT_TIMEOUT: '100ms' });
    const socket = await openRawSocket(rig.url);
    expect((await socket.closed).code).toBe(4408);
  });

  it('is closed with 4410 after its lifetime, even while it is used', async () => {
    rig = await startRig({ SOCKET_LIFETIME: '300ms', SANDBOX_STEP: '200ms' });
    const id = await submit(rig, { steps: 100 });
    const socket = await openSocket(rig.url);
    await socket.run(watch(id));
    expect((await socket.closed).code).toBe(4410);
  });

  it('is closed with 4411 when idle, not while an operation is in flight', async () => {
    rig = await startRig({ SOCKET_IDLE: '200ms', SANDBOX_STEP: '10ms' });
    const id = await submit(rig, { steps: 60 });
    const busy = await openSocket(rig.url);
    const started = performance.now();
    await busy.run(watch(id), 'w');
    const idle = await openSocket(rig.url);
    expect((await idle.closed).code).toBe(4411);
    await busy.receive('complete', 'w');
    const ended = performance.now();
    expect((await busy.closed).code).toBe(4411);
    expect(ended - started).toBeGreaterThan(200);
  });

  it('above MAX_SOCKETS is rejected with 503', async () => {
    rig = await startRig({ MAX_SOCKETS: '2' });
    const sockets = [await openSocket(rig.url), await openSocket(rig.url)];
    await expect(openSocket(rig.url)).rejects.toThrow('503');
    for (const { socket } of sockets) socket.close();
  });

  it('on another path than /graphql is rejected with 404', async () => {
    rig = await startRig();
    await expect(openSocket(`${rig.url}/elsewhere`)).rejects.toThrow('404');
  });

  it.each([
    // One result is about 400 kB: unread, all of them would fill gigabytes.
    ['the size of unsent results', 200, '1h'],
    // The unsent results of these stay below the size limit.
    ['the time without reading', 24, '300ms'],
  ])(
    'that does not read is closed with 4413 by %s, and costs little memory',
    async (_, count, SLOW_READER) => {
      const log = recordLog();
      rig = await startRig({ SLOW_READER }, log);
      const prompt = 'p'.repeat(9_900);
      await Promise.all(Array.from({ length: 40 }, () => submit(rig, { prompt })));
      const socket = await openSocket(rig.url);
      const page = { query: '{ jobs(first: 100) { nodes { request { prompt } } } }' };
      await socket.run(page);
      const before = process.memoryUsage.rss();
      socket.socket.pause();
      let at = 0;
      // Spread over time, so that few are rejected.
      const asking = setInterval(() => {
        for (let i = 0; i < 5 && at < count; i += 1, at += 1) {
          if (socket.socket.readyState === socket.socket.OPEN)
            socket.send({ id: `s${at}`, type: 'subscribe', payload: page });
        }
      }, 20);
      try {
        await expect
          .poll(() => log.lines.filter(({ message }) => message === 'closing a socket'))
          .toMatchObject([{ fields: { code: 4413 } }]);
      } finally {
        clearInterval(asking);
      }
      expect(process.memoryUsage.rss() - before).toBeLessThan(150 * 1024 ** 2);
      socket.socket.resume();
      expect((await socket.closed).code).toBe(4413);
      // Other sockets are not affected.
      const other = await openSocket(rig.url);
      expect((await other.run({ query: '{ __typename }' })).type).toBe('next');
      other.socket.close();
    },
  );
});

describe('a socket before connection_init', () => {
  it('is closed when it sends a large message', async () => {
    rig = await startRig({ API_KEYS });
    const whole = await openRawSocket(rig.url);
    whole.send({ type: 'ping', payload: { big: 'x'.repeat(100_000) } });
    expect((await whole.closed).code).toBe(1006);
    // Incomplete messages count too.
    const half = await openRawSocket(rig.url);
    half.socket.send('x'.repeat(100_000), { fin: false });
    expect((await half.closed).code).toBe(1006);
    const known = await openSocket(rig.url, { apiKey: KEYS.alice });
    const long = { query: `{ __typename } # ${'x'.repeat(100_000)}` };
    expect((await known.run(long)).type).toBe('next');
    known.socket.close();
  });

  it('is destroyed soon after a close that its client does not answer', async () => {
    rig = await startRig({ CONNECTION_INIT_TIMEOUT: '50ms' });
    const socket = connect(Number(new URL(rig.url).port), '127.0.0.1');
    socket.write(
      'GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n' +
        'Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n',
    );
    socket.resume();
    const started = performance.now();
    await once(socket, 'close');
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

describe('a ping', () => {
  it('is answered with its payload, if that is small', async () => {
    rig = await startRig();
    const { send, receive, socket } = await openSocket(rig.url);
    send({ type: 'ping', payload: { at: 1 } });
    expect(await receive('pong')).toEqual({ type: 'pong', payload: { at: 1 } });
    send({ type: 'ping', payload: { big: 'x'.repeat(2_000) } });
    expect(await receive('pong')).toEqual({ type: 'pong' });
    send({ type: 'ping' });
    expect(await receive('pong')).toEqual({ type: 'pong' });
    socket.close();
  });

  it('flood without reading closes the socket', async () => {
    rig = await startRig();
    const { socket, closed } = await openSocket(rig.url);
    const ping = JSON.stringify({ type: 'ping', payload: { some: 'x'.repeat(900) } });
    socket.pause();
    // As fast as possible: the pongs pile up in the gateway.
    const sendSome = (): void => {
      for (let n = 0; n < 200; n += 1) socket.send(ping);
      if (socket.readyState === socket.OPEN) setImmediate(sendSome);
    };
    sendSome();
    const gone = async (): Promise<number> => {
      socket.resume();
      return (await closed).code;
    };
    await expect.poll(() => socket.bufferedAmount).toBeGreaterThan(64 * 1024);
    expect([4413, 1006]).toContain(await gone());
  });
});

describe('the variables of a subscription', () => {
  it('are limited in size, unlike those of queries', async () => {
    rig = await startRig({ SANDBOX_STEP: '200ms' });
    const id = await submit(rig, { steps: 100 });
    const query = 'subscription ($id: ID!) { jobProgress(jobId: $id) { status } }';
    const { socket, run } = await openSocket(rig.url);
    const subscribe = (characters: number) => run({ query, variables: { id, junk: 'x'.repeat(characters) } });
    expect((await subscribe(60_000)).type).toBe('next');
    expect(codesOf(await subscribe(70_000))).toEqual(['DOCUMENT_LIMIT']);
    // Queries and mutations may carry an image.
    expect((await run({ query: '{ __typename }', variables: { junk: 'x'.repeat(70_000) } })).type).toBe(
      'next',
    );
    const before = held();
    for (let n = 0; n < 50; n += 1) await subscribe(60_000);
    expect(held() - before).toBeLessThan(50 * 2 * 60_000);
    socket.close();
  });

  it('are rejected when deeply nested', async () => {
    rig = await startRig();
    const deep = `${'{"a":'.repeat(9_000)}1${'}'.repeat(9_000)}`;
    const query = 'subscription ($id: ID!) { jobProgress(jobId: $id) { status } }';
    const body = `{"query":${JSON.stringify(query)},"variables":{"id":${deep}}}`;
    const { socket, receive, run } = await openSocket(rig.url);
    socket.send(`{"id":"deep","type":"subscribe","payload":${body}}`);
    expect(JSON.stringify(await receive('next', 'deep'))).toContain('ID cannot represent');
    expect((await run({ query: '{ __typename }' })).type).toBe('next');
    socket.close();
    const headers = { 'content-type': 'application/json', accept: 'text/event-stream' };
    const answer = await fetch(`${rig.url}/graphql`, { method: 'POST', headers, body });
    expect(await answer.text()).toContain('ID cannot represent');
  });
});

/** The end of a stream that ends before its job. */
const COME_BACK = /\nretry: \d+\n\n$/;

describe('an event stream', () => {
  it('of REST counts as a subscription, and has the same lifetime', async () => {
    rig = await startRig({ SUBSCRIPTIONS_PER_CALLER: '1', SOCKET_LIFETIME: '600ms', SANDBOX_STEP: '200ms' });
    const id = await submit(rig, { steps: 100 });
    const first = await fetch(`${rig.url}/events/${id}`);
    expect(first.status).toBe(200);
    const second = await fetch(`${rig.url}/events/${id}`);
    expect([second.status, await second.json()]).toEqual([
      429,
      { detail: expect.stringContaining('At most 1') },
    ]);
    const socket = await openSocket(rig.url);
    expect(codesOf(await socket.run(watch(id)))).toEqual(['TOO_MANY_SUBSCRIPTIONS']);
    expect(await first.text()).toMatch(COME_BACK);
    await expect.poll(async () => (await fetch(`${rig.url}/status/${id}`)).status).toBe(200);
    const again = await fetch(`${rig.url}/events/${id}`);
    expect(again.status).toBe(200);
    await again.body?.cancel();
    socket.socket.close();
  });

  it.each(['text/event-stream', '*/*', 'text/*', 'Text/Event-Stream'])(
    'ends after its lifetime, requested with Accept: %s',
    async accept => {
      rig = await startRig({ SOCKET_LIFETIME: '300ms', SANDBOX_STEP: '200ms' });
      const id = await submit(rig, { steps: 100 });
      const answer = await fetch(`${rig.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept },
        body: JSON.stringify(watch(id)),
      });
      expect(answer.headers.get('content-type')).toContain('text/event-stream');
      expect(await answer.text()).toMatch(COME_BACK);
    },
  );

  it('and a waiting poll are ended when the gateway stops', async () => {
    rig = await startRig({ SANDBOX_STEP: '200ms' });
    const id = await submit(rig, { steps: 100 });
    const first = await stream(id);
    const events = await fetch(`${rig.url}/events/${id}`);
    const all = await fetch(`${rig.url}/events`);
    const poll = fetch(`${rig.url}/status/${id}?wait=30&revision=1000000`);
    // When this is answered, the poll sent before it waits.
    await fetch(`${rig.url}/status/${id}`);
    const stopped = performance.now();
    const { close } = rig;
    rig = { ...rig, close: async () => undefined };
    await close();
    // Less than the time for requests in flight.
    expect(performance.now() - stopped).toBeLessThan(2_500);
    expect(await events.text()).toMatch(COME_BACK);
    expect(await all.text()).toMatch(COME_BACK);
    expect((await poll).status).toBe(200);
    first.leave();
  });

  it('and a waiting poll share the quota', async () => {
    rig = await startRig({ SUBSCRIPTIONS_PER_CALLER: '2', SANDBOX_STEP: '200ms' });
    const id = await submit(rig, { steps: 100 });
    const leave = new AbortController();
    const waiting = [1, 2].map(() =>
      fetch(`${rig.url}/status/${id}?wait=30&revision=1000000`, { signal: leave.signal }),
    );
    const third = async () => (await fetch(`${rig.url}/status/${id}?wait=1`)).status;
    await expect.poll(third).toBe(429);
    expect((await fetch(`${rig.url}/status/${id}`)).status).toBe(200);
    leave.abort();
    await Promise.allSettled(waiting);
    await expect.poll(third).toBe(200);
  });
});

describe('a slow or oversized request', () => {
  const port = () => Number(new URL(rig.url).port);

  it('with headers that drip in gets 408', async () => {
    rig = await startRig({ HEADERS_TIMEOUT: '300ms', REQUEST_TIMEOUT: '5s' });
    const started = performance.now();
    const sockets = Array.from({ length: 20 }, () => {
      const socket = connect(port(), '127.0.0.1');
      socket.write('GET /jobs HTTP/1.1\r\nHost: localhost\r\n');
      const drip = setInterval(() => socket.write('X-A: b\r\n'), 20);
      socket.once('close', () => clearInterval(drip));
      socket.on('error', () => socket.destroy());
      return text(socket).catch(() => 'reset');
    });
    const answers = await Promise.all(sockets);
    expect(performance.now() - started).toBeLessThan(4_000);
    for (const answer of answers) expect(answer).toMatch(/^(HTTP\/1\.1 408 |reset)/);
    expect(answers.some(answer => answer.startsWith('HTTP/1.1 408'))).toBe(true);
  });

  it('with a body that drips in gets 408, over REST and GraphQL', async () => {
    rig = await startRig({ REQUEST_TIMEOUT: '400ms', HEADERS_TIMEOUT: '300ms' });
    for (const path of ['/edit-image', '/graphql']) {
      const socket = connect(port(), '127.0.0.1');
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n`,
      );
      const drip = setInterval(() => socket.write(' '), 20);
      socket.on('error', () => socket.destroy());
      const [, answer] = await Promise.all([once(socket, 'close'), text(socket).catch(() => 'reset')]);
      clearInterval(drip);
      expect(answer).toMatch(/^(HTTP\/1\.1 408 |reset)/);
    }
  });

  it('with headers of 100 kB gets 431', async () => {
    rig = await startRig();
    const socket = connect(port(), '127.0.0.1');
    socket.on('error', () => socket.destroy());
    socket.end(`GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ${'b'.repeat(100_000)}\r\n\r\n`);
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 431 /);
  });
});

describe('a path', () => {
  it.each([
    '/download/../../etc/passwd',
    '/download/..%2f..%2fetc%2fpasswd',
    '/download/%2e%2e/%2e%2e/etc/passwd',
    '/docs/static/../../../package.json',
    '/docs/static/..%2f..%2f..%2fpackage.json',
    '/docs/static/%2e%2e/%2e%2e/package.json',
    '/docs/static//etc/passwd',
    '//jobs',
    '/jobs%00',
    '/jobs/..;/debug/files',
    '/graphql/../debug/files',
    '/DEBUG/files',
    '/debug//files',
    '/debug/files/',
    '/debug%2ffiles',
    'http://evil.example/debug/files',
  ])('%s gives no access to files or routes of operators', async path => {
    rig = await startRig({ API_KEYS });
    // By hand, since fetch would normalise the path.
    const socket = connect(port(), '127.0.0.1');
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${KEYS.alice}\r\nConnection: close\r\n\r\n`,
    );
    const answer = await text(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 (400|403|404) /);
    expect(answer).not.toMatch(/root:|"devDependencies"|output_dir/);
  });

  const port = () => Number(new URL(rig.url).port);
});
