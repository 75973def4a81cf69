import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../../support/gateway.ts';
import { type Answer, fetchJson, postJson, submit } from '../../support/requests.ts';
import { type Face, keepCompleted, startFace } from '../../support/rest-face.ts';
import { waitForEnd, waitUntil } from '../../support/watch.ts';

describe('GET /jobs', () => {
  let face: Face;
  const ids: string[] = [];
  beforeAll(async () => {
    face = await startFace();
    for (const status of ['COMPLETED', 'ERROR', 'CANCELED', 'QUEUED', 'PROCESSING'] as const) {
      ids.unshift((await face.keep({ status, lane: status === 'PROCESSING' ? 'x' : null })).id);
    }
  });
  afterAll(() => face.stop());

  const list = (query = '') => fetchJson(`${face.url}/jobs${query}`);
  const idsOf = ({ body }: Answer): string[] => Object.keys(body.jobs ?? {});
  const nextOf = ({ headers }: Answer): string | null =>
    /^<([^>]+)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1] ?? null;

  it('responds as documented without a query', async () => {
    const answer = await list();
    expect(Object.keys(answer.body)).toEqual(['jobs']);
    expect(idsOf(answer).sort()).toEqual([...ids].sort());
    expect(answer.headers.has('link')).toBe(false);
  });

  it('gives every job once over its pages, and the last page has no next one', async () => {
    const seen: string[] = [];
    let pages = 0;
    for (let path: string | null = '/jobs?limit=2'; path !== null; pages += 1) {
      const answer = await fetchJson(face.url + path);
      expect(answer.status).toBe(200);
      expect(idsOf(answer).length).toBeLessThanOrEqual(2);
      path = nextOf(answer);
      expect(answer.body.next ?? null).toBe(path);
      seen.push(...idsOf(answer));
    }
    expect(pages).toBe(3);
    expect(seen.sort()).toEqual([...ids].sort());
  });

  it('continues where a page ended, although its last job was deleted', async () => {
    const extra = await keepCompleted(face);
    const first = await list('?limit=1');
    expect(idsOf(first)).toEqual([extra.job.id]);
    await fetchJson(`${face.url}/jobs/${extra.job.id}`, { method: 'DELETE' });
    const rest = await fetchJson(face.url + nextOf(first)?.replace('limit=1', 'limit=9'));
    expect(idsOf(rest).sort()).toEqual([...ids].sort());
  });

  it('filters by status, on each page', async () => {
    const statusesOf = ({ body }: Answer) =>
      Object.values(body.jobs ?? {}).map(({ status }: { status: string }) => status);
    expect(statusesOf(await list('?status=queued'))).toEqual(['queued']);
    expect(statusesOf(await list('?status=error'))).toEqual(['error', 'error']);
    expect(statusesOf(await list('?status=queued,completed')).sort()).toEqual(['completed', 'queued']);
    expect(statusesOf(await list('?status=queued&status=completed')).sort()).toEqual(['completed', 'queued']);
    const first = await list('?status=error&limit=1');
    const second = await fetchJson(face.url + nextOf(first));
    expect(statusesOf(second)).toEqual(['error']);
    expect(idsOf(second)).not.toEqual(idsOf(first));
    expect(nextOf(second)).toBeNull();
  });

  it.each([
    ['limit=0', 'limit takes an integer from 1 to 1000, got 0'],
    ['limit=1001', 'limit takes an integer from 1 to 1000, got 1001'],
    ['limit=x', 'limit takes an integer from 1 to 1000, got "x"'],
    ['limit=1&limit=2', 'limit takes an integer from 1 to 1000, got ["1","2"]'],
    ['after=x', 'after takes the `after` of the Link header of a page, got "x"'],
    [
      'status=done',
      'status takes one or several of queued, processing, completed, error, separated by commas, got "done"',
    ],
    [
      'status=',
      'status takes one or several of queued, processing, completed, error, separated by commas, got ""',
    ],
    ['limits=5', 'The query parameter "limits" is unknown; did you mean "limit"?'],
    ['Status=queued', 'The query parameter "Status" is unknown; did you mean "status"?'],
  ])('rejects ?%s', async (query, detail) => {
    expect(await list(`?${query}`)).toMatchObject({ status: 400, body: { detail } });
  });

  it('ignores parameters that resemble none of its own', async () => {
    expect((await list('?_=1732630000&utm_source=x')).status).toBe(200);
  });
});

describe('GET /jobs?label', () => {
  it('lists the jobs with the label, over pages', async () => {
    const rig = await startRig();
    try {
      const label = 'a & b=c';
      const labelled = [await submit(rig, { label }), await submit(rig, { label })];
      await submit(rig);
      const first = await fetchJson(`${rig.url}/jobs?limit=1&label=${encodeURIComponent(label)}`);
      const second = await fetchJson(`${rig.url}${first.body.next}`);
      expect(second.body).not.toHaveProperty('next');
      const ids = [first, second].flatMap(({ body }) => Object.keys(body.jobs ?? {}));
      expect(ids.sort()).toEqual(labelled.sort());
    } finally {
      await rig.close();
    }
  });
});

describe('POST /jobs/{job_id}/cancel', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ SANDBOX_STEP: '100ms', LANES_PER_ENGINE: '1' });
  });
  afterAll(() => rig.close());

  const cancel = (id: string, headers: Record<string, string> = {}) =>
    fetchJson(`${rig.url}/jobs/${id}/cancel`, { method: 'POST', headers });
  const canceled = { status: 'error', error: 'Job was canceled', error_code: 'CANCELED' };

  it('stops a running and a waiting job, and keeps their records', async () => {
    const running = await submit(rig, { steps: 100 });
    const waiting = await submit(rig, { steps: 100 });
    await waitUntil(rig.url, running, ({ step }) => (step ?? 0) > 0);
    for (const id of [waiting, running]) {
      const answer = await cancel(id);
      expect(answer).toMatchObject({ status: 200, body: canceled });
      expect((await fetchJson(`${rig.url}/status/${id}`)).body).toEqual(answer.body);
    }
    // The engine is free.
    const next = await submit(rig);
    expect((await waitForEnd(rig.url, next)).status).toBe('COMPLETED');
    expect(await cancel(next)).toMatchObject({
      status: 200,
      body: { status: 'completed', image_ready: true },
    });
    expect(await cancel(running)).toMatchObject({ status: 200, body: canceled });
  });

  it('responds with 404 for an unknown job', async () => {
    for (const id of ['none', crypto.randomUUID(), '%20']) {
      expect(await cancel(id)).toMatchObject({ status: 404, body: { detail: 'Job not found' } });
    }
  });

  it('takes no request of another site, and any body', async () => {
    const id = await submit(rig, { steps: 100 });
    for (const headers of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
      expect((await cancel(id, headers)).status).toBe(403);
    }
    expect((await fetchJson(`${rig.url}/status/${id}`)).body.status).not.toBe('error');
    expect(await postJson(`${rig.url}/jobs/${id}/cancel`, '{"why": 1}')).toMatchObject({
      status: 200,
      body: canceled,
    });
  });

  it('reports a job whose engine has not stopped in time with 202', async () => {
    const face = await startFace();
    try {
      const job = await face.keep({ status: 'PROCESSING', lane: 'a', progress: 10 });
      const answer = await fetchJson(`${face.url}/jobs/${job.id}/cancel`, { method: 'POST' });
      expect(answer).toMatchObject({ status: 202, body: { status: 'processing', progress: 10 } });
      expect(answer.headers.get('retry-after')).toBe('1');
    } finally {
      await face.stop();
    }
  });
});
