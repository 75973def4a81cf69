import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveSamples } from '../../src/cli/samples.ts';
import { readConfig } from '../../src/config.ts';
import { startGateway } from '../../src/gateway.ts';
import { printSubgraph } from '../../src/graphql/federation/subgraph.ts';
import { buildApiSchema } from '../../src/graphql/schema.ts';
import { createLog } from '../../src/log.ts';
import { startAlbums } from './albums.ts';
import { compose, startRouter } from './router.ts';

/**
 * A supergraph of two: the gateway (on its sandbox unless COMFYUI_URL says otherwise) and the albums, with Hive Gateway
 * in front. `npm run example:supergraph`, PORT chooses another port than 4000.
 */
const samples = await serveSamples();
const folder = await mkdtemp(join(tmpdir(), 'supergraph-'));
const settings = readConfig({
  LOG_LEVEL: 'error',
  DATA_DIR: folder,
  ...process.env,
  PORT: '0',
  FETCH_ALLOW: [process.env.FETCH_ALLOW, samples.address].filter(Boolean).join(','),
});
if (!settings.ok) {
  console.error(settings.faults.join('\n'));
  process.exit(78);
}
const gateway = await startGateway(settings.config, createLog(settings.config.LOG_LEVEL));
const albums = await startAlbums();
const jobs = { name: 'jobs', url: `${gateway.url}/graphql`, sdl: printSubgraph(buildApiSchema()) };
const router = await startRouter({
  supergraph: compose([jobs, albums]),
  port: Number(process.env.PORT ?? 4000),
  subscriptions: 'sse',
});
const endpoint = `${router.url}/graphql`;

console.log(`Supergraph on ${endpoint} (open it in a browser): jobs on ${gateway.url}, albums on ${albums.url}

mutation { editImage(input: { images: [{ url: "${samples.portrait}" }], prompt: "Make it night" }) {
  __typename ... on EditJob { id } ... on EditError { message }
} }
mutation { addPhoto(albumId: "holiday", jobId: "…", caption: "At night") { id } }
query { album(id: "holiday") { photos { caption edit { status progress images { url } } } } }
subscription { jobProgress(jobId: "…", previews: false) { status progress album { id } } }

Ctrl-C stops it.`);

await new Promise<void>(stop => {
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
});
await router.stop();
await albums.stop();
await gateway.stop();
await samples.stop();
await rm(folder, { recursive: true, force: true });
