import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Client,
  createClient,
  type EditInput,
  GatewayError,
  type JobSnapshot,
  type TransportName,
} from '../../src/client/client.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import {
  type CutProxy,
  type RecordingProxy,
  startCutProxy,
  startRecordingProxy,
} from '../support/proxies.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '20ms' });
});
afterAll(() => rig.close());

function input(more: Partial<EditInput> = {}): EditInput {
  return { images: [`${rig.images.url}/red.png`], prompt: 'x', steps: 3, megapixels: 0.25, ...more };
}

/** Submits a valid edit. */
async function start(client: Client, more: Partial<EditInput> = {}): Promise<string> {
  const result = await client.edit(input(more));
  if (result.__typename !== 'EditJob') throw new Error(result.message);
  return result.id;
}

function expectRising(jobs: readonly JobSnapshot[]): void {
  const revisions = jobs.map(({ revision }) => revision);
  expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
}

/** The error that a promise rejects with. */
async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    value => {
      throw new Error(`resolved with ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
}

describe.each<TransportName>(['websocket', 'sse'])('the main job over %s', transport => {
  let client: Client;
  beforeAll(() => {
    client = createClient({ url: rig.url, transports: [transport] });
  });
  afterAll(() => client.close());

  it('submits an edit, watches it and downloads its image', async () => {
    const id = await start(client, { steps: 10 });
    const seen: JobSnapshot[] = [];
    for await (const job of client.watch(id)) seen.push(job);
    expectRising(seen);
    expect(seen.some(job => job.stage === 'SAMPLING')).toBe(true);
    const last = seen.at(-1);
    expect(last).toMatchObject({ status: 'COMPLETED', progress: 100 });

    const image = await client.download(id);
    expect(image.mimeType).toBe('image/png');
    expect(image.filename).toMatch(/\.png$/);
    const bytes = await image.bytes();
    expect(bytes.byteLength).toBe(image.size);
    expect(await sharp(bytes).metadata()).toMatchObject({ format: 'png', width: last?.images[0]?.width });
  });

  it('accepts bytes as input images and converts the output image', async () => {
    const bytes = new Uint8Array(await (await fetch(`${rig.images.url}/red.png`)).arrayBuffer());
    const id = await start(client, {
      images: [bytes, new Blob([bytes]), new URL(`${rig.images.url}/blue.jpg`)],
    });
    expect((await client.wait(id)).status).toBe('COMPLETED');
    const image = await client.download(id, { format: 'webp', quality: 50 });
    const chunks: Uint8Array[] = [];
    for await (const chunk of image.body) chunks.push(chunk);
    expect((await sharp(Buffer.concat(chunks)).metadata()).format).toBe('webp');
  });

  it('accepts every form of a seed, and loses no digit of a bigint', async () => {
    const seeds = [];
    for (const seed of [18446744073709551615n, '7', 5, 5n]) {
      const id = await start(client, { seed, steps: 1 });
      seeds.push((await client.request(id))?.seed);
    }
    expect(seeds).toEqual(['18446744073709551615', '7', '5', '5']);
  });

  it('uploads large images first, and accepts the id of an upload', async () => {
    const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const;
    const drawn = sharp({ create: { width: 500, height: 400, channels: 3, background: 'black', noise } });
    const image = new Blob([new Uint8Array(await drawn.png().toBuffer())]);
    expect(image.size).toBeGreaterThan(256 * 1024);
    const proxy = await startRecordingProxy(rig.url);
    const through = createClient({ url: proxy.url, transports: [transport] });
    const id = await start(through, { images: [image] });
    expect(proxy.passed).toHaveLength(2);
    expect(proxy.passed[0]?.headers['content-length']).toBe(String(image.size));
    expect(Number(proxy.passed[1]?.headers['content-length'])).toBeLessThan(5000);
    const uploadId = await through.upload(image);
    const again = await start(through, { images: [{ uploadId }, { url: `${rig.images.url}/red.png` }] });
    expect((await through.wait(id)).status).toBe('COMPLETED');
    expect((await through.wait(again)).status).toBe('COMPLETED');
    // With a key, the input must be the same each time.
    const keyed = { images: [image], idempotencyKey: crypto.randomUUID() };
    expect(await start(through, keyed)).toBe(await start(through, keyed));
    await through.close();
    await proxy.stop();
  });

  it('watches several jobs at once', async () => {
    const ids = await Promise.all([start(client), start(client), start(client)]);
    const ends = await Promise.all(ids.map(id => client.wait(id)));
    expect(ends.map(({ id, status }) => [id, status])).toEqual(ids.map(id => [id, 'COMPLETED']));
  });

  it('ends a watch at once on return(), even while next() waits', async () => {
    const id = await start(client, { steps: 50 });
    for await (const job of client.watch(id)) {
      if (job.status === 'PROCESSING') break;
    }
    const watch = client.watch(id);
    await watch.next();
    const waiting = (async () => {
      for (;;) if ((await watch.next()).done === true) return 'over';
    })();
    await watch.return?.();
    expect(await waiting).toBe('over');
    expect(await watch.next()).toEqual({ value: undefined, done: true });
    await client.cancel(id);
  });

  it('rejects with the signal’s reason when that aborts, and does not cancel the job', async () => {
    const id = await start(client, { steps: 30 });
    const leave = new AbortController();
    const reason = new Error('seen enough');
    const seen: JobSnapshot[] = [];
    const error = await failureOf(
      (async () => {
        for await (const job of client.watch(id, { signal: leave.signal })) {
          seen.push(job);
          if (job.status === 'PROCESSING') leave.abort(reason);
        }
      })(),
    );
    expect(error).toBe(reason);
    expect((await client.job(id))?.status).toBe('PROCESSING');
    expect((await client.cancel(id)).__typename).toBe('EditJob');
    expect(await failureOf(client.wait(id, { signal: AbortSignal.abort(reason) }))).toBe(reason);
  });

  it('rejects for an unknown job, and ends when the watched job is deleted', async () => {
    expect(await failureOf(client.wait('unknown'))).toMatchObject({ kind: 'not-found', retryable: false });
    const id = await start(client, { steps: 50 });
    const watch = client.watch(id);
    await watch.next();
    await client.delete(id);
    let last: JobSnapshot | undefined;
    for (let step = await watch.next(); step.done !== true; step = await watch.next()) last = step.value;
    expect(last?.status).toBe('CANCELED');
  });

  it('resumes after each cut of the connection', async () => {
    const proxy = await startCutProxy(rig.url);
    const through = createClient({ url: proxy.url, transports: [transport] });
    try {
      const id = await start(through, { steps: 40 });
      const seen: JobSnapshot[] = [];
      let cuts = 0;
      for await (const job of through.watch(id)) {
        seen.push(job);
        if (job.stage === 'SAMPLING' && (job.step ?? 0) >= 5 * (cuts + 1) && cuts < 3) {
          cuts += 1;
          proxy.cut();
        }
      }
      expect(cuts).toBe(3);
      expectRising(seen);
      expect(seen.at(-1)?.status).toBe('COMPLETED');
    } finally {
      await through.close();
      await proxy.stop();
    }
  });
});

describe('a blocked transport', () => {
  let proxy: CutProxy;
  beforeAll(async () => {
    proxy = await startCutProxy(rig.url);
  });
  afterAll(() => proxy.stop());

  it('is replaced by server-sent events, also for later watches', async () => {
    proxy.let('http');
    const client = createClient({ url: proxy.url });
    const ends = [];
    for (let n = 0; n < 2; n += 1) ends.push((await client.wait(await start(client))).status);
    expect(ends).toEqual(['COMPLETED', 'COMPLETED']);
    expect(proxy.upgraded).toBe(1);
    await client.close();
    proxy.let('all');
  });

  it('is retried until patience is over', async () => {
    const client = createClient({ url: proxy.url, patience: 500 });
    const id = await start(client, { steps: 50 });
    const watch = client.watch(id);
    await watch.next();
    proxy.let('nothing');
    proxy.cut();
    const error = await failureOf(
      (async () => {
        for (;;) if ((await watch.next()).done === true) return;
      })(),
    );
    expect(error).toBeInstanceOf(GatewayError);
    expect(error).toMatchObject({ kind: 'unreachable', retryable: true });
    proxy.let('all');
    await client.cancel(id);
    await client.close();
  });

  it('is used again when it reopens within patience', async () => {
    const client = createClient({ url: proxy.url });
    const id = await start(client, { steps: 30 });
    const seen: JobSnapshot[] = [];
    let madeBefore = 0;
    for await (const job of client.watch(id)) {
      seen.push(job);
      if (madeBefore > 0 || job.stage !== 'SAMPLING') continue;
      madeBefore = proxy.made;
      proxy.let('nothing');
      proxy.cut();
      const opener = setInterval(() => {
        if (proxy.made < madeBefore + 3) return;
        clearInterval(opener);
        proxy.let('all');
      }, 5);
    }
    expect(proxy.made).toBeGreaterThan(madeBefore + 3);
    expectRising(seen);
    expect(seen.at(-1)?.status).toBe('COMPLETED');
    await client.close();
  });

  it('does not cause a second job when the response to an edit was lost', async () => {
    const client = createClient({
      url: proxy.url,
      async fetch(url, init) {
        const answer = await fetch(url, init);
        lost += 1;
        if (lost < 3) throw new TypeError('the response was lost');
        return answer;
      },
    });
    let lost = 0;
    const prompt = crypto.randomUUID();
    const id = await start(client, { prompt });
    expect(lost).toBe(3);
    const { nodes } = await client.jobs({ first: 3 });
    expect(nodes[0]?.id).toBe(id);
    const { data } = await rig.graphql<{ jobs: { nodes: { request: { prompt: string } }[] } }>(
      '{ jobs(first: 100) { nodes { request { prompt } } } }',
    );
    expect(data?.jobs.nodes.filter(({ request }) => request.prompt === prompt)).toHaveLength(1);
    await client.close();
  });
});

describe('results', () => {
  let client: Client;
  beforeAll(() => {
    client = createClient({ url: rig.url });
  });
  afterAll(() => client.close());

  it('are discriminated by __typename', async () => {
    expect(await client.edit(input({ steps: 0 }))).toMatchObject({
      __typename: 'EditInvalidInput',
      code: 'INVALID_INPUT',
      field: 'steps',
    });
    expect(await client.edit(input({ images: [`${rig.images.url}/missing`] }))).toMatchObject({
      __typename: 'EditImageRejected',
      code: 'INPUT_UNREACHABLE',
      retryable: true,
      field: 'images.0',
    });
    expect(await client.cancel('unknown')).toMatchObject({ __typename: 'EditJobNotFound' });
    expect(await client.delete('unknown')).toMatchObject({ __typename: 'EditJobNotFound' });
    expect(await client.retry('unknown')).toMatchObject({ __typename: 'EditJobNotFound' });
    expect(await client.job('unknown')).toBeNull();
  });

  it('of a retry are a new job, or the one that has not ended', async () => {
    const id = await start(client, { steps: 50 });
    expect(await client.retry(id)).toMatchObject({ __typename: 'EditJobNotFinal', job: { id } });
    expect(await client.cancel(id)).toMatchObject({ __typename: 'EditJob', status: 'CANCELED' });
    const again = await client.retry(id);
    expect(again.__typename).toBe('EditJob');
    if (again.__typename !== 'EditJob') return;
    expect(again.id).not.toBe(id);
    expect(await client.delete(again.id)).toEqual({ __typename: 'EditDeletedJob', jobId: again.id });
  });

  it('of a list are pages', async () => {
    const ids = [await start(client, { steps: 1 }), await start(client, { steps: 1 })];
    const page = await client.jobs({ first: 1 });
    expect(page.nodes.map(({ id }) => id)).toEqual([ids[1]]);
    expect(page.pageInfo.hasNextPage).toBe(true);
    const next = await client.jobs({ first: 1, after: page.pageInfo.endCursor });
    expect(next.nodes.map(({ id }) => id)).toEqual([ids[0]]);
  });
});

describe('errors', () => {
  it('name the field that an input lacks, also where no types are checked', async () => {
    const client = createClient({ url: rig.url });
    const { images: _, ...none } = input();
    const unchecked = JSON.parse(JSON.stringify(none));
    expect(await failureOf(client.edit(unchecked))).toMatchObject({
      message: 'images takes a list, got undefined',
    });
    expect(await failureOf(client.editMany({ edits: [unchecked] }))).toMatchObject({
      message: 'images takes a list, got undefined',
    });
    expect(await failureOf(client.editMany(unchecked))).toMatchObject({
      message: 'edits takes a list, got undefined',
    });
    await client.close();
  });

  it('are thrown with their kind, status and code', async () => {
    const client = createClient({ url: rig.url });
    expect(await failureOf(client.jobs({ first: 101 }))).toMatchObject({
      name: 'GatewayError',
      kind: 'operation',
      code: 'BAD_USER_INPUT',
      message: expect.stringMatching(/0 to 100/),
    });
    expect(await failureOf(client.download('unknown'))).toMatchObject({
      kind: 'not-found',
      status: 404,
      message: 'Job not found',
    });
    const id = await start(client, { steps: 50 });
    expect(await failureOf(client.download(id))).toMatchObject({
      kind: 'refused',
      status: 400,
      message: expect.stringMatching(/not ready/),
    });
    await client.cancel(id);
    const unreachable = createClient({ url: 'http://127.0.0.1:9' });
    expect(await failureOf(unreachable.job('x'))).toMatchObject({ kind: 'unreachable', retryable: true });
    const elsewhere = createClient({ url: rig.images.url });
    expect(await failureOf(elsewhere.job('x'))).toMatchObject({ kind: 'refused', status: 404 });
    const wrong = new Response('<h1>Bad Gateway</h1>', {
      status: 502,
      headers: { 'content-type': 'text/html' },
    });
    const behind = createClient({ url: rig.url, fetch: async () => wrong });
    expect(await failureOf(behind.job('x'))).toMatchObject({ kind: 'refused', status: 502, retryable: true });
    const reason = new Error('stop');
    expect(await failureOf(client.edit(input(), { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(await failureOf(client.download('x', { signal: AbortSignal.abort(reason) }))).toBe(reason);
    await client.close();
  });
});

describe('credentials', () => {
  let proxy: RecordingProxy;
  beforeAll(async () => {
    proxy = await startRecordingProxy(rig.url);
  });
  afterAll(() => proxy.stop());

  it('are sent with every request, and in connection_init', async () => {
    let calls = 0;
    const headers = (): Record<string, string> => ({ 'x-request': `${++calls}` });
    const client = createClient({ url: proxy.url, apiKey: 'secret', headers });
    const id = await start(client, { steps: 1 });
    await client.wait(id);
    await (await client.download(id)).bytes();
    await client.close();
    expect(proxy.passed.map(({ kind }) => kind)).toEqual(['http', 'websocket', 'http']);
    expect(proxy.passed[0]?.headers).toMatchObject({ authorization: 'Bearer secret', 'x-request': '1' });
    expect(JSON.parse(proxy.passed[1]?.firstMessage ?? '')).toEqual({
      type: 'connection_init',
      payload: { authorization: 'Bearer secret', 'x-request': '2' },
    });
    expect(proxy.passed[2]?.headers).toMatchObject({ authorization: 'Bearer secret', 'x-request': '3' });
  });
});

describe('the bundle', () => {
  it('has no dependency but the client of graphql-ws: no parser or printer of GraphQL', async () => {
    const seen = new Map<string, string>();
    const visit = async (file: URL): Promise<void> => {
      if (seen.has(file.href)) return;
      const text = await readFile(file, 'utf8');
      seen.set(file.href, text);
      for (const [, clause, name = ''] of text.matchAll(/^(?:import|export)\b([^;]*?)from\s+'([^']+)'/gms)) {
        if (clause?.trimStart().startsWith('type ')) continue;
        if (name.startsWith('.')) await visit(new URL(name, file));
        else outside.add(name);
      }
    };
    const outside = new Set<string>();
    await visit(new URL('../../src/client/client.ts', import.meta.url));
    await visit(new URL(import.meta.resolve('graphql-ws/client')));
    expect([...outside]).toEqual(['graphql-ws/client']);
  });
});
