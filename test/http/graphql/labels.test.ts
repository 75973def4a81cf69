import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, as, KEYS, postGraphQL, submit, submitByGraphQL } from '../../support/requests.ts';
import { openEvents } from '../../support/watch.ts';

const OWN = {
  label: 'spring',
  metadata: [
    { key: 'order', value: '4711' },
    { key: 'shop/id', value: 'é\n' },
  ],
};
const FIND = `query ($label: String, $metadata: [EditMetadataInput!], $status: [EditJobStatus!], $first: Int, $after: String) {
  jobs(label: $label, metadata: $metadata, status: $status, first: $first, after: $after) {
    nodes { id label metadata { key value } }
    pageInfo { hasNextPage endCursor }
  }
}`;
const page = z.object({
  jobs: z.object({
    nodes: z.array(z.object({ id: z.string() })),
    pageInfo: z.object({ hasNextPage: z.boolean(), endCursor: z.string().nullable() }),
  }),
});

describe('label and metadata over GraphQL', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ API_KEYS });
  });
  afterAll(() => rig.close());

  async function find(variables: Record<string, unknown>, key = KEYS.alice) {
    const { data, errors } = await postGraphQL(rig.url, FIND, variables, as(key));
    if (data == null) throw new Error(JSON.stringify(errors));
    return page.parse(data).jobs;
  }
  const idsOf = async (variables: Record<string, unknown>, key = KEYS.alice): Promise<string[]> =>
    (await find(variables, key)).nodes.map(({ id }) => id);

  /** Waits for the end of a job by REST’s events, which take headers. */
  async function ended(id: string): Promise<void> {
    const events = await openEvents(`${rig.url}/events/${id}?previews=false`, as(KEYS.alice));
    while ((await events.next()) !== null);
  }

  it('are shown on the job, and copied by a retry', async () => {
    const id = await submitByGraphQL(rig, OWN, as(KEYS.alice));
    const fields = '... on EditJob { id label metadata { key value } }';
    const read = await postGraphQL(
      rig.url,
      `query ($id: ID!) { job(id: $id) { ${fields} } }`,
      { id },
      as(KEYS.alice),
    );
    expect(read.data).toEqual({ job: { id, ...OWN } });
    await ended(id);
    const retry = `mutation ($id: ID!) { retryJob(id: $id) { ${fields} } }`;
    const again = await postGraphQL(rig.url, retry, { id }, as(KEYS.alice));
    expect(again.data).toEqual({ retryJob: { id: expect.any(String), ...OWN } });
    const { retryJob } = z.object({ retryJob: z.object({ id: z.string() }) }).parse(again.data);
    expect(await idsOf({ label: OWN.label })).toEqual([retryJob.id, id]);
  });

  it('are null and empty on a job without them', async () => {
    const id = await submit(rig, {}, as(KEYS.alice));
    const query = 'query ($id: ID!) { job(id: $id) { label metadata { key value } } }';
    const { data } = await postGraphQL(rig.url, query, { id }, as(KEYS.alice));
    expect(data).toEqual({ job: { label: null, metadata: [] } });
  });

  it('find the jobs of their caller page by page, also those of a REST client', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 5; n += 1) {
      ids.unshift(await submit(rig, { label: 'page', metadata: { n: String(n), all: 'x' } }, as(KEYS.alice)));
    }
    await submit(rig, { label: 'page', metadata: { all: 'x' } }, as(KEYS.bob));
    const all = { label: ' page ', metadata: [{ key: 'all', value: 'x' }] };
    const first = await find({ ...all, first: 3 });
    expect(first.nodes.map(({ id }) => id)).toEqual(ids.slice(0, 3));
    expect(first.pageInfo.hasNextPage).toBe(true);
    const second = await find({ ...all, first: 3, after: first.pageInfo.endCursor });
    expect(second.nodes.map(({ id }) => id)).toEqual(ids.slice(3));
    expect(second.pageInfo.hasNextPage).toBe(false);
    expect(await idsOf({ metadata: [{ key: 'n', value: '2' }] })).toEqual([ids[2]]);
    expect(await idsOf({ ...all, metadata: [...all.metadata, { key: 'n', value: '2' }] })).toEqual([ids[2]]);
    expect(await idsOf({ label: 'other', metadata: all.metadata })).toEqual([]);
    expect(await idsOf({ ...all, status: ['CANCELED'] })).toEqual([]);
    expect(await idsOf(all, KEYS.bob)).toHaveLength(1);
    expect(await idsOf(all, KEYS.olga)).toHaveLength(6);
  });

  it('take a status as often as a caller sends it', async () => {
    const status = Array.from({ length: 40_000 }, () => 'COMPLETED');
    expect(await idsOf({ status, label: 'never' })).toEqual([]);
    expect(await idsOf({ status: status.map(() => 'CANCELED') })).toEqual([]);
  });

  const entry = (key: string, value = 'v') => ({ key, value });
  it.each([
    [{ label: 'two\nlines' }, 'label', 'label takes one line of 1 to 200 characters, got "two\\nlines"'],
    [
      { metadata: [entry('a'), entry('b'), entry('c'), entry('d', 'x'.repeat(513))] },
      'metadata.3.value',
      /^metadata\.3\.value takes a text of at most 512 characters, got "x/,
    ],
    [
      { metadata: [entry('a'), entry('not this')] },
      'metadata.1.key',
      /^metadata\.1\.key takes 1 to 64 of .* got "not this"$/,
    ],
    [{ metadata: [entry('__proto__')] }, 'metadata.0.key', /^metadata\.0\.key takes/],
    [
      { metadata: [entry('a'), entry('b'), entry('a')] },
      'metadata.2.key',
      'metadata.2.key takes each key once, got "a" again',
    ],
    [
      { metadata: Array.from({ length: 17 }, (_, n) => entry(`k${n}`)) },
      'metadata',
      'metadata takes at most 16 entries, got 17',
    ],
  ])('reject %j, with the path of the field', async (own, field, message) => {
    const said = typeof message === 'string' ? message : expect.stringMatching(message);
    const mutation = `mutation ($input: EditImageInput!) {
      editImage(input: $input) { ... on EditInvalidInput { code field message } } }`;
    const input = { images: [{ url: `${rig.images.url}/red.png` }], prompt: 'x', ...own };
    const { data } = await postGraphQL(rig.url, mutation, { input }, as(KEYS.alice));
    expect(data).toEqual({ editImage: { code: 'INVALID_INPUT', field, message: said } });
    const found = await postGraphQL(rig.url, FIND, own, as(KEYS.alice));
    expect(found.errors).toEqual([
      expect.objectContaining({ message: said, extensions: { code: 'BAD_USER_INPUT', field } }),
    ]);
  });
});
