import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { qwenEdit, qwenEditOnTerminal } from '../support/clients/cli.ts';
import { startTestEngine } from '../support/comfyui/sandbox.ts';
import { type GatewayProcess, type Rig, startGatewayProcess, startRig } from '../support/gateway.ts';
import { type ImageServer, startImageServer } from '../support/image-server.ts';
import { postGraphQL, submit } from '../support/requests.ts';
import { startRedis, withClient } from '../support/stores/redis.ts';
import { eventually, waitForEnd } from '../support/watch.ts';

let folder: string;
let pictures: ImageServer;
const closers: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  pictures = await startImageServer();
});
afterAll(() => pictures.close());
afterEach(async () => {
  await Promise.all(closers.splice(0).map(close => close()));
  await rm(folder, { recursive: true, force: true });
});

async function start(dataDir: string, settings: Record<string, string> = {}): Promise<GatewayProcess> {
  const gateway = await startGatewayProcess(dataDir, { SANDBOX_STEP: '1ms', ...settings });
  closers.push(() => gateway.end('SIGKILL'));
  return gateway;
}

/** A gateway that no test kills, in this process. */
async function startHere(dataDir: string): Promise<Rig> {
  const rig = await startRig({ DATA_DIR: dataDir, SANDBOX_STEP: '1ms' });
  closers.push(() => rig.close());
  return rig;
}

async function makeFolder(): Promise<string> {
  folder = await mkdtemp(join(tmpdir(), 'backup-'));
  return join(folder, 'data');
}

const job = z.object({ id: z.string(), status: z.string(), images: z.array(z.object({ url: z.string() })) });
const page = z.object({
  jobs: z.object({
    nodes: z.array(job),
    pageInfo: z.object({ hasNextPage: z.boolean(), endCursor: z.string().nullable() }),
  }),
});

/** Every job of a gateway. */
async function allJobs(url: string): Promise<z.infer<typeof job>[]> {
  const query = `query ($after: String) {
    jobs(first: 100, after: $after) { nodes { id status images { url } } pageInfo { hasNextPage endCursor } }
  }`;
  const found: z.infer<typeof job>[] = [];
  for (let after: string | null = null; ; ) {
    const { jobs }: z.infer<typeof page> = page.parse((await postGraphQL(url, query, { after })).data);
    found.push(...jobs.nodes);
    if (!jobs.pageInfo.hasNextPage) return found;
    after = jobs.pageInfo.endCursor;
  }
}

const report = z.object({ folder: z.string(), jobs: z.number(), files: z.number(), deleted: z.number() });

async function backUp(dataDir: string, target: string): Promise<z.infer<typeof report>> {
  const { code, out, err } = await qwenEdit(['backup', target, '--json'], { DATA_DIR: dataDir });
  if (code !== 0) throw new Error(`ended with ${code}: ${err}`);
  return report.parse(JSON.parse(out));
}

describe('qwen-edit backup', () => {
  it('of a gateway that takes, finishes and deletes jobs has every image of every job, and its queued jobs run', async () => {
    const dataDir = await makeFolder();
    const gateway = await start(dataDir);
    const target = { url: gateway.url, images: pictures };
    // Long prompts, so that the database takes several steps to copy.
    const prompt = 'a long prompt '.repeat(250);
    const known: string[] = [];
    let busy = true;
    const work = async (): Promise<void> => {
      for (let turn = 0; busy; turn += 1) {
        const id = await submit(target, { prompt, steps: 1 });
        if (turn % 2 === 0) known.push(id);
        // The others are deleted at any time: while they wait, while they run, and after their end.
        if (turn % 4 === 1) await waitForEnd(gateway.url, id);
        if (turn % 2 === 1) await fetch(`${gateway.url}/jobs/${id}`, { method: 'DELETE' });
      }
    };
    const working = [work(), work(), work()];
    await eventually(
      async () => known.length,
      count => count >= 20,
      60_000,
    );
    const before = known.slice(0, 20);
    const copies: string[] = [];
    for (const name of ['one', 'two', 'three']) {
      copies.push((await backUp(dataDir, join(folder, name))).folder);
    }
    busy = false;
    await Promise.all(working);
    // No snapshot stays behind.
    expect((await readdir(dataDir)).filter(name => name.startsWith('snapshot-'))).toEqual([]);
    await gateway.end('SIGKILL');

    let unfinished = 0;
    for (const copy of copies) {
      const restored = await startHere(copy);
      const jobs = await allJobs(restored.url);
      expect(jobs.map(({ id }) => id)).toEqual(expect.arrayContaining(before));
      unfinished += jobs.filter(({ status }) => status === 'QUEUED' || status === 'PROCESSING').length;
      for (const { id } of jobs) {
        const { status } = await waitForEnd(restored.url, id);
        // A job that is deleted while it runs is canceled before it is gone.
        if (known.includes(id) || status !== 'CANCELED') expect(status).toBe('COMPLETED');
      }
      for (const { status, images } of await allJobs(restored.url)) {
        expect(images).toHaveLength(status === 'COMPLETED' ? 1 : 0);
        for (const { url } of images) {
          const answer = await fetch(url);
          expect([answer.status, (await answer.arrayBuffer()).byteLength > 0]).toEqual([200, true]);
        }
      }
    }
    // Otherwise the test proved nothing of queued jobs.
    expect(unfinished).toBeGreaterThan(0);
  }, 180_000);

  it('copies a store that no gateway uses, with its uploads and masks', async () => {
    const dataDir = await makeFolder();
    const gateway = await start(dataDir);
    const form = new FormData();
    form.set('image', new Blob([await (await fetch(`${pictures.url}/red.png`)).bytes()]), 'red.png');
    const answer = await fetch(`${gateway.url}/upload`, { method: 'POST', body: form });
    const { upload_id: upload } = z.object({ upload_id: z.string() }).parse(await answer.json());
    const mask_url = `upload:${upload}`;
    const masked = await submit({ url: gateway.url, images: pictures }, { mask_url });
    await waitForEnd(gateway.url, masked);
    await gateway.end('SIGKILL');
    const target = join(folder, 'copy');
    const { code, out } = await qwenEdit(['backup', target], { DATA_DIR: dataDir });
    expect([code, out]).toEqual([
      0,
      // The upload and the output, with their records; the small input and its mask are in the database.
      expect.stringMatching(/^Saved 1 jobs and 4 files \([\d.]+ [KM]iB\) in \/.*copy\n$/),
    ]);
    const restored = await startHere(target);
    expect((await fetch(`${restored.url}/input/${masked}?slot=mask`)).status).toBe(200);
    const id = await submit({ url: restored.url, images: pictures }, { image1_url: `upload:${upload}` });
    expect((await waitForEnd(restored.url, id)).status).toBe('COMPLETED');
  }, 60_000);

  it('shows a bar on a terminal, and the same result', async () => {
    const dataDir = await makeFolder();
    await startHere(dataDir);
    const words = ['backup', join(folder, 'copy'), '--data-dir', dataDir];
    const { code, screen } = await qwenEditOnTerminal(words, {}, { cwd: folder });
    expect(code).toBe(0);
    expect(screen).toMatch(/░|█/);
    // At the end the cursor and wrapping are back, and the line of the bar is the report's.
    expect(screen).toContain('\x1b[?25h\x1b[?7h\r\x1b[KSaved 0 jobs and 0 files (0 bytes) in ');
  }, 60_000);

  it('reports what it cannot do, and leaves nothing behind', async () => {
    const dataDir = await makeFolder();
    await mkdir(dataDir);
    const full = join(folder, 'full');
    await mkdir(full);
    await writeFile(join(full, 'something'), '');
    const run = async (target: string, settings: Record<string, string> = { DATA_DIR: dataDir }) => {
      const { code, err } = await qwenEdit(['backup', target], settings);
      return [code, err.trim()];
    };
    const target = join(folder, 'copy');
    const noStore = `No backup: ${dataDir} has no jobs.sqlite: it is not the data folder of an embedded store`;
    expect(await run(target)).toEqual([1, noStore]);
    const redis = await run(target, { REDIS_URL: 'redis://localhost' });
    expect(redis).toEqual([
      1,
      expect.stringMatching(/^REDIS_URL is set: .* append-only files.*docs\/deploy\.md/),
    ]);

    await startHere(dataDir);
    expect(await run(full)).toEqual([1, `No backup: ${full} is not an empty folder`]);
    expect(await run(join(full, 'something'))).toEqual([
      1,
      `No backup: ${full}/something is not an empty folder`,
    ]);
    expect(await run(join(full, 'something', 'copy'))).toEqual([1, expect.stringContaining('No backup: ')]);
    expect(await readdir(folder)).toEqual(['data', 'full']);
    // Without its socket a gateway cannot be told apart from any other process that holds the file.
    await rm(join(dataDir, 'backup.sock'));
    expect(await run(target)).toEqual([1, expect.stringContaining('is in use by another gateway')]);
  }, 90_000);
});

describe('a copy of the append-only file and the artifacts', () => {
  it('restores a store in Redis: finished jobs have their images, a waiting one runs', async () => {
    const dataDir = await makeFolder();
    const redis = await startRedis({ aof: true });
    onTestFinished(() => redis.stop());
    const engine = await startTestEngine();
    onTestFinished(() => engine.stop());
    const settings = { COMFYUI_URL: engine.url, LEASE: '1s' };
    const gateway = await start(dataDir, { ...settings, REDIS_URL: redis.url });
    const target = { url: gateway.url, images: pictures };
    const finished = await submit(target);
    await waitForEnd(gateway.url, finished);
    await engine.fault({ hang: true });
    const waiting = await submit(target);
    // While the gateway runs, as docs/deploy.md says: first the file, then the artifacts.
    const copied = join(folder, 'redis');
    await withClient(redis.url, async client => {
      const [, from = ''] = z.tuple([z.string(), z.string()]).parse(await client.config('GET', 'dir'));
      await client.config('SET', 'auto-aof-rewrite-percentage', '0');
      await cp(join(from, 'appendonlydir'), join(copied, 'appendonlydir'), { recursive: true });
    });
    await cp(join(dataDir, 'artifacts'), join(folder, 'copy/artifacts'), { recursive: true });
    await gateway.end('SIGKILL');
    await engine.fault({ hang: false });

    const restored = await startRedis({ aof: true, extra: ['--dir', copied] });
    onTestFinished(() => restored.stop());
    const next = await start(join(folder, 'copy'), { ...settings, REDIS_URL: restored.url });
    expect((await waitForEnd(next.url, waiting)).status).toBe('COMPLETED');
    const answer = await fetch(`${next.url}/download/${finished}`);
    expect(answer.headers.get('content-type')).toBe('image/png');
    expect((await answer.bytes()).length).toBeGreaterThan(0);
  });
});

describe('the socket of backups', () => {
  it('is for the user of the gateway, and its snapshot goes with the connection', async () => {
    const dataDir = await makeFolder();
    const gateway = await start(dataDir);
    const path = join(dataDir, 'backup.sock');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const socket = connect(path);
    const snapshots = async () => (await readdir(dataDir)).filter(name => name.startsWith('snapshot-'));
    const lines = await new Promise<string>(resolve => {
      let text = '';
      socket.on('data', chunk => {
        text += String(chunk);
        if (text.includes('"file"')) resolve(text);
      });
    });
    const { file } = z.object({ file: z.string() }).parse(JSON.parse(lines.trim().split('\n').at(-1) ?? ''));
    expect(await snapshots()).toEqual([file]);
    expect((await readFile(join(dataDir, file))).subarray(0, 15).toString()).toBe('SQLite format 3');
    socket.destroy();
    await eventually(snapshots, names => names.length === 0);
    expect(await gateway.end('SIGTERM')).toBe(0);
    expect(await readdir(dataDir)).not.toContain('backup.sock');
  }, 60_000);
});
