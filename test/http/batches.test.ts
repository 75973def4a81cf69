import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { API_KEYS, as, fetchJson, KEYS, postGraphQL, postJson, submit } from '../support/requests.ts';
import { openSocket } from '../support/sockets.ts';

let engine: TestEngine;
let rig: Rig;
beforeAll(async () => {
  engine = await startTestEngine();
  rig = await startRig({ API_KEYS, COMFYUI_URL: engine.url, MAX_QUEUE: '2000' });
});
afterAll(async () => {
  await rig.close();
  await engine.stop();
});
beforeEach(() => engine.fault({}));

const alice = as(KEYS.alice);
const edit = (fields: object = {}) => ({
  images: [{ url: `${rig.images.url}/noise.png` }],
  prompt: 'x',
  steps: 1,
  megapixels: 0.1,
  ...fields,
});
const restEdit = (fields: object = {}) => ({
  image1_url: `${rig.images.url}/noise.png`,
  prompt: 'x',
  steps: 1,
  megapixels: 0.1,
  ...fields,
});

const FIELDS = 'id total queued processing completed failed canceled removed ended progress etaSeconds';
const batchFields = z.object({
  id: z.string(),
  total: z.number(),
  queued: z.number(),
  processing: z.number(),
  completed: z.number(),
  failed: z.number(),
  canceled: z.number(),
  removed: z.number(),
  ended: z.boolean(),
  progress: z.number(),
  etaSeconds: z.number().nullable(),
});
type Batch = z.output<typeof batchFields>;
const fault = z.object({ code: z.string(), message: z.string(), field: z.string().nullish() });

const EDIT_IMAGES = `mutation ($input: EditImagesInput!) {
  editImages(input: $input) {
    ... on EditBatch { ${FIELDS} }
    ... on EditError { code message }
    ... on EditInvalidInput { field }
    ... on EditImageRejected { field }
  }
}`;

async function editImages(input: object, headers = alice): Promise<unknown> {
  const { data } = await postGraphQL(rig.url, EDIT_IMAGES, { input }, headers);
  return z.object({ editImages: z.unknown() }).parse(data).editImages;
}
const submitMany = async (input: object, headers = alice): Promise<Batch> =>
  batchFields.parse(await editImages(input, headers));
const rejection = async (input: object) => fault.parse(await editImages(input));

const JOBS = `query ($id: ID!, $first: Int, $after: String, $status: [EditJobStatus!]) {
  batch(id: $id) {
    ${FIELDS}
    jobs(first: $first, after: $after, status: $status) {
      nodes { id status batchId request { prompt seed images { sha256: bytes source } } }
      pageInfo { hasNextPage hasPreviousPage endCursor }
      totalCount
    }
  }
}`;
const jobsOf = z.object({
  batch: batchFields.extend({
    jobs: z.object({
      nodes: z.array(
        z.object({
          id: z.string(),
          status: z.string(),
          batchId: z.string(),
          request: z.object({ prompt: z.string(), seed: z.string() }),
        }),
      ),
      pageInfo: z.object({ hasNextPage: z.boolean(), endCursor: z.string().nullable() }),
      totalCount: z.number(),
    }),
  }),
});
async function read(id: string, page: object = { first: 100 }) {
  return jobsOf.parse((await postGraphQL(rig.url, JOBS, { id, ...page }, alice)).data).batch;
}

/** Every state of a batch over a WebSocket, up to the end of the subscription. */
async function watch(batchId: string, maxPerSecond = 60): Promise<Batch[]> {
  const socket = await openSocket(rig.url, { apiKey: KEYS.alice });
  const query = `subscription ($batchId: ID!, $maxPerSecond: Float) {
    batchProgress(batchId: $batchId, maxPerSecond: $maxPerSecond) { ${FIELDS} }
  }`;
  socket.send({ id: 'w', type: 'subscribe', payload: { query, variables: { batchId, maxPerSecond } } });
  const next = z.object({ data: z.object({ batchProgress: batchFields }) });
  const states: Batch[] = [];
  for (;;) {
    const { type, payload } = await socket.of('w');
    if (type === 'complete') break;
    states.push(next.parse(payload).data.batchProgress);
  }
  socket.socket.close();
  return states;
}

/** The input images that are stored as files: those of noise are too large for rows. */
const storedInputs = async (): Promise<string[]> => {
  const files = await readdir(join(rig.dataDir, 'artifacts'), { recursive: true });
  return files.filter(file => /^inputs\/.*\.(png|jpg|webp)$/.test(file)).toSorted();
};
const jobCount = async (): Promise<number> => {
  const { data } = await postGraphQL(rig.url, '{ jobs(first: 0) { totalCount } }', {}, as(KEYS.olga));
  return z.object({ jobs: z.object({ totalCount: z.number() }) }).parse(data).jobs.totalCount;
};

describe('editImages', () => {
  it('submits edits as a batch whose progress rises to the end, and loads an image that they share once', async () => {
    const before = await storedInputs();
    const url = `${rig.images.url}/noise-shared.png`;
    const batch = await submitMany({
      edits: ['a', 'b', 'c'].map(prompt => edit({ prompt, images: [{ url }] })),
    });
    expect(batch).toMatchObject({ total: 3, ended: false, progress: 0, removed: 0 });
    const states = await watch(batch.id);
    expect(states.at(-1)).toMatchObject({
      completed: 3,
      queued: 0,
      ended: true,
      progress: 100,
      etaSeconds: null,
    });
    expect(states.filter(({ ended }) => ended)).toHaveLength(1);
    const progress = states.map(state => state.progress);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    expect(states.length).toBeGreaterThan(2);

    const { jobs } = await read(batch.id);
    expect(jobs.nodes.map(({ request }) => request.prompt)).toEqual(['a', 'b', 'c']);
    expect(jobs.nodes.every(({ batchId }) => batchId === batch.id)).toBe(true);
    expect(jobs.totalCount).toBe(3);
    expect(rig.images.requested.filter(path => path === '/noise-shared.png')).toHaveLength(1);
    const added = (await storedInputs()).filter(file => !before.includes(file));
    expect(added).toHaveLength(1);

    // The image goes with the last job, and the batch too.
    for (const [index, { id }] of jobs.nodes.entries()) {
      expect(await storedInputs()).toEqual(expect.arrayContaining(added));
      expect((await fetchJson(`${rig.url}/jobs/${id}`, { method: 'DELETE', headers: alice })).status).toBe(
        200,
      );
      const { data } = await postGraphQL(
        rig.url,
        `{ batch(id: "${batch.id}") { removed total } }`,
        {},
        alice,
      );
      expect(data).toEqual({ batch: index === 2 ? null : { removed: index + 1, total: 3 } });
    }
    expect(await storedInputs()).toEqual(before);
  });

  it('pages through the jobs of a batch, and filters them by status', async () => {
    const { id } = await submitMany({ edits: [edit({ variations: 5, seed: '7' })] });
    await watch(id);
    const first = await read(id, { first: 3 });
    expect(first.jobs.pageInfo.hasNextPage).toBe(true);
    const second = await read(id, { first: 3, after: first.jobs.pageInfo.endCursor });
    expect(second.jobs.pageInfo.hasNextPage).toBe(false);
    const seeds = [...first.jobs.nodes, ...second.jobs.nodes].map(({ request }) => request.seed);
    expect(seeds).toEqual(['7', '8', '9', '10', '11']);
    expect((await read(id, { first: 10, status: ['COMPLETED'] })).jobs.nodes).toHaveLength(5);
    expect((await read(id, { first: 10, status: ['ERROR'] })).jobs).toMatchObject({
      nodes: [],
      totalCount: 0,
    });
  });

  it('makes variations with seeds that follow each other, or with different random ones', async () => {
    const last = '18446744073709551615';
    const { id } = await submitMany({
      edits: [edit({ variations: 3, seed: last }), edit({ variations: 4 }), edit({ seed: 5 })],
    });
    const seeds = (await read(id)).jobs.nodes.map(({ request }) => request.seed);
    expect(seeds.slice(0, 3)).toEqual([last, '0', '1']);
    expect(new Set(seeds.slice(3, 7)).size).toBe(4);
    expect(seeds[7]).toBe('5');
    const single = await postGraphQL(
      rig.url,
      `mutation ($input: EditImageInput!) { editImage(input: $input) { __typename ... on EditInvalidInput { field message } } }`,
      { input: edit({ variations: 2 }) },
      alice,
    );
    expect(single.data).toEqual({
      editImage: {
        __typename: 'EditInvalidInput',
        field: 'variations',
        message: expect.stringMatching(/^variations takes 1 in editImage, got 2/),
      },
    });
  });

  it.each([
    ['a setting', { steps: 0 }, 'INVALID_INPUT', 'edits.1.steps', /^edits\.1\.steps takes an integer/],
    ['a workflow', { workflow: 'none' }, 'WORKFLOW_INVALID', 'edits.1.workflow', /^edits\.1\.workflow /],
    [
      'variations',
      { variations: 0 },
      'INVALID_INPUT',
      'edits.1.variations',
      /takes an integer from 1 to 1000/,
    ],
    ['a key', { idempotencyKey: 'k' }, 'INVALID_INPUT', 'edits.1.idempotencyKey', /one key for all edits/],
  ])('names the edit with %s that is invalid, and stores none', async (_, fields, code, field, message) => {
    const jobs = await jobCount();
    const found = await rejection({ edits: [edit(), edit(fields), edit()] });
    expect(found).toEqual({ code, field, message: expect.stringMatching(message) });
    expect(await jobCount()).toBe(jobs);
  });

  it('names the edit with an image that cannot be loaded, and keeps no image of the others', async () => {
    const [jobs, inputs] = [await jobCount(), await storedInputs()];
    const url = (name: string) => ({ url: `${rig.images.url}/${name}` });
    const edits = [
      edit({ images: [url('noise-one.png')] }),
      edit({ images: [url('noise.png'), url('page.html')] }),
      edit({ images: [url('noise.png')] }),
    ];
    expect(await rejection({ edits })).toEqual({
      code: 'INPUT_NOT_AN_IMAGE',
      field: 'edits.1.images.1',
      message: expect.stringMatching(/^edits\.1\.images\.1: /),
    });
    const shared = await rejection({
      edits: [edit(), ...[1, 2].map(() => edit({ images: [url('missing.png')] }))],
    });
    expect(shared).toMatchObject({ code: 'INPUT_UNREACHABLE', field: 'edits.1.images.0' });
    expect(await jobCount()).toBe(jobs);
    expect(await storedInputs()).toEqual(inputs);
  });

  it('takes 1 to 1000 jobs, each variation counted', async () => {
    expect(await rejection({ edits: [] })).toMatchObject({
      field: 'edits',
      message: expect.stringContaining('got 0'),
    });
    const many = await rejection({ edits: [edit({ variations: 1_000 }), edit()] });
    expect(many).toMatchObject({
      field: 'edits',
      message: expect.stringMatching(/^edits takes 1 to 1000 .* got 1001$/),
    });
  });

  it('returns the same batch for a repeated key, and stores one of two that arrive together', async () => {
    const input = {
      edits: [edit({ prompt: 'once' }), edit({ prompt: 'twice', variations: 2 })],
      idempotencyKey: 'b',
    };
    const [one, other] = await Promise.all([submitMany(input), submitMany(input)]);
    expect(one.id).toBe(other.id);
    await watch(one.id);
    expect(await submitMany(input)).toMatchObject({ id: one.id, ended: true });
    expect(await rejection({ ...input, edits: [edit()] })).toMatchObject({ field: 'idempotencyKey' });
    const bobs = await submitMany(input, as(KEYS.bob));
    expect(bobs.id).not.toBe(one.id);
  });

  it('is unknown to other callers', async () => {
    const { id } = await submitMany({ edits: [edit()] });
    const bob = as(KEYS.bob);
    const query = `mutation { cancelBatch(batchId: "${id}") { __typename ... on EditError { code } } }`;
    const { data } = await postGraphQL(rig.url, query, {}, bob);
    expect(data).toEqual({ cancelBatch: { __typename: 'EditBatchNotFound', code: 'BATCH_NOT_FOUND' } });
    expect((await fetchJson(`${rig.url}/batches/${id}`, { headers: bob })).status).toBe(404);
    expect(await watch(id)).not.toEqual([]);
  });
});

describe('a batch that is canceled or fails', () => {
  it('cancels what has not ended, while it runs', async () => {
    await engine.fault({ stepMs: 200 });
    const { id } = await submitMany({ edits: [edit({ variations: 40, steps: 20 })] });
    const watching = watch(id);
    const query = `mutation { cancelBatch(batchId: "${id}") { ... on EditBatch { ${FIELDS} } } }`;
    const { data } = await postGraphQL(rig.url, query, {}, alice);
    const { cancelBatch } = z.object({ cancelBatch: batchFields }).parse(data);
    expect(cancelBatch).toMatchObject({ queued: 0, processing: 0, ended: true, progress: 100 });
    expect(cancelBatch.canceled + cancelBatch.completed).toBe(40);
    expect((await watching).at(-1)).toEqual(cancelBatch);
    await engine.fault({ stepMs: 0 });
  });

  it('submits what failed again, as a new batch with the same requests', async () => {
    const before = await storedInputs();
    await engine.fault({ failNode: { class: 'VAEDecode', message: 'broken' } });
    const { id } = await submitMany({
      edits: [edit({ prompt: 'p', variations: 2, seed: '1' }), edit({ prompt: 'q' })],
    });
    expect((await watch(id)).at(-1)).toMatchObject({ failed: 3, completed: 0, ended: true, progress: 100 });
    await engine.fault({ failNode: null });

    const retry = `mutation ($id: ID!) { retryFailed(batchId: $id) { ... on EditBatch { ${FIELDS} } ... on EditError { code message } } }`;
    const again = await postGraphQL(rig.url, retry, { id }, alice);
    const { retryFailed } = z.object({ retryFailed: batchFields }).parse(again.data);
    expect(retryFailed).toMatchObject({ total: 3, queued: 3 });
    expect((await watch(retryFailed.id)).at(-1)).toMatchObject({ completed: 3, ended: true });
    const requests = async (batch: string) => (await read(batch)).jobs.nodes.map(job => job.request);
    expect(await requests(retryFailed.id)).toEqual(await requests(id));
    const nothing = await postGraphQL(rig.url, retry, { id: retryFailed.id }, alice);
    expect(nothing.data).toMatchObject({
      retryFailed: { code: 'INVALID_INPUT', message: expect.stringMatching(/^batchId /) },
    });
    // One image for each of the batches: all of their jobs share it.
    expect((await storedInputs()).length - before.length).toBe(2);
  });
});

describe('batches over REST', () => {
  const post = (body: object, headers: Record<string, string> = {}) =>
    postJson(`${rig.url}/edit-images`, body, { ...alice, ...headers });

  it('submits, watches and lists a batch', async () => {
    const submitted = await post({
      edits: [restEdit({ seed: 1, variations: '2' }), restEdit({ prompt: 'y', stepz: 1 })],
    });
    expect(submitted.status).toBe(200);
    const { batch_id: id, ...rest } = submitted.body;
    expect(rest).toEqual({
      total: 3,
      message: 'Image editing started',
      warnings: [expect.stringMatching(/^edits\.1: The unknown field "stepz" was ignored/)],
    });
    expect(submitted.headers.get('location')).toBe(`/batches/${id}`);
    const events = await fetch(`${rig.url}/batches/${id}/events?max_per_second=60`, { headers: alice });
    const text = await events.text();
    const states = [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => JSON.parse(data));
    expect(states.at(-1)).toMatchObject({ batch_id: id, total: 3, completed: 3, ended: true, progress: 100 });
    expect(text).toMatch(/\nid: end\ndata: .*\n\n$/);
    const over = await fetch(`${rig.url}/batches/${id}/events`, {
      headers: { ...alice, 'last-event-id': 'end' },
    });
    expect(over.status).toBe(204);

    const now = await fetchJson(`${rig.url}/batches/${id}`, { headers: alice });
    expect(now.body).toEqual(states.at(-1));
    expect(now.headers.get('retry-after')).toBeNull();
    const page = await fetchJson(`${rig.url}/batches/${id}/jobs?limit=2`, { headers: alice });
    expect(page.headers.get('link')).toBe(`<${page.body.next}>; rel="next"`);
    const rest2 = await fetchJson(`${rig.url}${page.body.next}`, { headers: alice });
    const jobs = { ...Object(page.body.jobs), ...Object(rest2.body.jobs) };
    expect(Object.values(jobs)).toEqual([1, 2, 3].map(() => ({ status: 'completed', progress: 100 })));
    expect(rest2.body.next).toBeUndefined();
  });

  it('keeps every digit of a seed', async () => {
    const seed = '18446744073709551614';
    const { body } = await post({ edits: [restEdit({ seed })] });
    const exact = await postJson(
      `${rig.url}/edit-images`,
      JSON.stringify({ edits: [restEdit({ seed: 0 })] }).replace('"seed":0', `"seed":${seed}`),
      alice,
    );
    for (const id of [body.batch_id, exact.body.batch_id]) {
      expect((await read(String(id))).jobs.nodes[0]?.request.seed).toBe(seed);
    }
  });

  it.each([
    [{ edits: [restEdit0(), { prompt: 'x' }] }, 400, 'edits.1: Both image1_url and prompt are required'],
    [{ edits: [{ ...restEdit0(), steps: 0 }] }, 400, 'edits.0.steps takes an integer from 1 to 100, got 0'],
    [{ edits: [1] }, 400, 'edits.0 takes an object, got 1'],
    [{ edits: [] }, 400, 'edits takes 1 to 1000 edits, each variation counted, got 0'],
    [{ edit: [] }, 400, 'edits takes a list of edits, got nothing'],
    [{ edits: [{ ...restEdit0(), mask_url: 5 }] }, 400, /^edits\.0\.mask_url takes /],
  ])('rejects %j', async (body, status, detail) => {
    const answer = await post(body);
    expect(answer).toMatchObject({
      status,
      body: { detail: typeof detail === 'string' ? detail : expect.stringMatching(detail) },
    });
  });

  it('names the image that could not be loaded, rejects a used key, and variations in /edit-image', async () => {
    const missing = await post({ edits: [restEdit(), restEdit({ image2_url: `${rig.images.url}/text` })] });
    expect(missing.status).toBe(500);
    expect(missing.body.detail).toMatch(/^Failed to download file from URL: edits\.1\.image2_url: /);
    const key = { 'idempotency-key': 'rest' };
    const first = await post({ edits: [restEdit()] }, key);
    expect((await post({ edits: [restEdit()] }, key)).body).toEqual(first.body);
    expect((await post({ edits: [restEdit({ prompt: 'other' })] }, key)).status).toBe(409);
    const single = await postJson(`${rig.url}/edit-image`, restEdit({ variations: 2 }), alice);
    expect([single.status, single.body.detail]).toEqual([400, expect.stringMatching(/^variations takes 1 /)]);
  });

  it('cancels a batch and retries what failed of one', async () => {
    await engine.fault({ failNode: { class: 'VAEDecode', message: 'broken' } });
    const { body } = await post({ edits: [restEdit({ variations: 2 })] });
    await watch(String(body.batch_id));
    await engine.fault({ failNode: null, stepMs: 200 });
    const again = await postJson(`${rig.url}/batches/${body.batch_id}/retry`, {}, alice);
    expect(again.body).toMatchObject({ total: 2, message: 'Image editing started' });
    const canceled = await postJson(`${rig.url}/batches/${again.body.batch_id}/cancel`, {}, alice);
    expect(canceled.body).toMatchObject({ ended: true, queued: 0, processing: 0 });
    await engine.fault({ stepMs: 0 });
    const none = await postJson(`${rig.url}/batches/${again.body.batch_id}/retry`, {}, alice);
    expect([none.status, none.body]).toEqual([409, { detail: 'No job of the batch has failed' }]);
    const foreign = { ...alice, origin: 'https://other.example', 'sec-fetch-site': 'cross-site' };
    expect((await postJson(`${rig.url}/batches/${again.body.batch_id}/cancel`, {}, foreign)).status).toBe(
      403,
    );
  });
});

describe('fair share', () => {
  it('runs the job of another caller while a batch of a thousand waits', async () => {
    const { id } = await submitMany({ edits: [edit({ variations: 1_000 })] });
    const bob = as(KEYS.bob);
    const single = await submit(rig, {}, bob);
    // The stream ends with the job.
    const events = await (await fetch(`${rig.url}/events/${single}`, { headers: bob })).text();
    expect(events).toContain('"status":"completed"');
    const { completed, queued } = await read(id, { first: 0 });
    expect(completed).toBeLessThan(30);
    expect(queued).toBeGreaterThan(950);
    // 1,000 wait already, and the queue takes 2,000.
    expect(await rejection({ edits: [edit({ variations: 1_000 }), edit()] })).toMatchObject({
      code: 'INVALID_INPUT',
    });
    const canceled = await postJson(`${rig.url}/batches/${id}/cancel`, {}, alice);
    expect(canceled.body).toMatchObject({ ended: true, total: 1_000 });
  });
});

/** Of a table, which is made before there is a gateway. */
function restEdit0() {
  return { image1_url: 'data:image/png;base64,AAAA', prompt: 'x' };
}
