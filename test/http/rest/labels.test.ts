import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, as, fetchJson, KEYS, postEdit, submit } from '../../support/requests.ts';

describe('label and metadata over REST', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig({ API_KEYS });
  });
  afterAll(() => rig.close());

  it('are kept with the job, and shown to its caller', async () => {
    const own = {
      label: ' spring catalogue ',
      metadata: { order: '4711', 'shop/id': 'é "quoted"\n', 7: '' },
    };
    const id = await submit(rig, own, as(KEYS.alice));
    const { body: list } = await fetchJson(`${rig.url}/jobs`, { headers: as(KEYS.alice) });
    const shown = { label: 'spring catalogue', metadata: own.metadata };
    expect(list.jobs).toMatchObject({ [id]: shown });
    const { body: debug } = await fetchJson(`${rig.url}/debug/job/${id}`, { headers: as(KEYS.olga) });
    expect(debug.request).toMatchObject(shown);
    expect((await fetchJson(`${rig.url}/jobs`, { headers: as(KEYS.bob) })).body.jobs).toEqual({});
  });

  it('find the jobs with all of the entries, over pages', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      ids.push(await submit(rig, { metadata: { 'a.b/c': 'x & y=z', n: String(n) } }, as(KEYS.alice)));
    }
    const found: string[] = [];
    let path: string | null = '/jobs?limit=2&metadata.a.b%2Fc=x%20%26%20y%3Dz';
    for (; path !== null; ) {
      const { body } = await fetchJson(`${rig.url}${path}`, { headers: as(KEYS.alice) });
      found.push(...Object.keys(Object(body.jobs)));
      path = typeof body.next === 'string' ? body.next : null;
    }
    expect(found.sort()).toEqual([...ids].sort());
    const one = `${rig.url}/jobs?metadata.n=1&metadata.a.b%2Fc=x+%26+y%3Dz`;
    const { body } = await fetchJson(one, { headers: as(KEYS.alice) });
    expect(Object.keys(Object(body.jobs))).toEqual([ids[1]]);
    expect((await fetchJson(one, { headers: as(KEYS.bob) })).body.jobs).toEqual({});
  });

  it.each([
    ['metadata=x', 'metadata takes the form metadata.<key>=<value> in a query, got "x"'],
    ['metadata=x&metadata=y', 'metadata takes the form metadata.<key>=<value> in a query, got ["x","y"]'],
    ['metadata.=x', /^metadata takes keys of .* got ""$/],
    ['metadata.n=1&metadata.n=2', 'metadata.n takes a text of at most 512 characters, got ["1","2"]'],
    ['metadata.__proto__=x', /^metadata takes keys of .* got "__proto__"$/],
  ])('reject ?%s', async (query, detail) => {
    const answer = await fetchJson(`${rig.url}/jobs?${query}`, { headers: as(KEYS.alice) });
    expect(answer.status).toBe(400);
    expect(answer.body.detail).toEqual(typeof detail === 'string' ? detail : expect.stringMatching(detail));
  });

  it('leave the list of a job without them as it was', async () => {
    const id = await submit(rig, { label: null, metadata: {} }, as(KEYS.bob));
    const { body } = await fetchJson(`${rig.url}/jobs`, { headers: as(KEYS.bob) });
    expect(body.jobs).toEqual({ [id]: { status: expect.any(String), progress: expect.any(Number) } });
  });

  it('count as a part of the request that an idempotency key stands for', async () => {
    const headers = { ...as(KEYS.alice), 'idempotency-key': 'with-label' };
    const id = await submit(rig, { label: 'a', metadata: { k: 'v', l: 'w' } }, headers);
    expect(await submit(rig, { label: 'a', metadata: { l: 'w', k: 'v' } }, headers)).toBe(id);
    expect((await postEdit(rig, { label: 'b', metadata: { k: 'v', l: 'w' } }, headers)).status).toBe(409);
    expect((await postEdit(rig, { label: 'a', metadata: { k: 'v' } }, headers)).status).toBe(409);
  });

  const many = Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`k${n}`, 'v']));
  it.each([
    [{ label: '' }, 'label takes one line of 1 to 200 characters, got ""'],
    [{ label: '   ' }, 'label takes one line of 1 to 200 characters, got "   "'],
    [{ label: 'two\nlines' }, 'label takes one line of 1 to 200 characters, got "two\\nlines"'],
    [{ label: 'two\u2028lines' }, /^label takes one line of 1 to 200 characters/],
    [{ label: 'x'.repeat(201) }, /^label takes one line of 1 to 200 characters, got "x+…$/],
    [{ label: 7 }, 'label takes one line of 1 to 200 characters, got 7'],
    [{ metadata: 'x' }, 'metadata takes an object of texts, got "x"'],
    [{ metadata: ['x'] }, 'metadata takes an object of texts, got ["x"]'],
    [{ metadata: many }, 'metadata takes at most 16 entries, got 17'],
    [{ metadata: { order: 4711 } }, 'metadata.order takes a text of at most 512 characters, got 4711'],
    [{ metadata: { order: null } }, 'metadata.order takes a text of at most 512 characters, got null'],
    [
      { metadata: { order: 'x'.repeat(513) } },
      /^metadata\.order takes a text of at most 512 characters, got "x+…$/,
    ],
    [{ metadata: { '': 'v' } }, /^metadata takes keys of 1 to 64 of A-Z .* got ""$/],
    [{ metadata: { 'a b': 'v' } }, /^metadata takes keys of .* got "a b"$/],
    [{ metadata: { 'a=b': 'v' } }, /^metadata takes keys of .* got "a=b"$/],
    [{ metadata: { ['x'.repeat(65)]: 'v' } }, /^metadata takes keys of .* got "x+…$/],
  ])('reject %j', async (fields, detail) => {
    const answer = await postEdit(rig, fields, as(KEYS.alice));
    expect(answer.status).toBe(400);
    expect((await answer.json()).detail).toEqual(
      typeof detail === 'string' ? detail : expect.stringMatching(detail),
    );
  });

  it('reject a key that would reach an object’s own properties', async () => {
    const body = `{"image1_url":"${rig.images.url}/red.png","prompt":"x","metadata":{"__proto__":"x"}}`;
    const headers = { 'content-type': 'application/json', ...as(KEYS.alice) };
    const answer = await fetch(`${rig.url}/edit-image`, { method: 'POST', headers, body });
    expect(answer.status).toBe(400);
  });

  it('accept the longest that is allowed', async () => {
    const metadata = Object.fromEntries(
      Array.from({ length: 16 }, (_, n) => [`k${n}`.padEnd(64, 'x'), 'v'.repeat(512)]),
    );
    const id = await submit(rig, { label: 'x'.repeat(200), metadata }, as(KEYS.alice));
    const { body } = await fetchJson(`${rig.url}/debug/job/${id}`, { headers: as(KEYS.olga) });
    expect(body.request).toMatchObject({ label: 'x'.repeat(200), metadata });
  });
});
