import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, as, KEYS, postGraphQL, postJson, submit } from '../../support/requests.ts';
import { openEvents } from '../../support/watch.ts';

const WORKFLOW = 'workflow:qwen-image-edit-plus';
const NODES = 'query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }';

let rig: Rig;
/** A completed job of Alice, edited with a mask. */
let job: string;
/** A batch of Alice. */
let batch: string;
beforeAll(async () => {
  rig = await startRig({ API_KEYS });
  const mask = { mask_url: `${rig.images.url}/red.png`, workflow: 'qwen-image-edit-plus-inpaint' };
  job = await submit(rig, mask, as(KEYS.alice));
  const edits = [{ image1_url: `${rig.images.url}/red.png`, prompt: 'x', steps: 1, megapixels: 0.1 }];
  const submitted = await postJson(`${rig.url}/edit-images`, { edits }, as(KEYS.alice));
  batch = z.object({ batch_id: z.string() }).parse(submitted.body).batch_id;
  const events = await openEvents(`${rig.url}/events/${job}?previews=false`, as(KEYS.alice));
  while ((await events.next()) !== null);
});
afterAll(() => rig.close());

async function nodes(ids: readonly unknown[], key = KEYS.alice): Promise<unknown> {
  const { data, errors } = await postGraphQL(rig.url, NODES, { ids }, as(key));
  expect(errors).toBeUndefined();
  return data?.nodes;
}

describe('node and nodes', () => {
  it('return each object that has an id, by the id that its own field gives', async () => {
    const fields = `{ job(id: "${job}") { id images { id } request { images { id } mask { id } } }
      engines { id } workflows { id } }`;
    const one = z.object({ id: z.string() });
    const given = z.object({
      job: one.extend({
        images: z.array(one),
        request: z.object({ images: z.array(one), mask: one }),
      }),
      engines: z.array(one),
      workflows: z.array(one),
    });
    const { data } = await postGraphQL(rig.url, fields, {}, as(KEYS.alice));
    const { job: own, engines, workflows } = given.parse(data);
    const expected = [
      { __typename: 'EditJob', id: own.id },
      ...own.images.map(({ id }) => ({ __typename: 'EditOutputImage', id })),
      ...own.request.images.map(({ id }) => ({ __typename: 'EditInputImage', id })),
      { __typename: 'EditMask', id: own.request.mask.id },
      { __typename: 'EditBatch', id: batch },
      ...engines.map(({ id }) => ({ __typename: 'EditEngine', id })),
      ...workflows.map(({ id }) => ({ __typename: 'EditWorkflow', id })),
    ];
    expect(expected.length).toBeGreaterThan(6);
    expect(await nodes(expected.map(({ id }) => id))).toEqual(expected);
    for (const { __typename, id } of expected) {
      const query = 'query ($id: ID!) { node(id: $id) { __typename id } }';
      const single = await postGraphQL(rig.url, query, { id }, as(KEYS.alice));
      expect(single.data).toEqual({ node: { __typename, id } });
    }
  });

  it('return them with the fields of their types', async () => {
    const query = `query ($job: ID!, $batch: ID!, $image: ID!) {
      job: node(id: $job) { ... on EditJob { status request { prompt } } }
      batch: node(id: $batch) { ... on EditBatch { total jobs { nodes { batchId } } } }
      image: node(id: $image) { ... on EditInputImage { slot width url } }
      workflow: node(id: "${WORKFLOW}") { ... on EditWorkflow { name runnable } }
      engine: node(id: "engine-1") { ... on EditEngine { state sandbox } }
    }`;
    const { data } = await postGraphQL(
      rig.url,
      query,
      { job, batch, image: `${job}:input:1` },
      as(KEYS.alice),
    );
    expect(data).toEqual({
      job: { status: 'COMPLETED', request: { prompt: 'x' } },
      batch: { total: 1, jobs: { nodes: [{ batchId: batch }] } },
      image: { slot: 1, width: expect.any(Number), url: expect.stringContaining(`/input/${job}`) },
      workflow: { name: 'qwen-image-edit-plus', runnable: true },
      engine: { state: 'READY', sandbox: true },
    });
  });

  it('return null for what there is not, and for another caller’s batch, job and its images', async () => {
    const ids = [job, `${job}:output:0`, `${job}:input:1`, `${job}:mask`, batch];
    expect(await nodes(ids, KEYS.bob)).toEqual(ids.map(() => null));
    expect(await nodes(ids, KEYS.olga)).toEqual(ids.map(id => expect.objectContaining({ id })));
    const unknown = [
      '',
      'x',
      'workflow:x',
      'engine-9',
      `${job}:output:9`,
      `${batch}:output:0`,
      `${job}:preview`,
      `${job}:input:01`,
    ];
    expect(await nodes(unknown)).toEqual(unknown.map(() => null));
  });

  it('take the ids of engines as their caller sees them', async () => {
    const { data } = await postGraphQL(rig.url, '{ engines { id } }', {}, as(KEYS.olga));
    const [{ id }] = z.object({ engines: z.tuple([z.object({ id: z.string() })]) }).parse(data).engines;
    expect(await nodes([id, 'engine-1'], KEYS.olga)).toEqual([{ __typename: 'EditEngine', id }, null]);
    expect(await nodes([id, 'engine-1'])).toEqual([null, { __typename: 'EditEngine', id: 'engine-1' }]);
  });

  it('take the same id twice, and at most 100', async () => {
    expect(await nodes([job, 'x', job])).toEqual([
      expect.objectContaining({ id: job }),
      null,
      expect.objectContaining({ id: job }),
    ]);
    const ids = Array.from({ length: 101 }, (_, n) => String(n));
    const { errors } = await postGraphQL(rig.url, NODES, { ids }, as(KEYS.alice));
    expect(errors).toMatchObject([
      { message: 'ids takes at most 100 ids, got 101', extensions: { code: 'BAD_USER_INPUT', field: 'ids' } },
    ]);
  });

  it('cost as much as there are ids', async () => {
    const selection = '{ ... on EditJob { preview { dataUri } webhookDeliveries { id attempts { at } } } }';
    const many = Array.from({ length: 8 }, (_, n) => `a${n}: nodes(ids: $ids) ${selection}`).join(' ');
    const { errors } = await postGraphQL(
      rig.url,
      `query ($ids: [ID!]!) { ${many} }`,
      { ids: [job] },
      as(KEYS.alice),
    );
    expect(errors?.[0]?.message).toMatch(/cost/);
    const few = await postGraphQL(
      rig.url,
      `query ($id: ID!) { ${many.replaceAll('$ids', '[$id]')} }`,
      { id: job },
      as(KEYS.alice),
    );
    expect(few.errors).toBeUndefined();
  });
});
