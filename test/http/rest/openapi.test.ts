import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { buildOpenApi } from '../../../src/http/rest/contract/openapi.ts';
import { jobError } from '../../../src/jobs/errors.ts';
import { fetchJson, postJson } from '../../support/requests.ts';
import { type Face, keepCompleted, startFace } from '../../support/rest-face.ts';

const operation = z.object({
  operationId: z.string().min(1),
  summary: z.string().min(1),
  parameters: z
    .array(z.object({ in: z.enum(['path', 'query', 'header']), name: z.string(), schema: z.looseObject({}) }))
    .optional(),
  requestBody: z.looseObject({}).optional(),
  responses: z.record(
    z.string().regex(/^[1-5]\d\d$/),
    z.looseObject({
      description: z.string().min(1),
      content: z.record(z.string(), z.object({ schema: z.record(z.string(), z.unknown()) })).optional(),
    }),
  ),
});

const openApi = z.looseObject({
  openapi: z.literal('3.1.0'),
  info: z.looseObject({ title: z.string(), version: z.string() }),
  paths: z.record(z.string().startsWith('/'), z.record(z.string(), operation)),
  components: z.object({ schemas: z.record(z.string(), z.looseObject({})) }),
});

const published = JSON.parse(JSON.stringify(buildOpenApi('2.0.0')));
const document = openApi.parse(published);
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, of]) => ({ path, method, of })),
);

describe('the OpenAPI document', () => {
  let face: Face;
  beforeAll(async () => {
    face = await startFace();
  });
  afterAll(() => face.stop());

  it('has exactly the registered routes', () => {
    const described = operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`);
    const registered = face.routes
      .map(route => route.replace(/:(\w+)/g, '{$1}'))
      .filter(route => !/ \/(docs|openapi\.json)/.test(route));
    // Fastify adds HEAD to each GET; only that of images is documented.
    const worth = registered.filter(route => !/^HEAD (?!\/(?:download|input)\/)/.test(route));
    expect(described.sort()).toEqual([...new Set(worth)].sort());
  });

  it('has valid references, unique ids and all path parameters', () => {
    const text = JSON.stringify(document);
    for (const [, name] of text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)) {
      expect(document.components.schemas).toHaveProperty([name ?? '']);
    }
    expect(text.match(/"\$ref":"(?!#\/components\/schemas\/)/)).toBeNull();
    const ids = operations.map(({ of }) => of.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, of } of operations) {
      const declared = of.parameters?.filter(parameter => parameter.in === 'path').map(({ name }) => name);
      expect(declared ?? []).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(match => match[1]));
    }
  });

  it('is deterministic, and is served at /openapi.json', async () => {
    const served = await fetchJson(`${face.url}/openapi.json`);
    expect(served.body).toEqual(published);
    expect(JSON.stringify(buildOpenApi('2.0.0'))).toBe(JSON.stringify(buildOpenApi('2.0.0')));
  });

  it('describes every response', async () => {
    const { job } = await keepCompleted(face);
    const failed = await face.keep({ status: 'ERROR', error: jobError('TIMED_OUT', 'No progress') });
    const running = await face.keep({
      status: 'PROCESSING',
      stage: 'SAMPLING',
      step: 3,
      totalSteps: 8,
      progress: 37.5,
      etaSeconds: 4.25,
      lane: 'x',
    });
    const waiting = await face.keep({});
    const seen: [string, string, number][] = [];
    const hold = (
      path: string,
      method: string,
      { status, body }: Awaited<ReturnType<typeof fetchJson>>,
    ): void => {
      expect(conforms(path, method, status, body), `${method} ${path} ${status}`).toBe(true);
      seen.push([path, method, status]);
    };
    hold('/', 'get', await fetchJson(`${face.url}/`));
    for (const { id } of [job, failed, running, waiting]) {
      hold('/status/{job_id}', 'get', await fetchJson(`${face.url}/status/${id}`));
      hold('/debug/job/{job_id}', 'get', await fetchJson(`${face.url}/debug/job/${id}`));
    }
    hold('/status/{job_id}', 'get', await fetchJson(`${face.url}/status/none`));
    hold('/status/{job_id}', 'get', await fetchJson(`${face.url}/status/${running.id}?wait=0`));
    hold('/status/{job_id}', 'get', await fetchJson(`${face.url}/status/${running.id}?wait=x`));
    hold('/events/{job_id}', 'get', await fetchJson(`${face.url}/events/none`));
    hold('/events', 'get', await fetchJson(`${face.url}/events?limit=x`));
    hold('/download/{job_id}', 'get', await fetchJson(`${face.url}/download/${running.id}`));
    hold('/input/{job_id}', 'get', await fetchJson(`${face.url}/input/${job.id}`));
    hold('/input/{job_id}', 'get', await fetchJson(`${face.url}/input/${job.id}?slot=4`));
    hold('/preview/{job_id}', 'get', await fetchJson(`${face.url}/preview/${running.id}`));
    hold('/webhooks/{job_id}', 'get', await fetchJson(`${face.url}/webhooks/${job.id}`));
    hold('/webhooks/{job_id}', 'get', await fetchJson(`${face.url}/webhooks/none`));
    hold('/jobs', 'get', await fetchJson(`${face.url}/jobs`));
    hold('/jobs', 'get', await fetchJson(`${face.url}/jobs?limit=1`));
    hold('/jobs', 'get', await fetchJson(`${face.url}/jobs?limit=0`));
    const cancel = (id: string) => postJson(`${face.url}/jobs/${id}/cancel`, {});
    hold('/jobs/{job_id}/cancel', 'post', await cancel(job.id));
    hold('/jobs/{job_id}/cancel', 'post', await cancel(waiting.id));
    hold('/jobs/{job_id}/cancel', 'post', await cancel('none'));
    hold('/debug/files', 'get', await fetchJson(`${face.url}/debug/files`));
    hold('/edit-image', 'post', await postJson(`${face.url}/edit-image`, {}));
    const bytes = await sharp({ create: { width: 64, height: 48, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    const image1_url = `data:image/png;base64,${bytes.toString('base64')}`;
    const submitted = await postJson(`${face.url}/edit-images`, {
      edits: [{ image1_url, prompt: 'x', other: 1 }],
    });
    hold('/edit-images', 'post', submitted);
    hold('/edit-images', 'post', await postJson(`${face.url}/edit-images`, {}));
    const batch = `${face.url}/batches/${submitted.body.batch_id}`;
    hold('/batches/{batch_id}', 'get', await fetchJson(batch));
    hold('/batches/{batch_id}', 'get', await fetchJson(`${face.url}/batches/none`));
    hold('/batches/{batch_id}/jobs', 'get', await fetchJson(`${batch}/jobs`));
    hold('/batches/{batch_id}/events', 'get', await fetchJson(`${batch}/events?max_per_second=x`));
    hold('/batches/{batch_id}/retry', 'post', await postJson(`${batch}/retry`, {}));
    hold('/batches/{batch_id}/cancel', 'post', await postJson(`${batch}/cancel`, {}));
    hold('/upload', 'post', await postJson(`${face.url}/upload`, {}));
    hold('/me', 'get', await fetchJson(`${face.url}/me`));
    const engines = await startFace({ caller: { id: 'engine:rented', operator: false } });
    hold('/engines', 'post', await postJson(`${engines.url}/engines`, {}));
    hold('/engines', 'post', await postJson(`${engines.url}/engines`, { url: 'http://gpu:8188' }));
    hold('/engines/{id}', 'delete', await fetchJson(`${engines.url}/engines/gpu`, { method: 'DELETE' }));
    await engines.stop();
    hold('/jobs/{job_id}', 'delete', await fetchJson(`${face.url}/jobs/${job.id}`, { method: 'DELETE' }));
    expect(new Set(seen.map(([path]) => path))).toEqual(new Set(Object.keys(document.paths)));
  });

  it('does not describe invalid responses', () => {
    expect(conforms('/status/{job_id}', 'get', 200, { status: 'done', progress: 1, prompt_id: null })).toBe(
      false,
    );
  });
});

describe('/docs', () => {
  let face: Face;
  beforeAll(async () => {
    face = await startFace();
  });
  afterAll(() => face.stop());

  it('is a page that loads nothing from other origins', async () => {
    const page = await fetch(`${face.url}/docs`);
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    const policy = page.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'self'");
    expect(policy).not.toMatch(/https?:/);
    const html = await page.text();
    const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(match => match[1] ?? '');
    expect(links.length).toBeGreaterThan(4);
    for (const link of links) {
      const asset = await fetch(new URL(link, page.url));
      expect([link, asset.status]).toEqual([link, 200]);
      await asset.body?.cancel();
    }
  });

  it('serves the document', async () => {
    expect((await fetchJson(`${face.url}/docs/json`)).body).toEqual(published);
  });

  it('has the usual error for a missing file', async () => {
    const answer = await fetchJson(`${face.url}/docs/static/none.js`);
    expect(answer).toMatchObject({
      status: 404,
      body: { detail: 'There is nothing at /docs/static/none.js, see /docs' },
    });
  });
});

function conforms(path: string, method: string, status: number, body: unknown): boolean {
  const schema =
    document.paths[path]?.[method]?.responses[String(status)]?.content?.['application/json']?.schema;
  if (schema === undefined) throw new Error(`${method} ${path} ${status} is not in the document`);
  // JSON Schema and OpenAPI keep definitions at different paths.
  const bundled = { ...schema, $defs: document.components.schemas };
  const local = JSON.stringify(bundled).replaceAll('#/components/schemas/', '#/$defs/');
  return z.fromJSONSchema(JSON.parse(local)).safeParse(body).success;
}
