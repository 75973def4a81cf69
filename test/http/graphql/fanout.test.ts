import { once } from 'node:events';
import { createServer } from 'node:http';
import { type ExecutionResult, GraphQLError } from 'graphql';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { createMailbox } from '../../../src/concurrency/mailbox.ts';
import { headOf, SocketOperation } from '../../../src/http/graphql/fanout.ts';
import { Session } from '../../../src/http/graphql/socket-session.ts';
import type { Observation } from '../../../src/operations/hooks.ts';
import { type EventSource, sharedResult } from '../../../src/operations/live.ts';
import { createSubscriptionQuota, type SubscriptionQuota } from '../../../src/operations/quota.ts';
import { CountedSubscriber } from '../../../src/operations/seat.ts';
import {
  createSharedSubscriptions,
  type SharedSubscriptions,
} from '../../../src/operations/subscriptions.ts';

/** Both ends of a socket with a subscription. */
interface Watcher {
  readonly session: Session;
  readonly server: WebSocket;
  readonly client: WebSocket;
  /** Messages that the client received, oldest first. */
  readonly texts: string[];
  readonly left: () => boolean;
}

const http = createServer();
const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
const watchers: Watcher[] = [];
let shared: SharedSubscriptions;
let quota: SubscriptionQuota;
let source = createMailbox<ExecutionResult>(() => {});
let events: EventSource;

beforeEach(async () => {
  shared = createSharedSubscriptions();
  quota = createSubscriptionQuota(3);
  source = createMailbox<ExecutionResult>(() => {});
  events = {
    kind: 'events',
    events: source.stream,
    resultOf: event => sharedResult({ data: Object(event).data }),
    failure: () => sharedResult({ errors: [new GraphQLError('it failed')] }),
  };
  if (!http.listening) {
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
  }
});

afterEach(() => {
  for (const { client, server } of watchers.splice(0)) {
    client.terminate();
    server.terminate();
  }
  http.close();
});

async function watch(id: string): Promise<Watcher> {
  const address = http.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  const connected = once(sockets, 'connection');
  const client = new WebSocket(`ws://127.0.0.1:${address.port}`);
  const texts: string[] = [];
  client.on('message', data => texts.push(data.toString()));
  const [server, request] = await connected;
  if (client.readyState !== client.OPEN) await once(client, 'open');
  const session = new Session(server, request.socket, null, { key: '', at: 0, group: 0 });
  server.once('close', () => session.leaveAll());
  const counted = await join(session, id);
  const watcher = { session, server, client, texts, left: () => counted.left };
  watchers.push(watcher);
  return watcher;
}

/** Watches once more over a socket. */
async function join(
  session: Session,
  id: string,
  observation: Observation | null = null,
): Promise<CountedSubscriber> {
  const operation = new SocketOperation(session, headOf(id));
  if (!quota.enter('a caller')) throw new Error('above the quota');
  const counted = new CountedSubscriber(quota, 'a caller', observation);
  counted.readBy(operation.take(counted));
  expect(await shared.join('the job', async () => events, counted)).toBeNull();
  return counted;
}

const complete = (id: string): string => JSON.stringify({ id, type: 'complete' });
const next = (id: string, data: Record<string, unknown>): string =>
  JSON.stringify({ id, type: 'next', payload: { data } });

describe('fan-out to sockets', () => {
  it.each([
    ['a length in one byte', 'a'],
    ['a length in two bytes', 'ä€😀'.repeat(100)],
    ['a length in eight bytes', 'ä€😀'.repeat(20_000)],
  ])('sends each operation’s id with the same result, in a frame with %s', async (_, text) => {
    const one = await watch('1');
    const other = await watch('"the ÄÖÜ😀"');
    source.offer({ data: { text } });
    await expect.poll(() => [one.texts.length, other.texts.length]).toEqual([1, 1]);
    expect(one.texts).toEqual([next('1', { text })]);
    expect(other.texts).toEqual([next('"the ÄÖÜ😀"', { text })]);
  });

  it('keeps one result for a socket that does not read, and sends the others every one', async () => {
    const text = 'x'.repeat(256 * 1024);
    const [stalled, ...reading] = [await watch('s'), await watch('a'), await watch('b')];
    stalled.client.pause();
    let most = 0;
    for (let n = 1; n <= 200; n += 1) {
      source.offer({ data: { n, text } });
      await expect.poll(() => reading.map(({ texts }) => texts.length), { interval: 1 }).toEqual([n, n]);
      most = Math.max(most, stalled.server.bufferedAmount);
    }
    // 50 MB were offered. The kernel's own buffers do not count.
    expect(most).toBeLessThan(2 * text.length);
    source.end();
    await expect.poll(() => reading.map(({ texts }) => texts.at(-1))).toEqual([complete('a'), complete('b')]);
    expect(reading.map(({ left }) => left())).toEqual([true, true]);
    expect(stalled.left()).toBe(false);
    stalled.client.resume();
    await expect.poll(() => stalled.texts.at(-1)).toBe(complete('s'));
    expect(stalled.left()).toBe(true);
    expect(stalled.texts.pop()).toBe(complete('s'));
    expect(stalled.texts.at(-1)).toBe(next('s', { n: 200, text }));
    expect(stalled.texts.length).toBeLessThan(100);
    const seen = stalled.texts.map(one => Number(/"n":(\d+)/.exec(one)?.[1]));
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    // Each gave its place in the quota back once.
    expect([1, 2, 3, 4].map(() => quota.enter('a caller'))).toEqual([true, true, true, false]);
  });

  it('sends the error of a source that fails, then completes', async () => {
    const { session, texts } = await watch('a');
    const ends: string[] = [];
    const counted = await join(session, 'b', { result: () => {}, end: outcome => ends.push(outcome) });
    source.offer({ data: { large: 1n } });
    await expect.poll(() => texts.length).toBe(4);
    const failed = (id: string) =>
      JSON.stringify({ id, type: 'next', payload: { errors: [{ message: 'it failed' }] } });
    expect(texts.toSorted()).toEqual([complete('a'), failed('a'), complete('b'), failed('b')]);
    expect(texts.indexOf(failed('b'))).toBeLessThan(texts.indexOf(complete('b')));
    expect([counted.left, ends[0]]).toEqual([true, 'failed']);
  });

  it('gives the seat back of a subscription that its client has completed already', async () => {
    const { session } = await watch('a');
    const operation = new SocketOperation(session, headOf('b'));
    operation.leave();
    const leave = vi.fn();
    operation.take({ leave });
    expect(leave).toHaveBeenCalledOnce();
  });

  it('sends nothing to a closing socket, and goes on for the others', async () => {
    const [closing, open] = [await watch('c'), await watch('o')];
    closing.client.pause();
    closing.server.close(1000);
    source.offer({ data: { n: 1 } });
    await expect.poll(() => open.texts).toEqual([next('o', { n: 1 })]);
    closing.client.resume();
    const [code] = await once(closing.client, 'close');
    expect([code, closing.texts]).toEqual([1000, []]);
  });

  it('writes what several operations of a socket get in one turn together, each in its order', async () => {
    const { session, client, texts } = await watch('a');
    await join(session, 'b');
    await join(session, 'c');
    const large = 'x'.repeat(100_000);
    const write = vi.spyOn(session.source, 'write');
    source.offer({ data: { n: 1 } });
    await expect.poll(() => texts.length).toBe(3);
    expect(write).toHaveBeenCalledOnce();
    source.offer({ data: { n: 2, large } });
    await expect.poll(() => texts.length).toBe(6);
    source.offer({ data: { n: 3 } });
    source.end();
    await expect.poll(() => texts.length).toBe(12);
    const ns = (id: string) =>
      texts.filter(text => text.startsWith(`{"id":"${id}"`)).map(text => /"n":(\d)|complete/.exec(text));
    for (const id of ['a', 'b', 'c'])
      expect(ns(id).map(found => found?.[1] ?? found?.[0])).toEqual(['1', '2', '3', 'complete']);
    client.terminate();
  });

  it('sends nothing of a turn in which the socket is closed', async () => {
    const { session, server, client, texts } = await watch('a');
    await join(session, 'b');
    session.write('not a frame');
    server.close(1000);
    const [code] = await once(client, 'close');
    expect([code, texts]).toEqual([1000, []]);
  });

  it('releases a socket that fails while a result waits for it', async () => {
    const text = 'x'.repeat(4 * 1024 * 1024);
    const [broken, open] = [await watch('c'), await watch('o')];
    broken.client.pause();
    for (let n = 1; n <= 8; n += 1) {
      source.offer({ data: { n, text } });
      await expect.poll(() => open.texts.length).toBe(n);
    }
    expect(broken.server.bufferedAmount).toBeGreaterThan(0);
    broken.client.terminate();
    broken.server.terminate();
    source.end();
    await expect.poll(() => [broken.left(), open.left()]).toEqual([true, true]);
    expect([1, 2, 3, 4].map(() => quota.enter('a caller'))).toEqual([true, true, true, false]);
  });
});
