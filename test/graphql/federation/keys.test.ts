import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Subgraph, startAlbums } from '../../../examples/supergraph/albums.ts';
import { compose, type Router, startRouter } from '../../../examples/supergraph/router.ts';
import { createClient } from '../../../src/client/client.ts';
import { makeApiKey } from '../../../src/http/access/api-keys.ts';
import { type Rig, startRig } from '../../support/gateway.ts';

const sdl = await readFile(new URL('../../../schema/subgraph.graphql', import.meta.url), 'utf8');
const alice = makeApiKey('alice', 'user');
const bob = makeApiKey('bob', 'user');

describe.each(['sse', 'ws', 'callbacks'] as const)(
  'a router that subscribes over %s to a gateway with keys',
  subscriptions => {
    let rig: Rig;
    let albums: Subgraph;
    let router: Router;
    beforeAll(async () => {
      rig = await startRig({ API_KEYS: `${alice.entry},${bob.entry}`, CALLBACK_ALLOW: '127.0.0.1' });
      albums = await startAlbums();
      const jobs = { name: 'jobs', url: `${rig.url}/graphql`, sdl };
      router = await startRouter({ supergraph: compose([jobs, albums]), port: 0, subscriptions });
    });
    afterAll(async () => {
      await router.stop();
      await albums.stop();
      await rig.close();
    });

    async function ask(apiKey: string, query: string, variables: object) {
      const answer = await fetch(`${router.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
        body: JSON.stringify({ query, variables }),
      });
      return answer.json();
    }

    it.each(['websocket', 'sse'] as const)(
      'serves this project’s client over %s, by its key',
      async transport => {
        const client = createClient({ url: router.url, apiKey: alice.key, transports: [transport] });
        const job = await client.edit({
          images: [`${rig.images.url}/red.png`],
          prompt: 'x',
          steps: 2,
          megapixels: 0.25,
        });
        if (job.__typename !== 'EditJob') throw new Error(job.message);
        expect((await client.wait(job.id)).status).toBe('COMPLETED');
        await client.close();

        const add = 'mutation ($id: ID!) { addPhoto(albumId: "a", jobId: $id, caption: "c") { id } }';
        await ask(alice.key, add, { id: job.id });
        const look = '{ album(id: "a") { photos { edit { status } } } }';
        expect((await ask(alice.key, look, {})).data.album.photos[0].edit).toEqual({ status: 'COMPLETED' });
        // An entity is as closed as the job itself.
        expect((await ask(bob.key, look, {})).data.album.photos[0].edit).toBeNull();
      },
    );

    it('passes on that a key is required', async () => {
      const answer = await ask('wrong', 'query ($id: ID!) { job(id: $id) { id } }', { id: 'x' });
      expect(answer.errors[0].extensions.code).toBe('UNAUTHENTICATED');
    });
  },
);
