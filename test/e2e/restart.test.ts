import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventSource } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient, type TransportName } from '../../src/client/client.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/server.ts';
import { shareChromium } from '../support/clients/shared-chromium.ts';
import { startGatewayProcess, succeedEachOther } from '../support/gateway.ts';
import { type ImageServer, startImageServer } from '../support/image-server.ts';
import { submit } from '../support/requests.ts';
import { until } from '../support/watch.ts';

const LONG = { timeout: 90_000 };

let dataDir: string;
let engine: Sandbox;
let images: ImageServer;
const { start, running, end } = succeedEachOther(overrides =>
  startGatewayProcess(dataDir, { COMFYUI_URL: engine.url, ...overrides }),
);

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'restart-'));
  // Slow enough to be running still when a gateway has restarted on a busy machine.
  engine = await startSandbox({ stepMs: 150 });
  images = await startImageServer();
});
afterAll(async () => {
  await end();
  await engine.stop();
  await images.close();
  await rm(dataDir, { recursive: true, force: true });
});

/** What a watcher has seen. */
interface Seen {
  readonly name: string;
  readonly revisions: number[];
  status: string;
  /** How often it reconnected. */
  retries: number;
}

const seenBy = (name: string): Seen => ({ name, revisions: [], status: '', retries: 0 });

async function watchWithClient(url: string, id: string, transport: TransportName, seen: Seen): Promise<void> {
  const client = createClient({ url, transports: [transport] });
  try {
    const onRetry = (): void => {
      seen.retries += 1;
    };
    for await (const { revision, status } of client.watch(id, { onRetry })) {
      seen.revisions.push(revision);
      seen.status = status.toLowerCase();
    }
  } finally {
    await client.close();
  }
}

/** Watches as a page does: EventSource reconnects by itself, until it gets 204 because the job has ended. */
function watchWithEventSource(url: string, id: string, seen: Seen): Promise<void> {
  const source = new EventSource(`${url}/events/${id}`);
  return new Promise((resolve, reject) => {
    source.addEventListener('message', ({ data, lastEventId }) => {
      seen.revisions.push(Number(lastEventId));
      seen.status = JSON.parse(data).status;
    });
    source.addEventListener('error', () => {
      const ended = seen.status === 'completed';
      if (!ended) seen.retries += 1;
      if (!ended && source.readyState !== EventSource.CLOSED) return;
      source.close();
      if (ended) resolve();
      else reject(new Error('EventSource gave up'));
    });
  });
}

const OPEN = { accept: 'text/event-stream', 'content-type': 'application/json' };

/** The whole text of a stream. Rejects if it breaks instead of ending. */
async function textOf(url: string, init: RequestInit = {}): Promise<string> {
  const response = await fetch(url, init);
  expect(response.status).toBe(200);
  return response.text();
}

describe('a gateway that is stopped and started again', () => {
  it('keeps its watchers over every transport, and no revision falls or comes twice', LONG, async () => {
    const { url } = await running();
    const id = await submit({ url, images }, { steps: 100 });
    const seen = [seenBy('sse'), seenBy('websocket'), seenBy('EventSource')] as const;
    const watches = Promise.all([
      watchWithClient(url, id, 'sse', seen[0]),
      watchWithClient(url, id, 'websocket', seen[1]),
      watchWithEventSource(url, id, seen[2]),
    ]);
    await Promise.race([watches, until(() => seen.every(({ revisions }) => revisions.length > 4))]);
    expect(await end('SIGTERM')).toBe(0);
    const before = seen.map(({ revisions }) => revisions.length);

    await start({ PORT: new URL(url).port });
    await watches;
    for (const [index, { name, revisions, status, retries }] of seen.entries()) {
      expect([name, status]).toEqual([name, 'completed']);
      expect(retries, name).toBeGreaterThan(0);
      // The newest state at once, and its changes up to the final one.
      expect(revisions.length - (before[index] ?? 0), name).toBeGreaterThan(1);
      expect(revisions, name).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    }
  });

  it(
    'ends event streams with the time to come back, and waiting polls with the current status',
    LONG,
    async () => {
      const { url } = await running();
      const id = await submit({ url, images }, { steps: 100 });
      const query = `subscription { jobProgress(jobId: "${id}") { status revision } }`;
      const events = textOf(`${url}/events/${id}`);
      const results = textOf(`${url}/graphql`, {
        method: 'POST',
        headers: OPEN,
        body: JSON.stringify({ query }),
      });
      const poll = textOf(`${url}/status/${id}?wait=50&revision=999999`);
      const progress = seenBy('sse');
      const watching = watchWithClient(url, id, 'sse', progress).catch(() => {});
      await until(() => progress.revisions.length > 4);
      const from = performance.now();
      expect(await end('SIGTERM')).toBe(0);
      expect(performance.now() - from).toBeLessThan(2_500);

      const LAST = /\n\n: .*\nretry: [12]\d{3}\n\n$/;
      expect(await events).toMatch(LAST);
      expect(await results).toMatch(LAST);
      expect(await results).not.toContain('event: complete');
      expect(JSON.parse(await poll)).toMatchObject({ status: 'processing' });
      // Nothing else keeps the watch alive: the next gateway lets it end.
      await start({ PORT: new URL(url).port });
      await fetch(`${url}/jobs/${id}`, { method: 'DELETE' });
      await watching;
    },
  );

  it('keeps a page that watches with EventSource', LONG, async () => {
    const { url } = await running();
    const browser = await shareChromium();
    try {
      const page = await browser.newPage();
      await page.goto(`${url}/docs`);
      const id = await submit({ url, images }, { steps: 100 });
      // As texts: the names in a function would be those of this module.
      await page.evaluate(`
        window.ids = [];
        new EventSource('/events/${id}').onmessage = event => window.ids.push(Number(event.lastEventId));
      `);
      const idsOf = (): Promise<number[]> => page.evaluate('window.ids');
      await until(async () => (await idsOf()).length > 4);
      expect(await end('SIGTERM')).toBe(0);
      const before = (await idsOf()).length;
      await start({ PORT: new URL(url).port });
      await until(async () => (await idsOf()).length > before + 2, 30_000);
      const ids = await idsOf();
      expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    } finally {
      await browser.close();
    }
  });
});
