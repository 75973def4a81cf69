import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Job } from '../../../src/jobs/job.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { type ImageServer, startImageServer } from '../../support/image-server.ts';
import { fetchJson, postJson } from '../../support/requests.ts';
import { type Face, keepCompleted, startFace } from '../../support/rest-face.ts';

/** Stores the next revision of a job. */
async function change(face: Face, job: Job, fields: Partial<Job>): Promise<Job> {
  const next: Job = { ...job, ...fields, revision: job.revision + 1 };
  expect(await face.ledger.commit(next, job.revision, null)).toBe('ok');
  return next;
}

describe('GET /status/{job_id}?wait', () => {
  let face: Face;
  beforeAll(async () => {
    face = await startFace();
  });
  afterAll(() => face.stop());

  it('responds at the next change', async () => {
    const job = await face.keep({ status: 'PROCESSING', lane: 'a', progress: 10 });
    const known = await fetchJson(`${face.url}/status/${job.id}?wait=0`);
    expect(known.body).toMatchObject({ revision: 2, progress: 10 });
    expect(known.headers.get('retry-after')).toBe('1');
    const waiting = fetchJson(`${face.url}/status/${job.id}?wait=30&revision=2`);
    await change(face, job, { progress: 20 });
    expect((await waiting).body).toMatchObject({ revision: 3, progress: 20 });
  });

  it('responds at once if the job is past the given revision', async () => {
    const job = await face.keep({ status: 'PROCESSING', lane: 'a' });
    expect((await fetchJson(`${face.url}/status/${job.id}?wait=30&revision=1`)).body).toMatchObject({
      revision: 2,
    });
  });

  it('responds at once when the job has ended', async () => {
    const { job } = await keepCompleted(face);
    const { body, headers } = await fetchJson(
      `${face.url}/status/${job.id}?wait=30&revision=${job.revision}`,
    );
    expect(body).toMatchObject({ status: 'completed', revision: job.revision });
    expect(headers.has('retry-after')).toBe(false);
  });

  it('responds without a change when the time is over', async () => {
    const job = await face.keep({ status: 'PROCESSING', lane: 'a' });
    expect((await fetchJson(`${face.url}/status/${job.id}?wait=1`)).body).toMatchObject({ revision: 2 });
  });

  it('responds with 404 if the job is deleted while it waits', async () => {
    const job = await face.keep({ status: 'PROCESSING', lane: 'a' });
    const waiting = fetchJson(`${face.url}/status/${job.id}?wait=30`);
    // The job is gone whether the delete or the look-up comes first.
    await face.ledger.remove(job.id);
    expect((await waiting).status).toBe(404);
  });

  it('has a revision only with wait or revision in the query', async () => {
    const job = await face.keep({});
    expect((await fetchJson(`${face.url}/status/${job.id}`)).body).not.toHaveProperty('revision');
  });

  it.each([
    ['wait=x', /wait takes an integer from 0 to 55/],
    ['wait=56', /wait takes an integer from 0 to 55, got 56/],
    ['revision=-1', /revision takes an integer/],
  ])('rejects ?%s', async (query, detail) => {
    const job = await face.keep({});
    const answer = await fetchJson(`${face.url}/status/${job.id}?${query}`);
    expect(answer.status).toBe(400);
    expect(answer.body.detail).toMatch(detail);
  });
});

interface Event {
  readonly id: number;
  readonly data: Record<string, unknown>;
}

function eventsOf(text: string): Event[] {
  return text.split('\n\n').flatMap(block => {
    const data = /^data: (.*)$/m.exec(block)?.[1];
    return data === undefined
      ? []
      : [{ id: Number(/^id: (\d+)$/m.exec(block)?.[1]), data: JSON.parse(data) }];
  });
}

describe('GET /events/{job_id}', () => {
  let gateway: Rig;
  let pictures: ImageServer;
  beforeAll(async () => {
    gateway = await startRig({ SANDBOX_STEP: '20ms' });
    pictures = await startImageServer();
  });
  afterAll(async () => {
    await gateway.close();
    await pictures.close();
  });

  async function submit(steps: number): Promise<string> {
    const answer = await postJson(`${gateway.url}/edit-image`, {
      image1_url: `${pictures.url}/a.png`,
      prompt: 'x',
      steps,
      megapixels: 0.25,
    });
    expect(answer.headers.get('location')).toBe(`/status/${answer.body.job_id}`);
    expect(answer.headers.get('retry-after')).toBe('1');
    return String(answer.body.job_id);
  }

  it('streams the status until the job ends', async () => {
    const id = await submit(10);
    const answer = await fetch(`${gateway.url}/events/${id}`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(answer.headers.get('cache-control')).toMatch(/no-cache/);
    const events = eventsOf(await answer.text());
    expect(events.length).toBeGreaterThan(3);
    const ids = events.map(event => event.id);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    expect(events.every(({ id: revision, data }) => data.revision === revision)).toBe(true);
    expect(events.some(({ data }) => data.stage === 'sampling')).toBe(true);
    const { body } = await fetchJson(`${gateway.url}/status/${id}?wait=0`);
    expect(events.at(-1)?.data).toEqual(body);
    expect(body).toMatchObject({ status: 'completed', image_ready: true });

    // EventSource then reconnects, and 204 stops it.
    const again = await fetch(`${gateway.url}/events/${id}`, {
      headers: { 'last-event-id': String(ids.at(-1)) },
    });
    expect(again.status).toBe(204);
    const late = await fetch(`${gateway.url}/events/${id}`, { headers: { 'last-event-id': '3' } });
    expect(eventsOf(await late.text()).map(event => event.id)).toEqual([ids.at(-1)]);
  });

  it('continues after Last-Event-ID', async () => {
    const id = await submit(30);
    const leave = new AbortController();
    const answer = await fetch(`${gateway.url}/events/${id}`, { signal: leave.signal });
    let text = '';
    await expect(
      (async () => {
        for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
          text += chunk;
          if (eventsOf(text).some(({ data }) => Number(data.step) >= 3)) leave.abort();
        }
      })(),
    ).rejects.toThrow(/abort/i);
    const before = eventsOf(text).at(-1)?.id ?? 0;
    const rest = await fetch(`${gateway.url}/events/${id}`, { headers: { 'last-event-id': String(before) } });
    const events = eventsOf(await rest.text());
    expect(events[0]?.id).toBeGreaterThan(before);
    expect(events.at(-1)?.data.status).toBe('completed');
  });

  it('ends when the job is deleted', async () => {
    const id = await submit(90);
    const answer = await fetch(`${gateway.url}/events/${id}`);
    const text = answer.text();
    await fetch(`${gateway.url}/jobs/${id}`, { method: 'DELETE' });
    expect(eventsOf(await text).at(-1)?.data).toMatchObject({ status: 'error', error_code: 'CANCELED' });
  });

  it('is 404 for an unknown job, and accepts GET only', async () => {
    expect(await fetchJson(`${gateway.url}/events/nobody`)).toMatchObject({
      status: 404,
      body: { detail: 'Job not found' },
    });
    const head = await fetch(`${gateway.url}/events/nobody`, { method: 'HEAD' });
    expect([head.status, head.headers.get('allow')]).toEqual([405, 'GET']);
  });
});
