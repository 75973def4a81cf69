import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { TABLES_VERSION } from '../../src/adapters/embedded/tables.ts';
import { qwenEdit } from '../support/clients/cli.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { startGatewayProcess, startRig } from '../support/gateway.ts';
import { type RecordedLog, recordLog } from '../support/log.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { fetchJson, postEdit, submit } from '../support/requests.ts';
import { restoreEmbedded, restoreRedis } from '../support/stores/earlier.ts';
import { startRedis, type TestRedis, withClient } from '../support/stores/redis.ts';
import { waitForEnd } from '../support/watch.ts';

const MOVED = 'to a newer version';
const VERSION_KEY = '{qwen-edit}:version';

let redis: TestRedis;
let engine: TestEngine;
let dataDir: string;
let receiver: Receiver;
beforeAll(async () => {
  redis = await startRedis();
  engine = await startTestEngine();
});
afterAll(async () => {
  await engine.stop();
  await redis.stop();
});
beforeEach(async () => {
  await withClient(redis.url, client => client.flushall());
  dataDir = await mkdtemp(join(tmpdir(), 'earlier-'));
  receiver = await startReceiver();
});
afterEach(async () => {
  await receiver.close();
  await rm(dataDir, { recursive: true, force: true });
});

/** What a gateway prints that does not start. */
async function failure(overrides: Record<string, string> = {}): Promise<string> {
  return startGatewayProcess(dataDir, overrides).then(
    gateway => gateway.end('SIGKILL').then(() => 'it started'),
    error => String(error),
  );
}

/** The ids of the jobs that a query of `GET /jobs` lists. */
async function idsOf(url: string, query = ''): Promise<string[]> {
  const { body } = await fetchJson(`${url}/jobs${query}`);
  return Object.keys(z.object({ jobs: z.record(z.string(), z.unknown()) }).parse(body).jobs).toSorted();
}

function versionIn(folder: string): unknown {
  const db = new DatabaseSync(join(folder, 'jobs.sqlite'));
  try {
    return db.prepare('PRAGMA user_version').get()?.user_version;
  } finally {
    db.close();
  }
}

function setVersion(version: number, gateway: string | null): void {
  const db = new DatabaseSync(join(dataDir, 'jobs.sqlite'));
  db.exec(`PRAGMA user_version = ${version}`);
  if (gateway !== null)
    db.prepare('INSERT INTO versions (version, gateway) VALUES (?, ?)').run(version, gateway);
  db.close();
}

/** Expects the lines of a move: its start, a line for each version, its end with the time, and only then that the gateway listens. */
function expectMove({ lines }: RecordedLog, from: number, jobs: number): void {
  const about = lines.filter(({ message }) => /job file|listening/.test(message));
  const versions = Array.from({ length: TABLES_VERSION - from }, (_, n) => from + 1 + n);
  const seconds = expect.any(Number);
  expect(about.map(({ level, message, fields }) => ({ level, message, ...fields }))).toEqual([
    {
      ...{ level: 'info', from, to: TABLES_VERSION, jobs },
      message: 'moving the job file to a newer version before the gateway listens',
    },
    ...versions.map(version => ({
      ...{ level: 'info', version, seconds },
      message: 'moved the job file one version forward',
    })),
    { level: 'info', seconds, message: 'moved the job file to a newer version' },
    expect.objectContaining({ message: 'listening' }),
  ]);
}

describe.each(['embedded', 'redis'] as const)('a store of the first version: %s', kind => {
  it('is moved forward with all its jobs, which go on', async () => {
    const where = { dataDir, engineUrl: engine.url, webhookUrl: receiver.url };
    const jobs = kind === 'embedded' ? await restoreEmbedded(where) : await restoreRedis(redis.url, where);
    const overrides = {
      DATA_DIR: dataDir,
      COMFYUI_URL: engine.url,
      ...(kind === 'redis' ? { REDIS_URL: redis.url } : {}),
      WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    };
    const log = recordLog();
    const rig = await startRig(overrides, log);
    try {
      expect(log.has('info', MOVED)).toBe(true);
      if (kind === 'embedded') expectMove(log, 2, Object.keys(jobs).length);
      expect(await idsOf(rig.url)).toEqual(Object.values(jobs).toSorted());

      const image = await fetch(`${rig.url}/download/${jobs.completed}`);
      expect(image.headers.get('content-type')).toBe('image/png');
      expect((await fetchJson(`${rig.url}/status/${jobs.failed}`)).body).toMatchObject({
        status: 'error',
        error_code: 'EXECUTION_FAILED',
      });
      expect((await fetchJson(`${rig.url}/status/${jobs.canceled}`)).body.error_code).toBe('CANCELED');
      // Its engine no longer has it, so it runs again.
      expect(await waitForEnd(rig.url, jobs.running)).toMatchObject({ status: 'COMPLETED' });
      expect(await waitForEnd(rig.url, jobs.queued)).toMatchObject({ status: 'COMPLETED', attempt: 1 });

      const sent = (await receiver.heard(2)).map(({ body }) => JSON.parse(body).data.job_id);
      expect(sent.toSorted()).toEqual([jobs.failed, jobs.queued].toSorted());
      const repeated = await postEdit(rig, { prompt: 'another' }, { 'idempotency-key': 'once' });
      expect(repeated.status).toBe(409);

      const labelled = await submit(rig, { label: 'new' });
      expect(await idsOf(rig.url, '?label=new')).toEqual([labelled]);
      for (const id of [...Object.values(jobs), labelled]) {
        await waitForEnd(rig.url, id);
        expect((await fetch(`${rig.url}/jobs/${id}`, { method: 'DELETE' })).status).toBe(200);
      }
      expect(await idsOf(rig.url)).toEqual([]);
    } finally {
      await rig.close();
    }
    const again = recordLog();
    await (await startRig(overrides, again)).close();
    expect(again.has('info', MOVED)).toBe(false);
  });
});

it('a backup leaves an earlier store, and its copy, at their version', async () => {
  await restoreEmbedded({ dataDir, engineUrl: engine.url, webhookUrl: receiver.url });
  const target = join(dataDir, 'backup');
  const { code, err } = await qwenEdit(['backup', target], { DATA_DIR: dataDir });
  expect([code, err]).toEqual([0, expect.any(String)]);
  expect(versionIn(dataDir)).toBe(2);
  expect(versionIn(target)).toBe(2);
});

describe('a store of a later version', () => {
  const LATER =
    /has version 99 of gateway 9\.1\.0, and this gateway, \d+\.\d+\.\d+, takes \d+ at most; start 9\.1\.0 or later, or/;

  it('in SQLite is rejected with both versions and what to do, and is not changed', async () => {
    await (await startRig({ DATA_DIR: dataDir })).close();
    setVersion(99, '9.1.0');
    const output = await failure();
    expect(output).toContain('the gateway ended with 78');
    expect(output).toMatch(/DATA_DIR: .*jobs\.sqlite has version 99/);
    expect(output).toMatch(LATER);
    expect(output).not.toMatch(/^\s+at /m);
  });

  it('in SQLite is rejected without the name of its gateway where that is stored in another way', async () => {
    await restoreEmbedded({ dataDir, engineUrl: engine.url, webhookUrl: receiver.url });
    setVersion(99, null);
    expect(await failure()).toMatch(
      /DATA_DIR: .* has version 99, and this gateway.*; start a later gateway, or restore/,
    );
  });

  it('in Redis is rejected in the same way', async () => {
    await withClient(redis.url, client =>
      client.hset(VERSION_KEY, { version: 99, reader: 98, gateway: '9.1.0' }),
    );
    const output = await failure({ REDIS_URL: redis.url });
    expect(output).toContain('the gateway ended with 78');
    expect(output).toMatch(/REDIS_URL: the store has version 99/);
    expect(output).toMatch(LATER);
    expect(output).not.toMatch(/^\s+at /m);
    await withClient(redis.url, async client => {
      expect(await client.keys('*')).toEqual([VERSION_KEY]);
    });
  });

  it('in Redis is used by the version before, and keeps its version', async () => {
    const later = { version: '99', reader: '2', gateway: '9.1.0' };
    await withClient(redis.url, client => client.hset(VERSION_KEY, later));
    const log = recordLog();
    const rig = await startRig({ DATA_DIR: dataDir, REDIS_URL: redis.url }, log);
    await waitForEnd(rig.url, await submit(rig));
    await rig.close();
    await withClient(redis.url, async client => expect(await client.hgetall(VERSION_KEY)).toEqual(later));
    expect(log.has('info', MOVED)).toBe(false);
  });
});
