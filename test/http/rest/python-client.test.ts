import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needRequests, runPython, startDocumentedAddresses } from '../../support/clients/python.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { type ImageServer, startImageServer } from '../../support/image-server.ts';
import { fetchJson, postJson } from '../../support/requests.ts';
import { waitForEnd, waitUntil } from '../../support/watch.ts';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/rest/${name}`, import.meta.url));

const INSTALL_MS = 180_000;

describe('the documented Python client', () => {
  let gateway: Rig;
  let pictures: ImageServer;
  let folder: string;
  beforeAll(async () => {
    [gateway, pictures, folder] = await Promise.all([
      startRig({ SANDBOX_STEP: '5ms' }),
      startImageServer(),
      mkdtemp(join(tmpdir(), 'rest-python-')),
      needRequests(),
    ]);
  }, INSTALL_MS);
  afterAll(async () => {
    await Promise.all([gateway.close(), pictures.close(), rm(folder, { recursive: true })]);
  });

  it('runs unchanged with its example', async () => {
    const standIn = await startDocumentedAddresses(gateway.url, pictures.url);
    try {
      await runPython([fixture('client.py')], { cwd: folder, proxy: standIn.url });
      const [id] = Object.keys((await fetchJson(`${gateway.url}/jobs`)).body.jobs ?? {});
      expect(standIn.seen).toEqual([
        'POST http://localhost:8189/edit-image',
        `GET http://localhost:8189/status/${id}`,
        `GET http://localhost:8189/download/${id}`,
      ]);
      const saved = await readFile(join(folder, 'edited_image.png'));
      expect((await sharp(saved).metadata()).format).toBe('png');
      expect((await fetchJson(`${gateway.url}/debug/job/${id}`)).body.request).toMatchObject({
        prompt: 'Add a sunset background',
        steps: 30,
      });
    } finally {
      await standIn.close();
    }
  });

  it('understands every response', async () => {
    const image = `${pictures.url}/a.jpg`;
    const submit = async (steps: number): Promise<string> => {
      const { body } = await postJson(`${gateway.url}/edit-image`, { image1_url: image, prompt: 'x', steps });
      return String(body.job_id);
    };
    const completed = await submit(1);
    const canceled = await submit(100);
    await waitForEnd(gateway.url, completed);
    await waitUntil(gateway.url, canceled, ({ status }) => status === 'PROCESSING');
    await postJson(`${gateway.url}/graphql`, {
      query: `mutation { cancelJob(id: "${canceled}") { __typename } }`,
    });

    const printed = await runPython([fixture('use_client.py'), gateway.url, image, completed, canceled], {
      cwd: folder,
    });
    const seen = JSON.parse(printed);
    expect(seen).toEqual({
      submitted: { job_id: expect.any(String), status: 'queued', message: 'Image editing started' },
      prompt_missing: [400, { detail: 'Both image1_url and prompt are required' }],
      out_of_range: [400, { detail: 'steps takes an integer from 1 to 100, got 0' }],
      unreachable: [500, { detail: 'Failed to download file from URL: the server answered 404' }],
      unknown: [404, { detail: 'Job not found' }],
      canceled: 'Job failed: Job was canceled',
      too_early: [400, { detail: 'Image not ready. Current status: error' }],
      completed: {
        status: 'completed',
        progress: 100,
        prompt_id: expect.any(String),
        image_ready: true,
        download_url: `/download/${completed}`,
        image_path: `/workspace/ComfyUI/output/QwenEdit/api_${completed}_00001_.png`,
      },
      downloaded: null,
    });
    expect((await fetchJson(`${gateway.url}/debug/job/${seen.submitted.job_id}`)).body.request).toMatchObject(
      {
        seed: '18446744073709551615',
        cfg: 3.5,
      },
    );
    expect(await readdir(folder)).toEqual(['edited_image.png']);
    const download = await fetch(`${gateway.url}/download/${completed}`);
    expect(await readFile(join(folder, 'edited_image.png'))).toEqual(
      Buffer.from(await download.arrayBuffer()),
    );
  });
});
