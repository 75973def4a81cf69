import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, it, onTestFinished } from 'vitest';
import { openEmbeddedLedger } from '../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed } from '../../src/adapters/embedded/live.ts';
import { embeddedStore } from '../../src/adapters/store.ts';
import { readConfig } from '../../src/config.ts';
import { type Gateway, startGateway } from '../../src/gateway.ts';
import { createLog } from '../../src/log.ts';
import { startSandbox } from '../../src/sandbox/server.ts';
import { testEnvironment } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import { submit } from '../support/requests.ts';
import { createDisk, type Disk } from '../support/stores/power.ts';
import { type Snapshot, watchOverWebSocket } from '../support/watch.ts';

async function start(disk: Disk, dataDir: string, engine: string): Promise<Gateway> {
  const config = readConfig(testEnvironment(dataDir, { COMFYUI_URL: engine, PREVIEW_RATE: '0' }));
  if (!config.ok) throw new Error(config.faults.join('; '));
  const feed = createEmbeddedFeed();
  return startGateway(config.config, createLog('silent'), async ({ now }) => {
    const { path, sync, syncNow } = disk;
    const ledger = openEmbeddedLedger({ path, feed, now, sync, syncNow });
    return embeddedStore(ledger, feed);
  });
}

function storedRevision(path: string): number {
  const db = new DatabaseSync(path);
  const { revision } = db.prepare('SELECT revision FROM jobs').get() ?? {};
  db.close();
  return Number(revision);
}

it('a watcher who comes back after a power cut that lost steps gets higher revisions only, and the job completes', async () => {
  const root = await mkdtemp(join(tmpdir(), 'power-cut-'));
  onTestFinished(() => rm(root, { recursive: true }));
  const engine = await startSandbox({ stepMs: 60 });
  onTestFinished(() => engine.stop());
  const pictures = await startImageServer();
  onTestFinished(() => pictures.close());
  const [before, after] = [join(root, 'before'), join(root, 'after')];
  const disk = createDisk(join(before, 'jobs.sqlite'));
  const first = await start(disk, before, engine.url);

  const id = await submit({ url: first.url, images: pictures }, { steps: 60, megapixels: 0.1 });
  const seen: Snapshot[] = [];
  let syncs = -1;
  let left: Disk | null = null;
  let revision = 0;
  await watchOverWebSocket(first.url, id, async snapshot => {
    seen.push(snapshot);
    const isAhead = disk.syncs === syncs && (snapshot.step ?? 0) > 10;
    syncs = disk.syncs;
    if (!isAhead) return;
    // As the disk is now, before the gateway flushes at its end.
    left = disk.cut(join(after, 'jobs.sqlite'));
    revision = storedRevision(disk.cut(join(root, 'look', 'jobs.sqlite')).path);
    await cp(join(before, 'artifacts'), join(after, 'artifacts'), { recursive: true });
    throw new Error('the power is cut');
  }).catch((error: Error) => expect(error.message).toBe('the power is cut'));
  await first.stop();
  if (left === null) throw new Error('no step was ahead of the disk');
  const last = seen.at(-1)?.revision ?? 0;
  expect(revision).toBeLessThan(last);

  const second = await start(left, after, engine.url);
  onTestFinished(() => second.stop());
  const later = await watchOverWebSocket(second.url, id);
  const revisions = [...seen, ...later].map(snapshot => snapshot.revision);
  expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
  expect(later.at(-1)).toMatchObject({ status: 'COMPLETED', progress: 100, attempt: 1 });
});
