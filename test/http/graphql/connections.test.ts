import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, as, KEYS, postGraphQL, submit } from '../../support/requests.ts';

const PAGE = `query ($first: Int, $after: String, $last: Int, $before: String, $status: [EditJobStatus!], $label: String) {
  jobs(first: $first, after: $after, last: $last, before: $before, status: $status, label: $label) {
    edges { cursor node { id } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}`;
const answer = z.object({
  jobs: z.object({
    edges: z.array(z.object({ cursor: z.string(), node: z.object({ id: z.string() }) })),
    pageInfo: z.object({
      hasNextPage: z.boolean(),
      hasPreviousPage: z.boolean(),
      startCursor: z.string().nullable(),
      endCursor: z.string().nullable(),
    }),
    totalCount: z.number().nullable(),
  }),
});

let rig: Rig;
/** Alice's jobs, newest first. */
let ids: string[];
beforeAll(async () => {
  rig = await startRig({ API_KEYS });
  for (let n = 0; n < 7; n += 1) {
    await submit(rig, n === 0 ? { label: 'oldest' } : {}, as(KEYS.alice));
    if (n % 3 === 0) await submit(rig, {}, as(KEYS.bob));
  }
  ids = idsOf(await page({ first: 100 }));
});
afterAll(() => rig.close());

async function page(variables: Record<string, unknown>, key = KEYS.alice) {
  const { data, errors } = await postGraphQL(rig.url, PAGE, variables, as(key));
  expect(errors).toBeUndefined();
  return answer.parse(data).jobs;
}

function idsOf({ edges }: Awaited<ReturnType<typeof page>>): string[] {
  return edges.map(({ node }) => node.id);
}

describe('a connection', () => {
  it('is paged from its end to its beginning, in the order of its list', async () => {
    const end = await page({ last: 3 });
    expect(idsOf(end)).toEqual(ids.slice(4));
    expect(end.pageInfo).toEqual({
      hasNextPage: false,
      hasPreviousPage: true,
      startCursor: end.edges[0]?.cursor,
      endCursor: end.edges[2]?.cursor,
    });
    const middle = await page({ last: 3, before: end.pageInfo.startCursor });
    expect(idsOf(middle)).toEqual(ids.slice(1, 4));
    expect(middle.pageInfo).toMatchObject({ hasNextPage: true, hasPreviousPage: true });
    const newest = await page({ last: 3, before: middle.pageInfo.startCursor });
    expect(idsOf(newest)).toEqual(ids.slice(0, 1));
    expect(newest.pageInfo).toMatchObject({ hasNextPage: true, hasPreviousPage: false });
  });

  it('has the jobs between two cursors, from either end', async () => {
    const { edges } = await page({ first: 100 });
    const between = { after: edges[0]?.cursor, before: edges[5]?.cursor };
    expect(idsOf(await page({ ...between, first: 2 }))).toEqual(ids.slice(1, 3));
    expect(idsOf(await page({ ...between, last: 2 }))).toEqual(ids.slice(3, 5));
    const whole = await page({ ...between, first: 4 });
    expect(idsOf(whole)).toEqual(ids.slice(1, 5));
    expect(whole.pageInfo).toMatchObject({ hasNextPage: false, hasPreviousPage: true });
    const none = await page({ after: edges[3]?.cursor, before: edges[4]?.cursor, last: 1 });
    expect(none.edges).toEqual([]);
    expect(none.pageInfo).toMatchObject({ startCursor: null, endCursor: null });
  });

  it('has no previous page once the jobs of that page are deleted', async () => {
    const newest = await submit(rig, {}, as(KEYS.alice));
    const first = await page({ first: 1 });
    expect(idsOf(first)).toEqual([newest]);
    const after = first.pageInfo.endCursor;
    expect((await page({ first: 2, after })).pageInfo.hasPreviousPage).toBe(true);
    await fetch(`${rig.url}/jobs/${newest}`, { method: 'DELETE', headers: as(KEYS.alice) });
    const second = await page({ first: 2, after });
    expect(idsOf(second)).toEqual(ids.slice(0, 2));
    expect(second.pageInfo.hasPreviousPage).toBe(false);
  });

  it('counts the caller’s jobs by status, and none with a label', async () => {
    const all = ['QUEUED', 'PROCESSING', 'COMPLETED', 'ERROR', 'CANCELED'];
    expect((await page({ first: 0 })).totalCount).toBe(7);
    expect((await page({ first: 2, status: all })).totalCount).toBe(7);
    expect((await page({ last: 1, status: ['CANCELED', 'ERROR'] })).totalCount).toBe(0);
    expect((await page({ last: 1 }, KEYS.bob)).totalCount).toBe(3);
    expect((await page({ last: 1 }, KEYS.olga)).totalCount).toBe(10);
    const labelled = await page({ last: 1, label: 'oldest' });
    expect([idsOf(labelled), labelled.totalCount]).toEqual([ids.slice(6), null]);
  });

  it('that fails leaves the results of the other fields as they are', async () => {
    const query = '{ jobs(first: 101) { totalCount } engines { id } caller { id } }';
    const { data, errors } = await postGraphQL(rig.url, query, {}, as(KEYS.alice));
    expect(errors).toHaveLength(1);
    expect(data).toEqual({ jobs: null, engines: [{ id: 'engine-1' }], caller: { id: 'key:alice' } });
  });

  it.each([
    [{ first: 1, last: 1 }, 'last', 'last takes no value together with first, got first: 1 and last: 1'],
    [{ last: 101 }, 'last', 'last takes 0 to 100, got 101'],
    [{ first: -1 }, 'first', 'first takes 0 to 100, got -1'],
    [{ before: 'nonsense' }, 'before', 'before takes a cursor of a page, got "nonsense"'],
    [{ after: '' }, 'after', 'after takes a cursor of a page, got ""'],
  ])('rejects %o', async (variables, field, message) => {
    const { errors } = await postGraphQL(rig.url, PAGE, variables, as(KEYS.alice));
    expect(errors).toMatchObject([{ message, extensions: { code: 'BAD_USER_INPUT', field } }]);
  });

  it.each([
    ['last: 100', /cost/],
    ['last: $n', /cost/],
    ['first: 100, last: 1', /cost/],
    ['last: 2', null],
    ['', null],
  ])('costs as much as a page with %s has jobs', async (args, error) => {
    const jobs = Array.from({ length: 8 }, (_, n) => `a${n}: jobs${args === '' ? '' : `(${args})`} { ...P }`);
    const query = `query ($n: Int) { ${jobs.join(' ')} __typename @skip(if: false) b: jobs(first: $n) { totalCount } }
      fragment P on EditJobConnection { nodes { id status progress revision stage step totalSteps etaSeconds attempt
        createdAt startedAt finishedAt expiresAt label } }`;
    const { errors } = await postGraphQL(rig.url, query, {}, as(KEYS.alice));
    if (error === null) expect(errors).toBeUndefined();
    else expect(errors?.[0]?.message).toMatch(error);
  });
});
