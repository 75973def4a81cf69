import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { openArtifacts } from '../../../src/adapters/artifacts.ts';
import { parseArtifactsUrl } from '../../../src/adapters/artifacts-location.ts';
import { readConfig } from '../../../src/config.ts';
import { checkImages } from '../../../src/doctor/images.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { type ImageServer, startImageServer } from '../../support/image-server.ts';
import { recordLog } from '../../support/log.ts';
import { startCutProxy } from '../../support/proxies.ts';
import { fetchJson, postJson } from '../../support/requests.ts';
import { startS3, type TestS3 } from '../../support/stores/s3.ts';
import { waitForEnd, waitUntil } from '../../support/watch.ts';

let s3: TestS3;
let pictures: ImageServer;
beforeAll(async () => {
  [s3, pictures] = await Promise.all([startS3(), startImageServer()]);
});
afterAll(() => Promise.all([s3?.stop(), pictures?.close()]));
beforeEach(() => {
  for (const [name, value] of Object.entries(s3.environment)) vi.stubEnv(name, value);
});
afterEach(() => vi.unstubAllEnvs());

async function submitted(gateway: Rig): Promise<string> {
  const { body } = await postJson(`${gateway.url}/edit-image`, {
    image1_url: `${pictures.url}/cat.png`,
    prompt: 'Make it night',
    steps: 2,
    megapixels: 0.1,
  });
  return String(body.job_id);
}

async function edited(gateway: Rig): Promise<string> {
  const id = await submitted(gateway);
  expect(await waitForEnd(gateway.url, id)).toMatchObject({ status: 'COMPLETED' });
  return id;
}

it('runs an edit with all images in the bucket, streams them, and leaves none after its deletion', async () => {
  const log = recordLog();
  const gateway = await startRig({ ARTIFACTS_URL: s3.url() }, log);
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
  expect(JSON.stringify(log.lines)).not.toContain(s3.environment.AWS_SECRET_ACCESS_KEY);
  await gateway.close();
});

it('is checked with an object that is removed again, and a fault comes with what to do', async () => {
  const check = async (url: string, secret = s3.environment.AWS_SECRET_ACCESS_KEY) => {
    const keys = { ...s3.environment, AWS_SECRET_ACCESS_KEY: secret };
    const result = readConfig({ ...keys, ARTIFACTS_URL: url });
    if (!result.ok) throw new Error(result.faults.join('; '));
    return (await checkImages(result.config))[0];
  };
  const url = s3.url();
  expect(await check(url)).toMatchObject({
    state: 'ok',
    message: 'objects can be written, read and removed',
  });
  expect(await check(url, 'another')).toMatchObject({
    state: 'wrong',
    message: expect.stringContaining('SignatureDoesNotMatch'),
    fix: ['correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'],
  });
  const missing = url.replace('//artifacts', '//missing');
  expect(await check(missing)).toMatchObject({ state: 'wrong', fix: [expect.stringMatching(/^create/)] });
  expect(await keysAt(url)).toEqual([]);
});

it('serves the small inputs of jobs from before, and stores those of new ones in the bucket', async () => {
  const DATA_DIR = await mkdtemp(join(tmpdir(), 'moved-'));
  onTestFinished(() => rm(DATA_DIR, { recursive: true }));
  const inFolder = await startRig({ DATA_DIR });
  const before = await edited(inFolder);
  await inFolder.close();
  expect(await readdir(join(DATA_DIR, 'artifacts'))).not.toContain('inputs');

  const gateway = await startRig({ DATA_DIR, ARTIFACTS_URL: s3.url(), DOWNLOAD_REDIRECT: '1' });
  const input = (id: string) => fetch(`${gateway.url}/input/${id}`, { redirect: 'manual' });
  const served = await input(before);
  expect([served.status, await served.bytes()]).toEqual([
    200,
    await (await fetch(`${pictures.url}/cat.png`)).bytes(),
  ]);
  const retry = 'mutation ($id: ID!) { retryJob(id: $id) { ... on EditJob { id } } }';
  const { data } = await gateway.graphql<{ retryJob: { id: string } }>(retry, { id: before });
  const retried = String(data?.retryJob.id);
  expect(await waitForEnd(gateway.url, retried)).toMatchObject({ status: 'COMPLETED' });
  expect((await input(retried)).status).toBe(302);
  expect((await fetch(`${gateway.url}/jobs/${before}`, { method: 'DELETE' })).ok).toBe(true);
  expect((await input(before)).status).toBe(404);
  await gateway.close();
});

it('redirects downloads that need no conversion to the bucket, and no others', async () => {
  const gateway = await startRig({ ARTIFACTS_URL: s3.url(), DOWNLOAD_REDIRECT: '1' });
  const id = await edited(gateway);
  const url = `${gateway.url}/download/${id}`;
  const get = (query: string, init: RequestInit = {}) =>
    fetch(`${url}${query}`, { redirect: 'manual', ...init });

  const sent = await get('');
  expect(sent.status).toBe(302);
  expect(sent.headers.get('cache-control')).toBe('private, no-store');
  const target = new URL(sent.headers.get('location') ?? '');
  expect(target.origin).toBe(s3.endpoint);
  const stored = await fetch(target);
  expect(stored.status).toBe(200);
  expect(stored.headers.get('content-type')).toBe('image/png');
  expect(stored.headers.get('content-disposition')).toBe(`inline; filename="edited_image_${id}.png"`);
  const bytes = Buffer.from(await stored.arrayBuffer());
  expect(bytes.includes('Make it night')).toBe(false);
  const followed = await fetch(url, { headers: { range: 'bytes=8-15' } });
  expect(Buffer.from(await followed.arrayBuffer())).toEqual(bytes.subarray(8, 16));

  // Metadata that the engine wrote into the image is not served by the bucket.
  const whole = await get('?metadata=keep');
  expect(whole.status).toBe(200);
  expect(Buffer.from(await whole.arrayBuffer()).includes('Make it night')).toBe(true);
  const converted = await get('?format=webp');
  expect(converted.status).toBe(200);
  await converted.arrayBuffer();
  const head = await get('', { method: 'HEAD' });
  expect(head.status).toBe(200);
  expect(head.headers.get('content-length')).toBe(String(bytes.length));
  const known = await get('', { headers: { 'if-none-match': head.headers.get('etag') ?? '' } });
  expect(known.status).toBe(304);
  await gateway.close();
});

it('completes a job that finished while the bucket was unreachable, without another run', async () => {
  const proxy = await startCutProxy(s3.endpoint);
  const log = recordLog();
  const gateway = await startRig(
    { ARTIFACTS_URL: s3.url().replace(s3.endpoint, proxy.url), SANDBOX_STEP: '50ms' },
    log,
  );
  const id = await submitted(gateway);
  await waitUntil(gateway.url, id, ({ step }) => (step ?? 0) >= 1);
  proxy.let('nothing');
  proxy.cut();
  await vi.waitUntil(() => log.lines.some(({ message }) => message.includes('lane failed')), 15_000);
  proxy.let('all');
  expect(await waitForEnd(gateway.url, id)).toMatchObject({ status: 'COMPLETED' });
  const answer = await postJson(`${gateway.url}/graphql`, { query: `{ job(id: "${id}") { attempt } }` });
  expect(answer.body).toEqual({ data: { job: { attempt: 1 } } });
  expect((await fetch(`${gateway.url}/download/${id}`)).status).toBe(200);
  await gateway.close();
  await proxy.stop();
});

describe('while the bucket is unreachable', () => {
  const TOLD = 'The store of jobs and images is unavailable, try again later';
  const graphql = async (gateway: Rig, query: string) => {
    const answer = await postJson(`${gateway.url}/graphql`, { query });
    return { ...answer, retryAfter: answer.headers.get('retry-after') };
  };
  const rest = async (gateway: Rig, path: string, init: RequestInit = {}) => {
    const answer = await fetchJson(gateway.url + path, init);
    return { ...answer, retryAfter: answer.headers.get('retry-after') };
  };
  const jobsOf = async (gateway: Rig): Promise<string[]> =>
    Object.keys((await rest(gateway, '/jobs')).body.jobs ?? {});

  it('rejects requests by REST and GraphQL, and changes nothing', async () => {
    const proxy = await startCutProxy(s3.endpoint);
    const url = s3.url();
    const gateway = await startRig({ ARTIFACTS_URL: url.replace(s3.endpoint, proxy.url) });
    const done = await edited(gateway);
    const picture = `${pictures.url}/cat.png`;
    const submit = `mutation {
      editImage(input: { images: [{ url: "${picture}" }], prompt: "Day", steps: 1, megapixels: 0.1, idempotencyKey: "k" }) { __typename }
    }`;
    proxy.let('nothing');
    proxy.cut();
    const json = { 'content-type': 'application/json' };
    const edit = JSON.stringify({ image1_url: picture, prompt: 'Day' });
    const refusals = [
      await rest(gateway, '/edit-image', { method: 'POST', headers: json, body: edit }),
      await rest(gateway, `/download/${done}`),
      await rest(gateway, `/jobs/${done}`, { method: 'DELETE' }),
    ];
    for (const refusal of refusals) {
      expect(refusal).toMatchObject({ status: 503, retryAfter: '5', body: { detail: TOLD } });
    }
    for (const query of [
      submit,
      `mutation { deleteJob(id: "${done}") { __typename } }`,
      `mutation { retryJob(id: "${done}") { __typename } }`,
    ]) {
      const extensions = { code: 'STORE_UNAVAILABLE', retryAfterSeconds: 5 };
      const body = { errors: [{ message: TOLD, extensions }] };
      expect(await graphql(gateway, query)).toMatchObject({ status: 503, retryAfter: '5', body });
    }

    proxy.let('all');
    // The job that was to be deleted is still there and complete, and nothing else.
    expect(await jobsOf(gateway)).toEqual([done]);
    expect((await fetch(`${gateway.url}/download/${done}`)).status).toBe(200);
    // The key is still unused.
    expect((await graphql(gateway, submit)).body).toEqual({ data: { editImage: { __typename: 'EditJob' } } });
    const [made = ''] = (await jobsOf(gateway)).filter(id => id !== done);
    expect(await waitForEnd(gateway.url, made)).toMatchObject({ status: 'COMPLETED' });
    for (const id of [done, made]) {
      expect((await rest(gateway, `/jobs/${id}`, { method: 'DELETE' })).status).toBe(200);
    }
    expect(await keysAt(url)).toEqual([]);
    await gateway.close();
    await proxy.stop();
  });
});

async function keysAt(url: string): Promise<string[]> {
  const parsed = parseArtifactsUrl(url);
  if (!parsed.ok) throw new Error(parsed.fault);
  const options = { location: parsed.value, signedUrls: false, now: Date.now, log: recordLog() };
  const { artifacts, close } = await openArtifacts(options);
  const found = await artifacts.list('');
  await close();
  return found.map(({ key }) => key);
}
