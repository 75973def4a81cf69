import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { graphql } from 'graphql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEmbeddedLedger } from '../../../src/adapters/embedded/ledger.ts';
import { createEmbeddedFeed, createMemoryPreviews } from '../../../src/adapters/embedded/live.ts';
import { createFileArtifacts } from '../../../src/adapters/files/artifacts.ts';
import { printSubgraph } from '../../../src/graphql/federation/subgraph.ts';
import { buildApiSchema, buildSchema } from '../../../src/graphql/schema.ts';
import { createImageLoader } from '../../../src/images/loader.ts';
import type { Caller } from '../../../src/jobs/job.ts';
import type { Ledger } from '../../../src/jobs/ports.ts';
import { createJobs } from '../../../src/jobs/service.ts';
import { parseAllowList } from '../../../src/outbound/allow-list.ts';
import { createCatalog } from '../../../src/workflows/files/catalog.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { aJob } from '../../support/jobs.ts';

const ENTITIES = `query ($representations: [_Any!]!) {
  _entities(representations: $representations) {
    ... on EditJob { id revision status request { prompt } }
    ... on EditBatch { __typename id total queued }
  }
}`;

describe('_entities', () => {
  const reads: string[] = [];
  let ledger: Ledger;
  let folder: string;
  let ask: (representations: readonly unknown[], caller?: Caller) => ReturnType<typeof graphql>;
  let close: () => Promise<void>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'entities-'));
    const feed = createEmbeddedFeed();
    ledger = openEmbeddedLedger({ path: join(folder, 'jobs.sqlite'), feed, now: Date.now });
    const counting: Ledger = {
      ...ledger,
      get(id) {
        reads.push('get');
        return ledger.get(id);
      },
      getMany(ids) {
        reads.push(`getMany ${ids.length}`);
        return ledger.getMany(ids);
      },
      list(query) {
        reads.push('list');
        return ledger.list(query);
      },
      place(job) {
        reads.push('place');
        return ledger.place(job);
      },
    };
    const images = createImageLoader({
      allow: parseAllowList(''),
      maxBytes: 1_000_000,
      maxPixels: 1_000_000,
      totalTimeoutMs: 1_000,
    });
    const workflows = createCatalog({ workflows: [], broken: [] }, null, () => false);
    const previews = createMemoryPreviews();
    const jobs = createJobs({
      ledger: counting,
      feed,
      artifacts: createFileArtifacts(folder),
      previews,
      images,
      workflows,
      now: Date.now,
      maxQueue: 1000,
      jobTtlMs: 60_000,
      cancelWaitMs: 1_000,
      secondsToRoom: () => 10,
      removeEngineFile: async () => undefined,
    });
    const schema = buildSchema();
    ask = (representations, caller = { id: null, operator: true }) =>
      graphql({
        schema,
        source: ENTITIES,
        variableValues: { representations },
        contextValue: { jobs, previews, workflows, caller },
      });
    close = async () => {
      await images.close();
      await ledger.close();
      await rm(folder, { recursive: true });
    };
  });
  afterAll(() => close());

  async function keep(count: number, owner: string | null = null): Promise<string[]> {
    const jobs = Array.from({ length: count }, () => aJob({ owner }));
    for (const job of jobs) await ledger.submit(job, { maxQueue: 1000, idempotency: null });
    return jobs.map(({ id }) => id);
  }

  const represent = (id: unknown) => ({ __typename: 'EditJob', id });

  it('loads a hundred jobs with one read, in the requested order', async () => {
    const ids = await keep(100);
    ids.sort();
    reads.length = 0;
    const { data, errors } = await ask(ids.map(represent));
    expect(errors).toBeUndefined();
    expect(reads).toEqual(['getMany 100']);
    expect(data?._entities).toEqual(
      ids.map(id => ({ id, revision: 1, status: 'QUEUED', request: { prompt: 'a forest' } })),
    );
  });

  it('reads a job once that is requested twice', async () => {
    const [id] = await keep(1);
    reads.length = 0;
    const { data } = await ask([represent(id), represent('nobody'), represent(id)]);
    expect(reads).toEqual(['getMany 2']);
    expect(data?._entities).toEqual([expect.objectContaining({ id }), null, expect.objectContaining({ id })]);
  });

  it('returns null for jobs of other callers', async () => {
    const [mine] = await keep(1, 'alice');
    const [theirs] = await keep(1, 'bob');
    const { data } = await ask([represent(mine), represent(theirs)], { id: 'alice', operator: false });
    expect(data?._entities).toEqual([expect.objectContaining({ id: mine }), null]);
  });

  it('loads batches among jobs, each by its own type, and null for those of other callers', async () => {
    const [job] = await keep(1, 'alice');
    const keepBatch = async (owner: string): Promise<string> => {
      const batch = { id: `batch-of-${owner}`, owner, createdAt: Date.now(), total: 2 };
      const jobs = [0, 1].map(index => aJob({ owner, batch: { id: batch.id, index } }));
      await ledger.batches.submit(batch, jobs, { maxQueue: 1000, idempotency: null });
      return batch.id;
    };
    const [mine, theirs] = [await keepBatch('alice'), await keepBatch('bob')];
    const representBatch = (id: unknown) => ({ __typename: 'EditBatch', id });
    reads.length = 0;
    const { data, errors } = await ask(
      [representBatch(mine), represent(job), representBatch(theirs), representBatch(job), represent(mine)],
      { id: 'alice', operator: false },
    );
    expect(errors).toBeUndefined();
    expect(reads).toEqual(['getMany 2']);
    expect(data?._entities).toEqual([
      { __typename: 'EditBatch', id: mine, total: 2, queued: 2 },
      expect.objectContaining({ id: job, status: 'QUEUED' }),
      null,
      null,
      null,
    ]);
  });

  it.each([
    [
      'another type',
      [{ __typename: 'Album', id: '1' }],
      /takes the types EditJob and EditBatch, got .*Album/,
    ],
    ['no type', [{ id: '1' }], /takes the types EditJob and EditBatch/],
    ['no key', [{ __typename: 'EditJob' }], /an EditJob by its id/],
    ['a batch without its key', [{ __typename: 'EditBatch' }], /an EditBatch by its id/],
    ['what is no object', ['x'], /takes objects/],
    ['a crowd', Array.from({ length: 1001 }, (_, n) => represent(`${n}`)), /at most 1000, got 1001/],
  ])('rejects %s', async (_, representations, message) => {
    reads.length = 0;
    const { data, errors } = await ask(representations);
    expect(data ?? null).toBeNull();
    expect(errors?.[0]).toMatchObject({
      message: expect.stringMatching(message),
      extensions: { code: 'BAD_USER_INPUT' },
    });
    expect(reads).toEqual([]);
  });
});

describe('many entities', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig();
  });
  afterAll(() => rig.close());

  const representations = Array.from({ length: 1_000 }, (_, n) => ({ __typename: 'EditJob', id: `${n}` }));
  const asked = (names: readonly string[], fields: string) =>
    rig.graphql<Record<string, unknown[]>>(
      `query ($r: [_Any!]!) {
        ${names.map(name => `${name}: _entities(representations: $r) { ... on EditJob { ${fields} } }`).join(' ')}
      }`,
      { r: representations },
    );

  it('are accepted up to a thousand complete jobs', async () => {
    const whole =
      'id status revision progress stage step totalSteps queuePosition etaSeconds engine promptId attempt createdAt ' +
      'request { prompt seed steps } images { url width height } preview { url } error { code message }';
    const { data, errors } = await asked(['a'], whole);
    expect(errors).toBeUndefined();
    expect(data?.a).toHaveLength(1_000);
  });

  it.each([1, 5])('are limited by their cost, under any number of aliases: %i', async times => {
    for (let n = 1; n < times; n += 1) await asked(['a'], 'id');
    const { errors } = await asked(['a', 'b', 'c'], 'id preview { dataUri }');
    expect(errors).toEqual([
      expect.objectContaining({
        message: expect.stringMatching(/entities cost \d+ fields; the limit is 50000/),
      }),
    ]);
  });
});

describe('many batches', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig();
  });
  afterAll(() => rig.close());

  it('cost more than their fields, since their jobs are counted', async () => {
    const representations = Array.from({ length: 1_000 }, (_, n) => ({
      __typename: 'EditBatch',
      id: `${n}`,
    }));
    const ask = (fields: string) =>
      rig.graphql<{ a: unknown[] }>(`query ($r: [_Any!]!) { ${fields} }`, { r: representations });
    const entities = '_entities(representations: $r) { ... on EditBatch { id progress etaSeconds } }';
    const { data, errors } = await ask(`a: ${entities} b: ${entities}`);
    expect(errors).toBeUndefined();
    expect(data?.a).toHaveLength(1_000);
    const more = await ask(`a: ${entities} b: ${entities} c: ${entities}`);
    expect(more.errors?.[0]?.message).toMatch(/entities cost 69000 fields; the limit is 50000/);
  });
});

describe('_service', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig();
  });
  afterAll(() => rig.close());

  it('returns the SDL that is checked in', async () => {
    const { data } = await rig.graphql<{ _service: { sdl: string } }>('{ _service { sdl } }');
    expect(data?._service.sdl).toBe(printSubgraph(buildApiSchema()));
    expect(data?._service.sdl).toContain('type EditJob @key(fields: "id")');
    expect(data?._service.sdl).toContain('type EditBatch @key(fields: "id")');
    expect(data?._service.sdl).toContain('directive @oneOf on INPUT_OBJECT');
    // What is there for routers alone is no part of the graph.
    expect(data?._service.sdl).not.toMatch(/_entities|_Service|_Any/);
  });
});
