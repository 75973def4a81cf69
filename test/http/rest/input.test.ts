import { globSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../../support/gateway.ts';
import {
  API_KEYS,
  as,
  fetchJson,
  KEYS,
  postGraphQL,
  submit,
  submitByGraphQL,
} from '../../support/requests.ts';

const IMAGES = `query ($id: ID!) {
  job(id: $id) { request { images { id slot url mimeType bytes } } images { id url } preview { id } }
}`;
const jobSchema = z.object({
  job: z.object({
    request: z.object({
      images: z.array(
        z.object({
          id: z.string(),
          slot: z.number(),
          url: z.string().nullable(),
          mimeType: z.string(),
          bytes: z.number(),
        }),
      ),
    }),
    images: z.array(z.object({ id: z.string(), url: z.string() })),
    preview: z.object({ id: z.string() }).nullable(),
  }),
});

describe('the input images of a job', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ API_KEYS });
  });
  afterAll(() => rig.close());

  const alice = as(KEYS.alice);
  const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer());
  const original = async (name: string): Promise<Buffer> => bytesOf(await fetch(`${rig.images.url}/${name}`));
  const get = (url: string | null, headers = alice, init: RequestInit = {}): Promise<Response> =>
    fetch(url ?? '', { ...init, headers: { ...headers, ...init.headers } });

  /** A URL of the gateway that begins so, with a signature. */
  const signed = (path: string): unknown => expect.stringContaining(`${rig.url}${path}expires=`);

  async function jobOf(id: string) {
    return jobSchema.parse((await postGraphQL(rig.url, IMAGES, { id }, alice)).data).job;
  }

  const statusOf = async (id: string): Promise<unknown> =>
    (await fetchJson(`${rig.url}/status/${id}?wait=5`, { headers: alice })).body.status;
  const completed = (id: string) => expect.poll(() => statusOf(id)).toBe('completed');

  it('have ids and URLs that send the bytes as they were given, as images only', async () => {
    const images = [{ url: `${rig.images.url}/red.png` }, { url: `${rig.images.url}/blue.jpg` }];
    const id = await submitByGraphQL(rig, { images }, alice);
    const { request } = await jobOf(id);
    expect(request.images).toMatchObject([
      { id: `${id}:input:1`, slot: 1, url: signed(`/input/${id}?slot=1&`), mimeType: 'image/png' },
      { id: `${id}:input:2`, slot: 2, url: signed(`/input/${id}?slot=2&`), mimeType: 'image/jpeg' },
    ]);
    for (const [index, name] of ['red.png', 'blue.jpg'].entries()) {
      const { url = null, mimeType, bytes } = request.images[index] ?? {};
      const response = await get(url);
      expect(response.status).toBe(200);
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'content-type': mimeType,
        'content-length': String(bytes),
        'content-disposition': expect.stringMatching(/^inline; filename="input_image_/),
        'x-content-type-options': 'nosniff',
        'content-security-policy': expect.stringContaining("default-src 'none'"),
        'cache-control': 'private, no-store',
      });
      expect(await bytesOf(response)).toEqual(await original(name));
      const head = await get(url, alice, { method: 'HEAD' });
      expect([head.status, head.headers.get('content-length')]).toEqual([200, String(bytes)]);
      const etag = head.headers.get('etag') ?? '';
      expect((await get(url, alice, { headers: { 'if-none-match': etag } })).status).toBe(304);
    }
    expect((await bytesOf(await get(`${rig.url}/input/${id}`))).length).toBe(request.images[0]?.bytes);
  });

  it('are visible to their owner and operators only', async () => {
    const id = await submit(rig, {}, alice);
    const url = `${rig.url}/input/${id}`;
    const seen = async (of: string, key: string | null) => {
      const response = await get(of, as(key));
      return { status: response.status, body: (await response.text()).replace(id, 'ID') };
    };
    expect(await seen(url, KEYS.bob)).toEqual(await seen(`${rig.url}/input/none`, KEYS.bob));
    expect((await seen(url, KEYS.bob)).status).toBe(404);
    expect((await seen(url, null)).status).toBe(401);
    expect((await seen(url, KEYS.olga)).status).toBe(200);
  });

  it.each([
    ['slot=mask', 404, 'Image file not found'],
    ['slot=2', 404, 'Image file not found'],
    ['slot=0', 400, 'slot takes 1, 2, 3 or mask, got "0"'],
    ['slot=../1', 400, 'slot takes 1, 2, 3 or mask, got "../1"'],
  ])('are %s: %i', async (query, status, detail) => {
    const id = await submit(rig, {}, alice);
    const response = await get(`${rig.url}/input/${id}?${query}`);
    expect([response.status, await response.json()]).toEqual([status, { detail }]);
  });

  it('have no URL when their file is gone, and are deleted with their job', async () => {
    const large = { image1_url: `${rig.images.url}/noise.png` };
    const id = await submit(rig, large, alice);
    const files = () => globSync(`**/${id}-1.png`, { cwd: rig.dataDir });
    expect(files()).toHaveLength(1);
    const other = await submit(rig, large, alice);
    await completed(id);
    await rm(join(rig.dataDir, files()[0] ?? ''));
    expect((await jobOf(id)).request.images[0]?.url).toBeNull();
    expect((await get(`${rig.url}/input/${id}`)).status).toBe(404);

    await completed(other);
    await fetch(`${rig.url}/jobs/${other}`, { method: 'DELETE', headers: alice });
    expect((await get(`${rig.url}/input/${other}`)).status).toBe(404);
    expect(globSync(`**/${other}-1.png`, { cwd: rig.dataDir })).toEqual([]);
  });

  it('have ids like the other images of the job', async () => {
    const id = await submit(rig, {}, alice);
    await completed(id);
    expect((await jobOf(id)).images).toEqual([{ id: `${id}:output:0`, url: signed(`/download/${id}?`) }]);
  });
});
