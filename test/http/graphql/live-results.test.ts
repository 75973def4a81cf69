import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FormattedExecutionResult } from 'graphql';
import { createClient } from 'graphql-ws';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { openStore } from '../../../src/adapters/store.ts';
import { readConfig } from '../../../src/config.ts';
import { type Gateway, startGateway } from '../../../src/gateway.ts';
import { testEnvironment } from '../../support/gateway.ts';
import { startImageServer } from '../../support/image-server.ts';
import { recordLog } from '../../support/log.ts';
import { submit } from '../../support/requests.ts';
import { type Snapshot, watchOverSse, watchOverWebSocket } from '../../support/watch.ts';

const STEPS = 40;
const SECRET = 'SQLITE_IOERR /var/lib/secret';

const log = recordLog();
const { lines } = log;
/** The store fails to tell a job's place in the queue. */
let failing = false;
let gateway: Gateway;
let folder: string;
let pictures: Awaited<ReturnType<typeof startImageServer>>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'live-'));
  pictures = await startImageServer();
  const config = readConfig(testEnvironment(folder, { SANDBOX_STEP: '15ms' }));
  if (!config.ok) throw new Error(config.faults.join('; '));
  gateway = await startGateway(config.config, log, async options => {
    const store = await openStore(options);
    const { place } = store.ledger;
    return {
      ...store,
      ledger: {
        ...store.ledger,
        place: job => (failing ? Promise.reject(new Error(SECRET)) : place(job)),
      },
    };
  });
});
afterAll(async () => {
  await gateway.stop();
  await pictures.close();
  await rm(folder, { recursive: true });
});

describe('results of a subscription over a socket', () => {
  it('equal those of server-sent events, executed or compiled', async () => {
    // The document is compiled while the first of them is watched.
    for (const _ of ['first', 'second']) {
      const id = await submit({ url: gateway.url, images: pictures }, { steps: STEPS });
      const [overSocket, overSse] = await Promise.all([
        watchOverWebSocket(gateway.url, id),
        watchOverSse(gateway.url, id),
      ]);
      const others = new Map<number, Snapshot>(overSse.map(snapshot => [snapshot.revision, snapshot]));
      const same = overSocket.filter(({ revision }) => others.has(revision));
      // Whoever reads slowly misses some.
      expect(same.length).toBeGreaterThan(STEPS / 2);
      for (const snapshot of same) expect(snapshot).toEqual(others.get(snapshot.revision));
      expect(overSocket.at(-1)).toMatchObject({ status: 'COMPLETED', images: [{ mimeType: 'image/png' }] });
    }
  });

  it('mask an internal error in the middle of a compiled subscription', async () => {
    const client = createClient({
      url: `${gateway.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
    });
    type Watched = { watched: { step: number | null; queuePosition: number | null } };
    const watched: Pick<FormattedExecutionResult<Watched>, 'data' | 'errors'>[] = [];
    try {
      const query =
        'subscription ($jobId: ID!) { watched: jobProgress(jobId: $jobId) { step queuePosition } }';
      for await (const result of client.iterate<Watched>({
        query,
        variables: { jobId: await submit({ url: gateway.url, images: pictures }, { steps: STEPS }) },
      })) {
        const { data = null, errors = [] } = result;
        watched.push({ data, errors });
        failing = watched.length > 35;
      }
    } finally {
      failing = false;
      await client.dispose();
    }
    const faulty = watched.filter(({ errors = [] }) => errors.length > 0);
    expect(watched.length - faulty.length).toBeGreaterThan(34);
    expect(faulty.length).toBeGreaterThan(0);
    for (const { data, errors } of faulty) {
      expect(data).toMatchObject({ watched: { queuePosition: null } });
      expect(errors).toMatchObject([
        { path: ['watched', 'queuePosition'], extensions: { code: 'INTERNAL_SERVER_ERROR' } },
      ]);
      expect(JSON.stringify(errors)).not.toContain(SECRET);
    }
    const told = lines.filter(({ message }) => message === 'an operation failed');
    expect(told).toHaveLength(faulty.length);
    expect(told.map(({ fields }) => fields)).toContainEqual(
      expect.objectContaining({ err: expect.objectContaining({ message: SECRET }) }),
    );
  });
});
