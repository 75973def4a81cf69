import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createSignedImageUrls } from '../../../src/jobs/image-urls.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, as, fetchJson, KEYS, postGraphQL } from '../../support/requests.ts';
import { openSocket } from '../../support/sockets.ts';

const job = z.object({
  job: z.object({
    images: z.array(z.object({ url: z.string() })),
    request: z.object({
      images: z.array(z.object({ url: z.string() })),
      mask: z.object({ url: z.string() }),
    }),
  }),
});

describe('where callers have keys, the URL of an image', () => {
  let rig: Rig;
  let id: string;
  let output: string;
  let input: string;
  let mask: string;
  beforeAll(async () => {
    rig = await startRig({ API_KEYS });
    const { body } = await fetchJson(`${rig.url}/edit-image`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...as(KEYS.alice) },
      body: JSON.stringify({
        image1_url: `${rig.images.url}/red.png`,
        mask_url: `${rig.images.url}/mask.png`,
        prompt: 'x',
        steps: 1,
        megapixels: 0.1,
      }),
    });
    id = String(body.job_id);
    const socket = await openSocket(rig.url, { apiKey: KEYS.alice });
    const query = 'subscription ($id: ID!) { jobProgress(jobId: $id) { status } }';
    socket.send({ id: 'w', type: 'subscribe', payload: { query, variables: { id } } });
    await socket.receive('complete', 'w');
    socket.socket.close();
    const answer = await postGraphQL(
      rig.url,
      'query ($id: ID!) { job(id: $id) { images { url } request { images { url } mask { url } } } }',
      { id },
      as(KEYS.alice),
    );
    const found = job.parse(answer.data).job;
    output = found.images[0]?.url ?? '';
    input = found.request.images[0]?.url ?? '';
    mask = found.request.mask.url;
  });
  afterAll(() => rig.close());

  const statusOf = async (url: string, init?: RequestInit): Promise<number> => {
    const response = await fetch(url, init);
    await response.body?.cancel();
    return response.status;
  };

  it('works as it is in an <img>, which sends no credentials', async () => {
    for (const url of [output, input, mask]) {
      const response = await fetch(url);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe('image/png');
      expect((await sharp(await response.arrayBuffer()).metadata()).width).toBeGreaterThan(0);
    }
    expect(await statusOf(output, { method: 'HEAD' })).toBe(200);
  });

  it('is the same in REST and stays the same for a while', async () => {
    const { body } = await fetchJson(`${rig.url}/status/${id}`, { headers: as(KEYS.alice) });
    expect(body.download_url).toMatch(new RegExp(`^/download/${id}\\?expires=\\d+&signature=[\\w-]+$`));
    expect(await statusOf(`${rig.url}${String(body.download_url)}`)).toBe(200);
  });

  it('may be given a format and a width', async () => {
    const response = await fetch(`${output}&format=webp&width=32`);
    expect(response.headers.get('content-type')).toBe('image/webp');
    expect((await sharp(await response.arrayBuffer()).metadata()).width).toBe(32);
  });

  it.each([
    ['for another image', () => `${output}&index=1`],
    ['for another kind of image', () => output.replace('/download/', '/input/')],
    ['for another job', () => output.replace(id, crypto.randomUUID())],
    ['for the metadata, which have the prompt', () => `${output}&metadata=keep`],
    ['for another time', () => output.replace(/expires=\d+/, 'expires=99999999999')],
    ['without a signature', () => output.replace(/&signature=.*/, '')],
    ['for the status', () => output.replace('/download/', '/status/')],
    ['with a signature that is not one', () => output.replace(/signature=.*/, 'signature=x&signature=y')],
  ])('is rejected %s', async (_, url) => {
    const answer = await fetchJson(url());
    expect(answer.status).toBe(401);
  });

  it('does not stand in for a wrong key', async () => {
    expect(await statusOf(output, { headers: as('wrong') })).toBe(401);
  });

  it('is gone with the job', async () => {
    await fetchJson(`${rig.url}/jobs/${id}`, { method: 'DELETE', headers: as(KEYS.alice) });
    expect(await statusOf(output)).toBe(404);
  });
});

describe('a signature', () => {
  const key = Buffer.alloc(32, 1);
  const verify = (url: string, now: number): string => {
    const { pathname, searchParams } = new URL(url, 'http://localhost');
    const urls = createSignedImageUrls({ key, lifetimeMs: 60_000, now: () => now });
    return urls.verify(pathname, Object.fromEntries(searchParams));
  };

  it.each([0, 1, 30_000, 59_999])('made at %d ms is valid for 60 s, at most for 120 s', at => {
    const url = createSignedImageUrls({ key, lifetimeMs: 60_000, now: () => at }).output('a', 0);
    expect(verify(url, at + 60_000 - 1)).toBe('valid');
    expect(verify(url, at + 120_000)).toBe('expired');
  });
});
