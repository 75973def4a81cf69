import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../../support/gateway.ts';
import { type ImageServer, startImageServer } from '../../support/image-server.ts';
import { fetchJson, postJson } from '../../support/requests.ts';
import { inherited } from '../../support/temporary-folder.ts';
import { waitForEnd, waitUntil } from '../../support/watch.ts';

const examples = new URL('../../fixtures/rest/examples.sh', import.meta.url);
const run = promisify(execFile);

describe('the life of a job', () => {
  let gateway: Rig;
  let pictures: ImageServer;
  beforeAll(async () => {
    [gateway, pictures] = await Promise.all([startRig(), startImageServer()]);
  });
  afterAll(async () => {
    await Promise.all([gateway.close(), pictures.close()]);
  });

  it('shows the sandbox at /', async () => {
    // After the engine was probed.
    await expect
      .poll(async () => (await fetchJson(`${gateway.url}/`)).body)
      .toEqual({
        message: 'Qwen Image Edit Plus API',
        status: 'running',
        version: '2.0.0',
        features: expect.arrayContaining(['multi-image-support']),
        engine: 'sandbox',
      });
  });

  it('reports the methods of /graphql, too', async () => {
    const answer = await fetchJson(`${gateway.url}/graphql`, { method: 'DELETE' });
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toMatch(/GET.*POST/);
  });

  it('runs from submit to download to delete', async () => {
    const { body: accepted } = await postJson(`${gateway.url}/edit-image`, {
      image1_url: `${pictures.url}/one.jpg`,
      image2_url: `${pictures.url}/two.png`,
      image3_url: `${pictures.url}/three.webp`,
      prompt: 'Place image 1 beside image 2',
      steps: 4,
    });
    const id = String(accepted.job_id);
    await waitForEnd(gateway.url, id);

    const { body: status } = await fetchJson(`${gateway.url}/status/${id}`);
    expect(status).toEqual({
      status: 'completed',
      progress: 100,
      prompt_id: expect.any(String),
      image_ready: true,
      download_url: `/download/${id}`,
      image_path: `/workspace/ComfyUI/output/QwenEdit/api_${id}_00001_.png`,
    });
    expect((await fetchJson(`${gateway.url}/jobs`)).body).toEqual({
      jobs: { [id]: { status: 'completed', progress: 100 } },
    });

    const download = await fetch(`${gateway.url}${String(status.download_url)}`);
    const picture = Buffer.from(await download.arrayBuffer());
    expect((await sharp(picture).metadata()).format).toBe('png');
    expect(download.headers.get('content-disposition')).toBe(`inline; filename="edited_image_${id}.png"`);

    expect((await fetchJson(`${gateway.url}/debug/files`)).body).toEqual({
      output_dir: '/workspace/ComfyUI/output',
      files: [
        {
          path: status.image_path,
          name: `api_${id}_00001_.png`,
          location: 'QwenEdit',
          bytes: picture.length,
        },
      ],
    });
    const { body: debug } = await fetchJson(`${gateway.url}/debug/job/${id}`);
    expect(debug).toMatchObject({
      ...status,
      searched_image_path: status.image_path,
      image_exists: true,
      potential_files: [status.image_path],
    });
    expect(debug.events).toMatchObject(
      ['submitted', 'claimed', 'bound', 'started', 'completed'].map(event => ({ event })),
    );

    expect(await fetchJson(`${gateway.url}/jobs/${id}`, { method: 'DELETE' })).toMatchObject({
      status: 200,
      body: { message: 'Job deleted' },
    });
    for (const path of [
      `status/${id}`,
      `download/${id}`,
      `debug/job/${id}`,
      `preview/${id}`,
      `input/${id}`,
    ]) {
      expect(await fetchJson(`${gateway.url}/${path}`)).toMatchObject({
        status: 404,
        body: { detail: 'Job not found' },
      });
    }
    expect(await fetchJson(`${gateway.url}/jobs/${id}`, { method: 'DELETE' })).toMatchObject({ status: 404 });
    expect((await fetchJson(`${gateway.url}/jobs`)).body).toEqual({ jobs: {} });
    expect((await fetchJson(`${gateway.url}/debug/files`)).body.files).toEqual([]);
  });

  it('runs with the documented curl commands', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'rest-curl-'));
    const curl = async (line: string, id = ''): Promise<Record<string, unknown> | null> => {
      const reachable = line
        .replaceAll('http://localhost:8189', gateway.url)
        .replaceAll('https://example.com', pictures.url)
        .replaceAll('abc123-def456-ghi789', id);
      const { stdout } = await run('bash', ['-c', reachable.replace(/^curl /, 'curl -sS ')], {
        cwd: folder,
        env: { ...inherited(), NO_PROXY: '*' },
      });
      return stdout === '' ? null : JSON.parse(stdout);
    };
    try {
      const lines = (await readFile(examples, 'utf8')).split(/\n(?=curl )/);
      const [single = '', multiple = '', status = '', download = ''] = lines.map(line =>
        line.replace(/^#.*$/gm, '').trim(),
      );
      expect(lines).toHaveLength(4);

      for (const [line, images] of [
        [single, ['portrait.jpg']],
        [multiple, ['person.jpg', 'dog.jpg', 'living_room.jpg']],
      ] as const) {
        const accepted = await curl(line);
        expect(accepted).toEqual({
          job_id: expect.any(String),
          status: 'queued',
          message: 'Image editing started',
        });
        const id = String(accepted?.job_id);
        expect((await fetchJson(`${gateway.url}/debug/job/${id}`)).body.request).toMatchObject({
          images: images.map((name, index) => ({ slot: index + 1, source: `${pictures.url}/${name}` })),
        });
        await waitForEnd(gateway.url, id);
        expect(await curl(status, id)).toMatchObject({ status: 'completed', progress: 100 });
        expect(await curl(download, id)).toBeNull();
        const saved = await readFile(join(folder, 'edited_image.png'));
        expect((await sharp(saved).metadata()).format).toBe('png');
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('a job in flight', () => {
  it('shows its progress and preview, and stops when it is deleted', async () => {
    const [gateway, pictures] = await Promise.all([
      startRig({ SANDBOX_STEP: '60ms', PREVIEW_RATE: '30' }),
      startImageServer(),
    ]);
    try {
      const { body } = await postJson(`${gateway.url}/edit-image`, {
        image1_url: `${pictures.url}/a.jpg`,
        prompt: 'x',
        steps: 100,
      });
      const id = String(body.job_id);
      await waitUntil(gateway.url, id, ({ preview, step }) => preview !== null && (step ?? 0) > 1);

      const { body: status } = await fetchJson(`${gateway.url}/status/${id}`);
      expect(status).toMatchObject({
        status: 'processing',
        prompt_id: expect.any(String),
        stage: 'sampling',
        step: expect.any(Number),
        total_steps: 100,
      });
      const progress = Number(status.progress);
      expect(progress).toBeGreaterThan(0);
      expect(progress).toBeLessThan(100);
      expect(String(progress)).toMatch(/^\d+(\.\d)?$/);
      expect(await fetchJson(`${gateway.url}/download/${id}`)).toMatchObject({
        status: 400,
        body: { detail: 'Image not ready. Current status: processing' },
      });
      const preview = await fetch(`${gateway.url}/preview/${id}`);
      expect(preview.status).toBe(200);
      const { format } = await sharp(Buffer.from(await preview.arrayBuffer())).metadata();
      expect(preview.headers.get('content-type')).toBe(`image/${format}`);

      expect(await fetchJson(`${gateway.url}/jobs/${id}`, { method: 'DELETE' })).toMatchObject({
        status: 200,
        body: { message: 'Job deleted' },
      });
      expect(await fetchJson(`${gateway.url}/status/${id}`)).toMatchObject({ status: 404 });
    } finally {
      await Promise.all([gateway.close(), pictures.close()]);
    }
  });

  it('is reported as canceled after a cancel', async () => {
    const [gateway, pictures] = await Promise.all([startRig({ SANDBOX_STEP: '60ms' }), startImageServer()]);
    try {
      const { body } = await postJson(`${gateway.url}/edit-image`, {
        image1_url: `${pictures.url}/a.jpg`,
        prompt: 'x',
        steps: 100,
      });
      const id = String(body.job_id);
      await waitUntil(gateway.url, id, ({ status }) => status === 'PROCESSING');
      await postJson(`${gateway.url}/graphql`, {
        query: `mutation { cancelJob(id: "${id}") { __typename } }`,
      });
      expect((await fetchJson(`${gateway.url}/status/${id}`)).body).toMatchObject({
        status: 'error',
        progress: expect.any(Number),
        error: 'Job was canceled',
        error_code: 'CANCELED',
      });
      expect((await fetchJson(`${gateway.url}/jobs`)).body).toMatchObject({
        jobs: { [id]: { status: 'error' } },
      });
    } finally {
      await Promise.all([gateway.close(), pictures.close()]);
    }
  });
});
