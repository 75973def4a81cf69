import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobError } from '../../../src/jobs/errors.ts';
import { fetchJson } from '../../support/requests.ts';
import { type Face, keepCompleted, OUTPUT_DIR, startFace } from '../../support/rest-face.ts';

describe('the debug routes', () => {
  let face: Face;
  beforeAll(async () => {
    face = await startFace();
  });
  afterAll(() => face.stop());

  it('list the stored files', async () => {
    const { job, pictures } = await keepCompleted(face, ['png', 'webp']);
    const gone = await keepCompleted(face);
    await face.artifacts.remove(gone.job.outputs[0]?.key ?? '');
    const root = await keepCompleted(face);
    await face.ledger.commit(
      {
        ...root.job,
        revision: 3,
        outputs: root.job.outputs.map(output => ({ ...output, enginePath: 'a.png' })),
      },
      2,
      null,
    );
    const answer = await fetchJson(`${face.url}/debug/files`);
    expect(answer.body.output_dir).toBe(OUTPUT_DIR);
    const files = [
      ...job.outputs.map(({ filename }, index) => ({
        path: `${OUTPUT_DIR}/QwenEdit/${filename}`,
        name: filename,
        location: 'QwenEdit',
        bytes: pictures[index]?.length,
      })),
      { path: `${OUTPUT_DIR}/a.png`, name: 'a.png', location: 'root', bytes: root.pictures[0]?.length },
    ];
    expect(answer.body.files).toHaveLength(files.length);
    expect(answer.body.files).toEqual(expect.arrayContaining(files));
  });

  it('describe a completed job', async () => {
    const { job } = await keepCompleted(face);
    const path = `${OUTPUT_DIR}/${job.outputs[0]?.enginePath}`;
    const { body } = await fetchJson(`${face.url}/debug/job/${job.id}`);
    expect(body).toEqual({
      status: 'completed',
      progress: 100,
      prompt_id: 'prompt-1',
      image_ready: true,
      download_url: `/download/${job.id}`,
      image_path: path,
      job_id: job.id,
      searched_image_path: path,
      image_exists: true,
      potential_files: [path],
      request: {
        images: [{ slot: 1, source: 'data:', mime_type: 'image/png', width: 64, height: 48, bytes: 100 }],
        prompt: 'a forest',
        negative_prompt: '',
        seed: '18446744073709551615',
        steps: 4,
        cfg: 4,
        megapixels: 1,
        workflow: 'qwen-image-edit-plus',
        parameters: {},
        priority: 'normal',
        label: null,
        metadata: {},
      },
      events: [{ at: new Date(job.createdAt).toISOString(), event: 'submitted', detail: null }],
      engine: null,
      attempt: 0,
      created_at: new Date(job.createdAt).toISOString(),
      started_at: new Date(job.startedAt ?? 0).toISOString(),
      finished_at: new Date(job.finishedAt ?? 0).toISOString(),
      expires_at: new Date(job.expiresAt ?? 0).toISOString(),
    });
  });

  it('report missing images, of jobs that completed and of others', async () => {
    const { job } = await keepCompleted(face);
    await face.artifacts.remove(job.outputs[0]?.key ?? '');
    expect((await fetchJson(`${face.url}/debug/job/${job.id}`)).body).toMatchObject({
      image_ready: false,
      searched_image_path: `${OUTPUT_DIR}/${job.outputs[0]?.enginePath}`,
      image_exists: false,
      potential_files: [],
    });
    const waiting = await face.keep({});
    expect((await fetchJson(`${face.url}/debug/job/${waiting.id}`)).body).toMatchObject({
      status: 'queued',
      searched_image_path: null,
      image_exists: false,
      potential_files: [],
    });
  });

  it('show the engine’s report to operators only', async () => {
    const failed = {
      owner: 'alice',
      status: 'ERROR',
      error: jobError('EXECUTION_FAILED', 'A node failed', '3'),
      engineReport: 'Traceback: /srv/comfy/nodes.py',
    } as const;
    const mine = await startFace({ caller: { id: 'alice', operator: false } });
    try {
      const seen = await mine.keep(failed);
      const { body } = await fetchJson(`${mine.url}/debug/job/${seen.id}`);
      expect(body.error).toBe('A node failed');
      expect(JSON.stringify(body)).not.toContain('/srv/comfy');
    } finally {
      await mine.stop();
    }
    const job = await face.keep(failed);
    expect((await fetchJson(`${face.url}/debug/job/${job.id}`)).body.engine_report).toBe(failed.engineReport);
  });
});

describe('GET /preview/{job_id}', () => {
  it('sends the newest frame, not cacheable', async () => {
    const face = await startFace();
    try {
      const job = await face.keep({ status: 'PROCESSING', lane: 'a' });
      const url = `${face.url}/preview/${job.id}`;
      expect(await fetchJson(url)).toMatchObject({ status: 404, body: { detail: 'No preview' } });
      for (const sequence of [1, 2]) {
        const bytes = new Uint8Array([0xff, 0xd8, sequence]);
        await face.previews.put(job.id, { sequence, mimeType: 'image/jpeg', bytes });
        const response = await fetch(`${url}?frame=${sequence}`);
        expect(response.status).toBe(200);
        expect(response.headers.get('content-type')).toBe('image/jpeg');
        expect(response.headers.get('cache-control')).toBe('no-store');
        expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
      }
    } finally {
      await face.stop();
    }
  });
});
