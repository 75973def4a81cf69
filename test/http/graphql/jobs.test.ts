import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestEngine, type TestEngine } from '../../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { submitByGraphQL } from '../../support/requests.ts';
import { watchOverSse, watchOverWebSocket } from '../../support/watch.ts';

let rig: Rig;
let engine: TestEngine;
beforeAll(async () => {
  engine = await startTestEngine({ stepMs: 30 });
  rig = await startRig({ COMFYUI_URL: engine.url });
});
afterAll(async () => {
  await rig.close();
  await engine.stop();
});

const status = async (id: string): Promise<string | undefined> =>
  (
    await rig.graphql<{ job: { status: string } | null }>('query ($id: ID!) { job(id: $id) { status } }', {
      id,
    })
  ).data?.job?.status;

/** Resolves when the job has taken some steps. */
async function sampling(id: string): Promise<void> {
  const enough = new Error('far enough');
  await expect(
    watchOverWebSocket(rig.url, id, ({ step }) => {
      if ((step ?? 0) >= 2) throw enough;
    }),
  ).rejects.toBe(enough);
}

describe('cancel and delete', () => {
  it('stop only the running job, and free the GPU', async () => {
    const first = await submitByGraphQL(rig, { steps: 100, megapixels: 0.25 });
    await sampling(first);
    const second = await submitByGraphQL(rig, { steps: 3, megapixels: 0.25 });
    const { data } = await rig.graphql<{ cancelJob: { status: string } }>(
      'mutation ($id: ID!) { cancelJob(id: $id) { ... on EditJob { status } } }',
      { id: first },
    );
    expect(data?.cancelJob.status).toBe('CANCELED');
    expect((await watchOverSse(rig.url, second)).at(-1)).toMatchObject({ status: 'COMPLETED' });
    const stats = await engine.stats();
    expect(Object.keys(stats.interrupted)).toHaveLength(1);
    expect(stats.running).toBeNull();
  });

  it('remove a job from the engine’s queue and from ours', async () => {
    const ids = [await submitByGraphQL(rig, { steps: 100, megapixels: 0.25 })];
    await sampling(ids[0] ?? '');
    // The second waits in the engine, the others here.
    ids.push(await submitByGraphQL(rig, { steps: 2, megapixels: 0.25 }));
    await expect.poll(async () => (await engine.stats()).pending).toHaveLength(1);
    ids.push(await submitByGraphQL(rig, { steps: 2, megapixels: 0.25 }));
    ids.push(await submitByGraphQL(rig, { steps: 2, megapixels: 0.25 }));
    const before = await engine.stats();
    expect(before.pending).toHaveLength(1);
    for (const id of [ids[1], ids[3], ids[0]]) {
      await rig.graphql('mutation ($id: ID!) { cancelJob(id: $id) { __typename } }', { id });
      expect(await status(id ?? '')).toBe('CANCELED');
    }
    expect((await watchOverWebSocket(rig.url, ids[2] ?? '')).at(-1)).toMatchObject({ status: 'COMPLETED' });
    const after = await engine.stats();
    expect(Object.keys(after.executed).length - Object.keys(before.executed).length).toBe(1);
    expect(after.pending).toEqual([]);
  });

  it('remove the record, the inputs and the outputs', async () => {
    // A file and a row of the job file.
    const images = [{ url: `${rig.images.url}/noise.png` }, { url: `${rig.images.url}/red.png` }];
    const id = await submitByGraphQL(rig, { images, steps: 1, megapixels: 0.25 });
    await watchOverWebSocket(rig.url, id);
    expect((await fetch(`${rig.url}/download/${id}`)).status).toBe(200);
    for (const slot of [1, 2]) {
      expect((await fetch(`${rig.url}/input/${id}?slot=${slot}`)).status).toBe(200);
    }
    const remove =
      'mutation ($id: ID!) { deleteJob(id: $id) { __typename ... on EditDeletedJob { jobId } } }';
    expect(await rig.graphql(remove, { id })).toEqual({
      data: { deleteJob: { __typename: 'EditDeletedJob', jobId: id } },
    });
    expect(await rig.graphql(remove, { id })).toEqual({
      data: { deleteJob: { __typename: 'EditJobNotFound' } },
    });
    expect((await fetch(`${rig.url}/download/${id}`)).status).toBe(404);
    const { readdir } = await import('node:fs/promises');
    const files = await readdir(rig.dataDir, { recursive: true });
    expect(files.filter(file => file.includes(id) && /\.\w+$/.test(file))).toEqual([]);
  });

  it('stop a job that is deleted while it runs, and end its subscriptions', async () => {
    const id = await submitByGraphQL(rig, { steps: 100, megapixels: 0.25 });
    const watching = watchOverWebSocket(rig.url, id);
    await sampling(id);
    await rig.graphql('mutation ($id: ID!) { deleteJob(id: $id) { __typename } }', { id });
    expect((await watching).at(-1)).toMatchObject({ status: 'CANCELED' });
    expect((await engine.stats()).running).toBeNull();
    expect(await status(id)).toBeUndefined();
  });
});

describe('jobs', () => {
  it('are paged newest first and filtered by status', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      const id = await submitByGraphQL(rig, { steps: 1, megapixels: 0.25 });
      await watchOverWebSocket(rig.url, id);
      ids.unshift(id);
    }
    const query = `query ($first: Int, $after: String) {
      jobs(first: $first, after: $after, status: [COMPLETED]) { edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }
    }`;
    interface Page {
      jobs: {
        edges: { cursor: string; node: { id: string } }[];
        pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; endCursor: string };
      };
    }
    const first = (await rig.graphql<Page>(query, { first: 2 })).data?.jobs;
    expect(first?.edges.map(({ node }) => node.id)).toEqual(ids.slice(0, 2));
    expect(first?.pageInfo).toEqual({
      hasNextPage: true,
      hasPreviousPage: false,
      startCursor: first?.edges[0]?.cursor,
      endCursor: first?.edges[1]?.cursor,
    });
    const next = (await rig.graphql<Page>(query, { first: 1, after: first?.pageInfo.endCursor })).data?.jobs;
    expect(next?.edges[0]?.node.id).toBe(ids[2]);
    expect(next?.pageInfo.hasPreviousPage).toBe(true);
    expect((await rig.graphql(query, { after: 'nonsense' })).errors?.[0]?.message).toMatch(
      /a cursor of a page/,
    );
    expect((await rig.graphql(query, { first: 101 })).errors?.[0]?.message).toMatch(/0 to 100/);
  });

  it('are submitted again by retryJob with the same request', async () => {
    const id = await submitByGraphQL(rig, { steps: 1, megapixels: 0.25, seed: '7' });
    await watchOverWebSocket(rig.url, id);
    const retry =
      'mutation ($id: ID!) { retryJob(id: $id) { ... on EditJob { id request { seed prompt } } } }';
    const { data } = await rig.graphql<{ retryJob: { id: string; request: object } }>(retry, { id });
    expect(data?.retryJob).toMatchObject({ request: { seed: '7', prompt: 'x' } });
    expect(data?.retryJob.id).not.toBe(id);
    expect((await watchOverWebSocket(rig.url, data?.retryJob.id ?? '')).at(-1)).toMatchObject({
      status: 'COMPLETED',
    });
  });

  it('have one code for an unknown id, and one for a job that has not ended', async () => {
    const id = await submitByGraphQL(rig, { steps: 100, megapixels: 0.25 });
    const errors = '... on EditError { __typename code retryable }';
    const mutation = `mutation ($id: ID!, $unknown: ID!) {
      cancel: cancelJob(id: $unknown) { ${errors} }
      delete: deleteJob(id: $unknown) { ${errors} ... on EditJobNotFound { jobId } }
      retry: retryJob(id: $unknown) { ${errors} }
      early: retryJob(id: $id) { ${errors} }
      stop: cancelJob(id: $id) { __typename }
    }`;
    const notFound = { __typename: 'EditJobNotFound', code: 'JOB_NOT_FOUND', retryable: false };
    expect((await rig.graphql(mutation, { id, unknown: 'none' })).data).toEqual({
      cancel: notFound,
      delete: { ...notFound, jobId: 'none' },
      retry: notFound,
      early: { __typename: 'EditJobNotFinal', code: 'JOB_NOT_FINAL', retryable: true },
      stop: { __typename: 'EditJob' },
    });
  });

  it('are null for an unknown id', async () => {
    expect(await status('nobody')).toBeUndefined();
    await expect(watchOverWebSocket(rig.url, 'nobody')).rejects.toThrow(/Job not found/);
  });
});

describe('engines and workflows', () => {
  it('list engines and what they can run', async () => {
    const { data } = await rig.graphql<{
      engines: object[];
      workflows: { name: string; runnable: boolean }[];
    }>(
      '{ engines { state sandbox version targetedInterrupt workflows } workflows { name runnable problems } }',
    );
    expect(data?.engines).toEqual([
      expect.objectContaining({ state: 'READY', sandbox: true, version: '0.8.0', targetedInterrupt: true }),
    ]);
    expect(data?.workflows.find(({ name }) => name === 'qwen-image-edit-plus')?.runnable).toBe(true);
    expect(data?.workflows.find(({ name }) => name === 'qwen-image-edit-plus-nunchaku')).toMatchObject({
      runnable: false,
      problems: [expect.stringContaining('NunchakuQwenImageDiTLoader')],
    });
  });

  it('a drained engine finishes its jobs and takes no more', async () => {
    const { data } = await rig.graphql<{ engines: { id: string }[] }>('{ engines { id } }');
    const id = data?.engines[0]?.id;
    const running = await submitByGraphQL(rig, { steps: 20, megapixels: 0.25 });
    await sampling(running);
    const drain =
      'mutation ($id: ID!, $drained: Boolean!) { setEngineState(id: $id, drained: $drained) { ... on EditEngine { state } ... on EditError { __typename code retryable } ... on EditEngineNotFound { engineId } } }';
    expect(await rig.graphql(drain, { id, drained: true })).toEqual({
      data: { setEngineState: { state: 'DRAINED' } },
    });
    const waiting = await submitByGraphQL(rig, { steps: 1, megapixels: 0.25 });
    expect((await watchOverWebSocket(rig.url, running)).at(-1)).toMatchObject({ status: 'COMPLETED' });
    expect(await status(waiting)).toBe('QUEUED');
    await rig.graphql(drain, { id, drained: false });
    expect((await watchOverWebSocket(rig.url, waiting)).at(-1)).toMatchObject({ status: 'COMPLETED' });
    const notFound = {
      __typename: 'EditEngineNotFound',
      code: 'ENGINE_NOT_FOUND',
      retryable: false,
      engineId: 'none',
    };
    expect(await rig.graphql(drain, { id: 'none', drained: true })).toEqual({
      data: { setEngineState: notFound },
    });
  });
});

describe('GraphiQL', () => {
  it('is served to browsers without external resources', async () => {
    const page = await fetch(`${rig.url}/graphql`, { headers: { accept: 'text/html' } });
    expect(page.headers.get('content-type')).toMatch(/text\/html/);
    const html = await page.text();
    expect(html).toContain('YogaGraphiQL');
    expect(html).not.toMatch(/<(script|link)[^>]+(src|href)="https?:/);
  });
});
