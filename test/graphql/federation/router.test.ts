import { readFile } from 'node:fs/promises';
import { parse } from 'graphql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Subgraph, startAlbums } from '../../../examples/supergraph/albums.ts';
import { compose, type Router, startRouter } from '../../../examples/supergraph/router.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { type RecordingProxy, startRecordingProxy } from '../../support/proxies.ts';
import { watchOverSse, watchOverWebSocket } from '../../support/watch.ts';

const AUTHORIZATION = 'Bearer of-the-caller';
const sdl = await readFile(new URL('../../../schema/subgraph.graphql', import.meta.url), 'utf8');

describe('composition', () => {
  const part = { name: 'jobs', url: 'http://jobs.test/graphql', sdl };

  it('composes the subgraph alone', () => {
    const supergraph = compose([part]);
    expect(supergraph).toMatch(/input EditImageSource @join__type\(graph: JOBS\) @oneOf/);
    for (const field of ['setEngineState', 'addEngine', 'removeEngine']) {
      expect(supergraph).toMatch(new RegExp(`${field}\\(.*@inaccessible`));
    }
    expect(supergraph).toMatch(/engines: \[EditEngine!\] .*@tag\(name: "operator"\)/);
  });

  it('shares types that every subgraph has', () => {
    const other = `
      extend schema @link(url: "https://specs.apollo.dev/federation/v2.6", import: ["@shareable"])
      type Query { pages: PageInfo! }
      type PageInfo @shareable {
        hasNextPage: Boolean!  hasPreviousPage: Boolean!  startCursor: String  endCursor: String
      }`;
    expect(() =>
      parse(compose([part, { name: 'other', url: 'http://other.test/', sdl: other }])),
    ).not.toThrow();
  });

  it('reports conflicts', () => {
    const other = 'type Query { job(id: ID!): Int }';
    expect(() => compose([part, { name: 'other', url: 'http://other.test/', sdl: other }])).toThrow(/job/);
  });
});

describe.each(['sse', 'ws'] as const)('a router that subscribes over %s', subscriptions => {
  let rig: Rig;
  let albums: Subgraph;
  let between: RecordingProxy;
  let router: Router;
  beforeAll(async () => {
    rig = await startRig({ SANDBOX_STEP: '20ms' });
    albums = await startAlbums();
    between = await startRecordingProxy(rig.url);
    const jobs = { name: 'jobs', url: `${between.url}/graphql`, sdl };
    router = await startRouter({ supergraph: compose([jobs, albums]), port: 0, subscriptions });
  });
  afterAll(async () => {
    await router.stop();
    await between.stop();
    await albums.stop();
    await rig.close();
  });

  async function send(query: string, variables: object = {}, accept = '*/*'): Promise<Response> {
    return fetch(`${router.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: AUTHORIZATION, accept },
      body: JSON.stringify({ query, variables }),
    });
  }

  async function ask<T>(query: string, variables: object = {}): Promise<T> {
    const answer = await send(query, variables);
    const { data, errors } = await answer.json();
    expect(errors).toBeUndefined();
    return data;
  }

  async function edit(steps: number): Promise<string> {
    const { editImage } = await ask<{ editImage: { __typename: string; id: string } }>(
      'mutation ($input: EditImageInput!) { editImage(input: $input) { __typename ... on EditJob { id } } }',
      { input: { images: [{ url: `${rig.images.url}/red.png` }], prompt: 'x', steps, megapixels: 0.25 } },
    );
    expect(editImage.__typename).toBe('EditJob');
    return editImage.id;
  }

  it.each([
    ['server-sent events', watchOverSse],
    ['a WebSocket', watchOverWebSocket],
  ])('streams the progress of an edit over %s', async (_, watch) => {
    const id = await edit(15);
    const snapshots = await watch(router.url, id);
    const revisions = snapshots.map(({ revision }) => revision);
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    expect(snapshots.some(({ stage }) => stage === 'SAMPLING')).toBe(true);
    expect(snapshots.at(-1)).toMatchObject({ status: 'COMPLETED', progress: 100 });
    expect((await fetch(snapshots.at(-1)?.images[0]?.url ?? '')).status).toBe(200);
  });

  it('returns errors that a caller can act on as members of the result', async () => {
    const { editImage } = await ask<{ editImage: object }>(
      'mutation ($input: EditImageInput!) { editImage(input: $input) { __typename ... on EditError { code retryable } ... on EditImageRejected { field } } }',
      { input: { images: [{ url: `${rig.images.url}/missing` }], prompt: 'x' } },
    );
    expect(editImage).toEqual({
      __typename: 'EditImageRejected',
      code: 'INPUT_UNREACHABLE',
      retryable: true,
      field: 'images.0',
    });
  });

  it('joins another subgraph’s photos with their edits, in one request for all of them', async () => {
    const ids = [await edit(1), await edit(1), await edit(1)];
    await watchOverSse(router.url, ids[2] ?? '');
    for (const jobId of ids) {
      await ask('mutation ($jobId: ID!) { addPhoto(albumId: "a", jobId: $jobId, caption: "c") { id } }', {
        jobId,
      });
    }
    const before = between.passed.length;
    const { album } = await ask<{ album: { seenBy: string; photos: { edit: object }[] } }>(
      '{ album(id: "a") { seenBy photos { caption edit { id status request { prompt } album { id } } } } }',
    );
    expect(between.passed.length - before).toBe(1);
    expect(album.photos.map(photo => photo.edit)).toEqual(
      ids.map(id => ({ id, status: 'COMPLETED', request: { prompt: 'x' }, album: { id: 'a' } })),
    );
    expect(album.seenBy).toBe(AUTHORIZATION);
    const { job } = await ask<{ job: object }>('query ($id: ID!) { job(id: $id) { album { id } } }', {
      id: ids[0],
    });
    expect(job).toEqual({ album: { id: 'a' } });
  });

  it('returns null for an unknown edit, and the rest', async () => {
    await ask('mutation { addPhoto(albumId: "b", jobId: "nobody", caption: "c") { id } }');
    const answer = await send('{ album(id: "b") { photos { caption edit { id status } } } }');
    const { data } = await answer.json();
    // The router says beside it that a status cannot be null.
    expect(data.album).toEqual({ photos: [{ caption: 'c', edit: null }] });
  });

  it('hides what is not for the supergraph', async () => {
    const answer = await send('mutation { setEngineState(id: "x", drained: true) { __typename } }');
    expect((await answer.json()).errors[0].message).toMatch(/Cannot query field "setEngineState"/);
  });

  it('passes on credentials', async () => {
    const id = await edit(2);
    const query = 'subscription ($id: ID!) { jobProgress(jobId: $id) { status } }';
    const watch = await send(query, { id }, 'text/event-stream');
    expect(await watch.text()).toContain('COMPLETED');
    const last = between.passed.at(-1);
    if (subscriptions === 'sse') {
      expect(last?.kind).toBe('http');
      expect(last?.headers).toMatchObject({
        authorization: AUTHORIZATION,
        accept: expect.stringContaining('text/event-stream'),
      });
    } else {
      expect(last?.kind).toBe('websocket');
      expect(JSON.parse(last?.firstMessage ?? '{}')).toEqual({
        type: 'connection_init',
        payload: { authorization: AUTHORIZATION },
      });
    }
  });
});
