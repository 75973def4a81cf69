import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/server.ts';
import { type GatewayProcess, startGatewayProcess, succeedEachOther } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import { submit } from '../support/requests.ts';
import { samplesOf } from '../support/scrape.ts';
import { until, watchOverWebSocket } from '../support/watch.ts';

let dataDir: string;
let engine: Sandbox;
let pictures: Awaited<ReturnType<typeof startImageServer>>;
const { start, running, end } = succeedEachOther(() =>
  startGatewayProcess(dataDir, { COMFYUI_URL: engine.url }),
);
/** The prompts of earlier tests. */
const earlier = new Set<string>();

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'kill-'));
  engine = await startSandbox({ stepMs: 25, control: true });
  pictures = await startImageServer();
});
afterEach(async () => {
  for (const id of Object.keys(await executions())) earlier.add(id);
});
afterAll(async () => {
  await end();
  await engine.stop();
  await pictures.close();
  await rm(dataDir, { recursive: true, force: true });
});

async function storedInputs(folder: string): Promise<string[]> {
  const files = await readdir(join(folder, 'artifacts'), { recursive: true }).catch(() => []);
  return files.filter(file => /^inputs\/.*\.png$/.test(file));
}

async function executions(): Promise<Record<string, number>> {
  return (await (await fetch(`${engine.url}/sandbox/stats`)).json()).executed;
}

/** How often the engine executed each prompt of this test. */
async function executed(): Promise<number[]> {
  const counts = Object.entries(await executions());
  return counts.filter(([id]) => !earlier.has(id)).map(([, times]) => times);
}

describe('a gateway that is killed', () => {
  it('loses no job: the running one is resumed, the others run, each executed once', async () => {
    const first = await running();
    const ids = await Promise.all(
      ['a', 'b', 'c', 'd'].map(prompt =>
        submit({ url: first.url, images: pictures }, { prompt, steps: 20, megapixels: 0.25 }),
      ),
    );
    const shown = new Map<string, number>();
    // In the middle of the sampling of whichever runs first.
    await Promise.any(
      ids.map(id =>
        watchOverWebSocket(first.url, id, ({ step, progress }) => {
          shown.set(id, progress);
          if ((step ?? 0) >= 4) throw new Error('far enough');
        }).then(
          () => Promise.reject(new Error('it ended too soon')),
          () => undefined,
        ),
      ),
    );
    await end();

    const second = await start();
    for (const id of ids) {
      const snapshots = await watchOverWebSocket(second.url, id);
      expect(snapshots[0]?.progress).toBeGreaterThanOrEqual(shown.get(id) ?? 0);
      expect(snapshots.at(-1)).toMatchObject({ status: 'COMPLETED', progress: 100, attempt: 1 });
      const picture = await fetch(`${second.url}/download/${id}`);
      expect(picture.status).toBe(200);
      await picture.arrayBuffer();
    }
    expect(await executed()).toEqual([1, 1, 1, 1]);
  });

  it('finds a run that ended while no gateway ran', async () => {
    const first = await running();
    const id = await submit(
      { url: first.url, images: pictures },
      { prompt: 'a', steps: 20, megapixels: 0.25 },
    );
    await watchOverWebSocket(first.url, id, ({ step }) => {
      if ((step ?? 0) >= 2) throw new Error('far enough');
    }).catch(() => undefined);
    await end();
    await expect
      .poll(async () => (await (await fetch(`${engine.url}/queue`)).json()).queue_running)
      .toEqual([]);
    const second = await start();
    expect((await watchOverWebSocket(second.url, id)).at(-1)).toMatchObject({
      status: 'COMPLETED',
      attempt: 1,
    });
    expect(await executed()).toEqual([1]);
    const engineLabel = `engine="${new URL(engine.url).host}"`;
    expect(await samplesOf(second, 'qwen_edit_runs_resumed_total')).toEqual({ [`{${engineLabel}}`]: 1 });
    expect(await samplesOf(second, 'qwen_edit_reconciliations_total')).toEqual({
      [`{${engineLabel},found="end"}`]: 1,
    });
  });

  it('stops on SIGTERM with exit code 0, and leaves its jobs to the next start', async () => {
    const first = await running();
    const id = await submit(
      { url: first.url, images: pictures },
      { prompt: 'a', steps: 20, megapixels: 0.25 },
    );
    expect(await end('SIGTERM')).toBe(0);
    const second = await start();
    expect((await watchOverWebSocket(second.url, id)).at(-1)).toMatchObject({ status: 'COMPLETED' });
    expect(await executed()).toEqual([1]);
  });

  it.each(['once its image is stored', 'once it was answered', 'while it is sent'])(
    'has all jobs of a batch or none, killed %s',
    async moment => {
      const first = await running();
      const imagesBefore = (await storedInputs(dataDir)).length;
      const edit = {
        image1_url: `${pictures.url}/noise.png`,
        prompt: 'x',
        label: moment,
        steps: 1,
        megapixels: 0.1,
      };
      const body = JSON.stringify({ edits: [{ ...edit, variations: 400 }] });
      const headers = { 'content-type': 'application/json', 'idempotency-key': moment };
      const send = (to: GatewayProcess) => fetch(`${to.url}/edit-images`, { method: 'POST', headers, body });
      const answer = send(first).then(
        response => response.status,
        () => null,
      );
      if (moment === 'once it was answered') expect(await answer).toBe(200);
      if (moment === 'once its image is stored') {
        await until(async () => (await storedInputs(dataDir)).length > imagesBefore);
      }
      await end();
      const answered = await answer;

      const second = await start();
      const counted = async (): Promise<number> => {
        const { jobs } = await (await fetch(`${second.url}/jobs?label=${encodeURIComponent(moment)}`)).json();
        return Object.keys(jobs).length;
      };
      const left = await counted();
      expect([0, 400]).toContain(left);
      if (answered === 200) expect(left).toBe(400);
      // The key is stored with the jobs, so a repeat completes what was not done, and adds nothing to what was.
      const repeated = await send(second);
      expect([repeated.status, await counted()]).toEqual([200, 400]);
      const { batch_id: id } = await repeated.json();
      await fetch(`${second.url}/batches/${id}/cancel`, { method: 'POST' });
    },
  );

  it('has every job that it answered, with its images, however they are stored', async () => {
    const first = await running();
    // A row of the job file, and a file.
    const names = ['red.png', 'noise.png'];
    const [image1, image2] = names.map(name => `${pictures.url}/${name}`);
    const answered: string[] = [];
    const submits = Array.from({ length: 40 }, async () => {
      const fields = { image1_url: image1, image2_url: image2 };
      answered.push(await submit({ url: first.url, images: pictures }, fields));
      // In the middle of the others: some are answered, some not.
      if (answered.length === 10) first.child.kill('SIGKILL');
    });
    await Promise.allSettled(submits);
    await end();
    expect(answered.length).toBeGreaterThanOrEqual(10);
    expect(answered.length).toBeLessThan(40);

    const second = await start();
    for (const id of answered) {
      for (const [index, name] of names.entries()) {
        const input = await fetch(`${second.url}/input/${id}?slot=${index + 1}`);
        const original = await fetch(`${pictures.url}/${name}`);
        expect(Buffer.from(await input.arrayBuffer())).toEqual(Buffer.from(await original.arrayBuffer()));
      }
    }
    const [earliest = ''] = answered;
    expect((await watchOverWebSocket(second.url, earliest)).at(-1)).toMatchObject({ status: 'COMPLETED' });
  }, 60_000);
});

describe('a gateway that cannot start', () => {
  it('reports all invalid settings at once, and exits with 78', async () => {
    const start = startGatewayProcess(dataDir, {
      PORT: 'x',
      HOST: '0.0.0.0',
      COMFYUI_URL: 'ftp://a',
      JOB_TTL: '1y',
    });
    await expect(start).rejects.toThrow(/ended with 78: PORT:.*\nCOMFYUI_URL:.*\nJOB_TTL:/);
  });

  it('rejects an open address without keys, and the sandbox in production', async () => {
    await expect(startGatewayProcess(dataDir, { HOST: '0.0.0.0' })).rejects.toThrow(
      /HOST: is not a loopback address/,
    );
    await expect(startGatewayProcess(dataDir, { NODE_ENV: 'production' })).rejects.toThrow(/COMFYUI_URL/);
  });
});
