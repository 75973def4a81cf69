import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobError } from '../../../src/jobs/errors.ts';
import type { Job } from '../../../src/jobs/job.ts';
import { fetchJson } from '../../support/requests.ts';
import { type Face, keepCompleted, OUTPUT_DIR, startFace } from '../../support/rest-face.ts';

describe('GET /status/{job_id}', () => {
  let face: Face;
  beforeAll(async () => {
    face = await startFace();
  });
  afterAll(() => face.stop());

  const statusOf = async (change: Partial<Job>) => {
    const job = await face.keep(change);
    const answer = await fetchJson(`${face.url}/status/${job.id}`);
    expect(answer.status).toBe(200);
    await face.ledger.remove(job.id);
    return answer.body;
  };

  it('describes a waiting job with its place in the queue', async () => {
    const first = await face.keep({});
    expect((await fetchJson(`${face.url}/status/${first.id}`)).body).toEqual({
      status: 'queued',
      progress: 0,
      prompt_id: null,
      queue_position: 0,
    });
    expect(await statusOf({})).toMatchObject({ status: 'queued', queue_position: 1 });
    await face.ledger.remove(first.id);
  });

  it('describes a running job with its progress', async () => {
    const body = await statusOf({
      status: 'PROCESSING',
      lane: 'a',
      promptId: 'xyz789',
      progress: 45.2345,
      stage: 'SAMPLING',
      step: 18,
      totalSteps: 40,
      etaSeconds: 12.345,
    });
    expect(body).toEqual({
      status: 'processing',
      progress: 45.2,
      prompt_id: 'xyz789',
      stage: 'sampling',
      step: 18,
      total_steps: 40,
      eta_seconds: 12.3,
    });
  });

  it.each([
    [0, 0],
    [0.04, 0],
    [64.1, 64.1],
    [33.333333, 33.3],
    [99.96, 99.9],
    [99.99999, 99.9],
  ])(
    'gives a progress of %d with at most one decimal, and no 100 before the end: %d',
    async (progress, told) => {
      expect((await statusOf({ status: 'PROCESSING', lane: 'a', progress })).progress).toBe(told);
    },
  );

  it('describes a completed job as documented', async () => {
    const { job } = await keepCompleted(face);
    expect((await fetchJson(`${face.url}/status/${job.id}`)).body).toEqual({
      status: 'completed',
      progress: 100,
      prompt_id: 'prompt-1',
      image_ready: true,
      download_url: `/download/${job.id}`,
      image_path: `${OUTPUT_DIR}/${job.outputs[0]?.enginePath}`,
    });
  });

  it('reports that the image of a completed job is missing', async () => {
    const { job } = await keepCompleted(face);
    await face.artifacts.remove(job.outputs[0]?.key ?? '');
    expect((await fetchJson(`${face.url}/status/${job.id}`)).body).toEqual({
      status: 'completed',
      progress: 100,
      prompt_id: 'prompt-1',
      image_ready: false,
      message: 'Image editing completed but file not found',
    });
  });

  it('notices between polls that the image is missing', async () => {
    const { job } = await keepCompleted(face);
    const ready = async () => (await fetchJson(`${face.url}/status/${job.id}`)).body.image_ready;
    expect(await ready()).toBe(true);
    await face.artifacts.remove(job.outputs[0]?.key ?? '');
    await expect.poll(ready).toBe(false);
  });

  it('notices between polls that the job or its place in the queue changed', async () => {
    const [first, second] = [await face.keep({}), await face.keep({})];
    const place = async () => (await fetchJson(`${face.url}/status/${second.id}`)).body;
    expect(await place()).toMatchObject({ status: 'queued', queue_position: 1 });
    await face.ledger.remove(first.id);
    expect(await place()).toMatchObject({ status: 'queued', queue_position: 0 });
    const taken = { ...second, status: 'PROCESSING' as const, lane: 'a', revision: second.revision + 1 };
    expect(await face.ledger.commit(taken, second.revision, null, [])).toBe('ok');
    expect(await place()).toEqual({ status: 'processing', progress: 0, prompt_id: null });
    await face.ledger.remove(second.id);
    expect((await fetchJson(`${face.url}/status/${second.id}`)).status).toBe(404);
  });

  it('describes a failed job with its error', async () => {
    const body = await statusOf({
      status: 'ERROR',
      progress: 51.21,
      promptId: 'p',
      error: jobError('OUT_OF_MEMORY', 'The engine ran out of memory', '3'),
    });
    expect(body).toEqual({
      status: 'error',
      progress: 51.2,
      prompt_id: 'p',
      error: 'The engine ran out of memory',
      error_code: 'OUT_OF_MEMORY',
    });
  });

  it('describes a canceled job as an error', async () => {
    const body = await statusOf({
      status: 'CANCELED',
      error: jobError('CANCELED', 'Canceled by its caller'),
    });
    expect(body).toEqual({
      status: 'error',
      progress: 0,
      prompt_id: null,
      error: 'Job was canceled',
      error_code: 'CANCELED',
    });
  });
});

describe('jobs of other callers', () => {
  it('are unknown on every route', async () => {
    const face = await startFace({ caller: { id: 'alice', operator: false } });
    try {
      const { job } = await keepCompleted(face);
      for (const path of ['status', 'download', 'preview', 'debug/job']) {
        const answer = await fetchJson(`${face.url}/${path}/${job.id}`);
        expect(answer).toMatchObject({ status: 404, body: { detail: 'Job not found' } });
      }
      expect(await fetchJson(`${face.url}/jobs/${job.id}`, { method: 'DELETE' })).toMatchObject({
        status: 404,
      });
      expect((await fetchJson(`${face.url}/jobs`)).body).toEqual({ jobs: {} });
      expect((await fetchJson(`${face.url}/debug/files`)).body).toEqual({
        output_dir: OUTPUT_DIR,
        files: [],
      });
    } finally {
      await face.stop();
    }
  });
});
