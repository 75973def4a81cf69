import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { send } from '../http/rest/support/ask.ts';
import { startTestGateway, type TestGateway, waitForEnd, waitUntil } from '../http/rest/support/gateway.ts';
import { type Pictures, startPictures } from '../http/rest/support/pictures.ts';
import { startCutProxy } from '../support/cut-proxy.ts';
import { startS3, type TestS3 } from '../support/s3.ts';

let s3: TestS3;
let pictures: Pictures;
beforeAll(async () => {
  [s3, pictures] = await Promise.all([startS3(), startPictures()]);
});
afterAll(() => Promise.all([s3?.stop(), pictures?.stop()]));
beforeEach(() => {
  for (const [name, value] of Object.entries(s3.environment)) vi.stubEnv(name, value);
});
afterEach(() => vi.unstubAllEnvs());

async function submitted(gateway: TestGateway): Promise<string> {
  const { body } = await send(`${gateway.url}/edit-image`, {
    image1_url: `${pictures.url}/cat.png`,
    prompt: 'Make it night',
    steps: 2,
  });
  return String(body.job_id);
}

async function edited(gateway: TestGateway): Promise<string> {
  const id = await submitted(gateway);
  expect(await waitForEnd(gateway.url, id)).toMatchObject({ status: 'COMPLETED' });
  return id;
}

const hashOf = async (response: Response): Promise<string> =>
  createHash('sha256')
    .update(Buffer.from(await response.arrayBuffer()))
    .digest('hex');

it('runs an edit with all its bytes in the bucket, streams them, and leaves none after its deletion', async () => {
  const gateway = await startTestGateway({ ARTIFACTS_URL: s3.url() });
  const id = await edited(gateway);
  const whole = await fetch(`${gateway.url}/download/${id}?metadata=keep`, { redirect: 'manual' });
  expect(whole.status).toBe(200);
  const bytes = Buffer.from(await whole.arrayBuffer());
  const part = await fetch(`${gateway.url}/download/${id}?metadata=keep`, {
    headers: { range: 'bytes=8-15' },
  });
  expect(part.status).toBe(206);
  expect(bytes.subarray(8, 16).equals(Buffer.from(await part.arrayBuffer()))).toBe(true);
  const converted = await fetch(`${gateway.url}/download/${id}?format=webp`);
  expect(converted.headers.get('content-type')).toBe('image/webp');
  await converted.arrayBuffer();

  expect((await fetch(`${gateway.url}/jobs/${id}`, { method: 'DELETE' })).ok).toBe(true);
  expect((await fetch(`${gateway.url}/download/${id}`)).status).toBe(404);
  expect(JSON.stringify(gateway.lines)).not.toContain(s3.environment.AWS_SECRET_ACCESS_KEY);
  await gateway.stop();
});

it('sends callers to the bucket for what goes out as it is stored, and for nothing else', async () => {
  const gateway = await startTestGateway({ ARTIFACTS_URL: s3.url(), DOWNLOAD_REDIRECT: '1' });
  const id = await edited(gateway);
  const url = `${gateway.url}/download/${id}`;
  const ask = (query: string, init: RequestInit = {}) =>
    fetch(`${url}${query}`, { redirect: 'manual', ...init });

  const sent = await ask('?metadata=keep');
  expect(sent.status).toBe(302);
  expect(sent.headers.get('cache-control')).toBe('private, no-store');
  const target = new URL(sent.headers.get('location') ?? '');
  expect(target.origin).toBe(s3.endpoint);
  const stored = await fetch(target);
  expect(stored.status).toBe(200);
  expect(stored.headers.get('content-type')).toBe('image/png');
  expect(stored.headers.get('content-disposition')).toBe(`inline; filename="edited_image_${id}.png"`);
  const followed = await fetch(`${url}?metadata=keep`);
  expect(await hashOf(followed)).toBe(await hashOf(stored));

  // What the engine wrote into the picture of the request stays here.
  const stripped = await ask('');
  expect(stripped.status).toBe(200);
  expect(Buffer.from(await stripped.arrayBuffer()).includes('Make it night')).toBe(false);
  const converted = await ask('?format=webp');
  expect(converted.status).toBe(200);
  await converted.arrayBuffer();
  const head = await ask('?metadata=keep', { method: 'HEAD' });
  expect(head.status).toBe(200);
  const known = await ask('?metadata=keep', { headers: { 'if-none-match': head.headers.get('etag') ?? '' } });
  expect(known.status).toBe(304);
  await gateway.stop();
});

it('ends a job whose picture was ready while the bucket was away, once it is back, without another run', async () => {
  const proxy = await startCutProxy(s3.endpoint);
  const gateway = await startTestGateway({
    ARTIFACTS_URL: s3.url().replace(s3.endpoint, proxy.url),
    SANDBOX_STEP: '50ms',
  });
  const id = await submitted(gateway);
  await waitUntil(gateway.url, id, ({ step }) => (step ?? 0) >= 1);
  proxy.let('nothing');
  proxy.cut();
  await vi.waitUntil(() => gateway.lines.some(({ message }) => message.startsWith('lane failed')), 15_000);
  proxy.let('all');
  expect(await waitForEnd(gateway.url, id)).toMatchObject({ status: 'COMPLETED' });
  const answer = await send(`${gateway.url}/graphql`, { query: `{ job(id: "${id}") { attempt } }` });
  expect(answer.body).toEqual({ data: { job: { attempt: 1 } } });
  expect((await fetch(`${gateway.url}/download/${id}`)).status).toBe(200);
  await gateway.stop();
  await proxy.stop();
});
