import { randomBytes, scryptSync } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../src/adapters/store.ts';
import { createLog } from '../../src/log.ts';
import { type Rig, startRig } from '../support/gateway.ts';

/** Checking a key of this cost takes some tenths of a second. */
const COST = 65_536;
const LIMIT = 2;
const CLIENTS = 2 * LIMIT;
/** A key that was checked once is known: each case has its own. */
const KEYS = ['events', 'graphql', 'upload'];

let rig: Rig;
beforeAll(async () => {
  const entries = KEYS.map(key => {
    const salt = randomBytes(16);
    const digest = scryptSync(key, salt, 32, { N: COST, r: 8, p: 1, maxmem: 256 * 1024 ** 2 });
    return `${key}:scrypt$${COST}$8$1$${salt.toString('base64url')}$${digest.toString('base64url')}`;
  });
  rig = await startRig({ API_KEYS: entries.join(), SUBSCRIPTIONS_PER_CALLER: String(LIMIT) });
});
// It resolves only when nothing is left open.
afterAll(() => rig.close());

/** Sends requests, and leaves once `begun` and the server has read them. */
async function leaveEarly(
  { url }: Pick<Rig, 'url'>,
  head: string,
  body = '',
  begun: Promise<void> = Promise.resolve(),
): Promise<void> {
  const { host, hostname, port } = new URL(url);
  const sockets: Socket[] = [];
  for (let n = 0; n < CLIENTS; n += 1) {
    const socket = connect(Number(port), hostname).on('error', () => undefined);
    sockets.push(socket);
    await new Promise<void>(resolve => {
      socket.write(`${head}\r\nHost: ${host}\r\n\r\n${body}`, () => resolve());
    });
  }
  // The server has read theirs before it answers this one.
  await fetch(`${url}/livez`);
  await begun;
  for (const socket of sockets) socket.destroy();
  await fetch(`${url}/livez`);
}

/** The status of a stream, which is left at once. */
async function statusOf(key: string, path: string, init: RequestInit = {}): Promise<number> {
  const left = new AbortController();
  const headers = { 'x-api-key': key, ...init.headers };
  const { status } = await fetch(`${rig.url}${path}`, { ...init, headers, signal: left.signal });
  left.abort();
  return status;
}

const SUBSCRIPTION = JSON.stringify({ query: 'subscription { jobUpdates { __typename } }' });
const SUBSCRIBE = [
  'POST /graphql HTTP/1.1',
  'Content-Type: application/json',
  'Accept: text/event-stream',
  `Content-Length: ${SUBSCRIPTION.length}`,
].join('\r\n');
const STREAM = { 'content-type': 'application/json', accept: 'text/event-stream' };

describe('clients that leave while their key is checked', () => {
  it('of /events hold no streams', async () => {
    await leaveEarly(rig, 'GET /events HTTP/1.1\r\nX-API-Key: events');
    await expect.poll(() => statusOf('events', '/events')).toBe(200);
  });

  it('of a subscription hold none', async () => {
    await leaveEarly(rig, `${SUBSCRIBE}\r\nX-API-Key: graphql`, SUBSCRIPTION);
    const init = { method: 'POST', headers: STREAM, body: SUBSCRIPTION };
    await expect.poll(() => statusOf('graphql', '/graphql', init)).toBe(200);
    const answer = await fetch(`${rig.url}/graphql`, {
      ...init,
      headers: { ...STREAM, 'x-api-key': 'graphql' },
    });
    const { value } = (await answer.body?.pipeThrough(new TextDecoderStream()).getReader().read()) ?? {};
    expect(value).not.toContain('TOO_MANY_SUBSCRIPTIONS');
  });

  it('of /upload leave no open file', async () => {
    const head =
      'POST /upload HTTP/1.1\r\nContent-Type: image/png\r\nContent-Length: 1000\r\nX-API-Key: upload';
    await leaveEarly(rig, head, 'abc');
    // The same key was checked after theirs.
    expect(await statusOf('upload', '/me')).toBe(200);
    await expect.poll(openUploads).toEqual([]);
  });
});

describe('clients that leave while the store is asked', () => {
  it.each([
    ['/events', 'GET /events HTTP/1.1', ''],
    ['a subscription', SUBSCRIBE, SUBSCRIPTION],
  ])('of %s watch nothing', async (_name, head, body) => {
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    let isSlow = false;
    let watching = 0;
    const slow = await startRig({}, createLog('silent'), async (...options) => {
      const store = await openStore(...options);
      const { feed } = store;
      const watchAll: typeof feed.watchAll = async (...given) => {
        if (!isSlow) return feed.watchAll(...given);
        watching += 1;
        asked.resolve();
        await answer.promise;
        const stop = await feed.watchAll(...given);
        return () => {
          watching -= 1;
          stop();
        };
      };
      return { ...store, feed: { ...feed, watchAll } };
    });
    onTestFinished(slow.close);
    isSlow = true;
    await leaveEarly(slow, head, body, asked.promise);
    answer.resolve();
    await expect.poll(() => watching).toBe(0);
  });
});

function openUploads(): string[] {
  const folder = join(rig.dataDir, 'artifacts');
  return readdirSync('/proc/self/fd').flatMap(descriptor => {
    try {
      const file = readlinkSync(`/proc/self/fd/${descriptor}`);
      return file.includes(rig.dataDir) && file.includes('/uploads/') ? [file.slice(folder.length)] : [];
    } catch {
      // Closed since.
      return [];
    }
  });
}
