import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { expertise, type MakeOptions, makeFirst } from '../../../src/cli/workflows/make.ts';
import { readPublished } from '../../../src/cli/workflows/published.ts';
import { readNodeClasses } from '../../../src/sandbox/nodes/object-info.ts';
import { type Sandbox, startSandbox } from '../../../src/sandbox/server.ts';
import { type Graph, graphSchema } from '../../../src/workflows/graph.ts';
import { PUBLISHED_FILES } from '../../support/comfyui/published/editor-files.ts';
import { at, changed, type Places } from '../../support/comfyui/published/graphs.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { type RecordingProxy, startRecordingProxy } from '../../support/proxies.ts';
import { postEdit, postGraphQL, submit } from '../../support/requests.ts';
import { waitForEnd } from '../../support/watch.ts';

const expert = await expertise(null);
const sandboxClasses = Object.keys(
  readNodeClasses({ version: '0.8.0', missingModels: [], missingNodes: [] }),
);

interface Runnable {
  readonly name: string;
  readonly trait: string;
  readonly places: Places;
}

let folder: string;
let engine: Sandbox;
let proxy: RecordingProxy;
let rig: Rig;
const runnable: Runnable[] = [];

async function write(name: string, json: unknown, options: MakeOptions = {}): Promise<Graph> {
  const source = readPublished(JSON.parse(JSON.stringify(json)));
  if (source.kind === 'none') throw new Error(source.message);
  const made = makeFirst(name, [source], expert, options);
  if (!made.ok) throw new Error(made.message);
  await mkdir(join(folder, name));
  await writeFile(join(folder, name, 'graph.json'), JSON.stringify(made.graph));
  await writeFile(join(folder, name, 'workflow.json'), JSON.stringify(made.manifest));
  return made.graph;
}

/** The image is encoded unscaled, so that the graph decides the size. */
const OWN_SIZE = changed({
  '93': null,
  '88': { inputs: { pixels: ['78', 0] } },
  '111': { inputs: { image1: ['78', 0] } },
  '110': { inputs: { image1: ['78', 0] } },
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'published-'));
  for (const [index, { trait, json, places }] of PUBLISHED_FILES.entries()) {
    const name = `file-${index}`;
    const graph = await write(name, json);
    const runs = Object.values(graph).every(node => sandboxClasses.includes(node.class_type));
    if (runs && !trait.includes('node packs')) runnable.push({ name, trait, places });
    else await rm(join(folder, name), { recursive: true });
  }
  await write('own-size', OWN_SIZE, { keepGraph: true });
  engine = await startSandbox({ stepMs: 1 });
  proxy = await startRecordingProxy(engine.url);
  rig = await startRig({ WORKFLOWS_DIR: folder, COMFYUI_URL: proxy.url });
});
afterAll(async () => {
  await rig.close();
  await proxy.stop();
  await engine.stop();
  await rm(folder, { recursive: true, force: true });
});

const posted = z.object({ prompt: graphSchema });

/** The graphs that the engine got, by the id of the job that their output file is named after. */
function graphsByJob(): Map<string, Graph> {
  const prompts = proxy.passed.filter(({ path }) => path.endsWith('/prompt'));
  return new Map(
    prompts.map(({ body }) => {
      const { prompt: graph } = posted.parse(JSON.parse(body ?? ''));
      const save = Object.values(graph).find(node => node.class_type === 'SaveImage');
      return [String(save?.inputs.filename_prefix).replace('QwenEdit/api_', ''), graph];
    }),
  );
}

const INPUTS = ['photo.png', 'red.png', 'blue.jpg'];

const first = (places: string | readonly string[] | undefined) =>
  places === undefined ? [] : typeof places === 'string' ? [places] : places;

describe('an edit with a workflow that was made from a published file', () => {
  it('runs with the prompt, the seed, the images and the size of the request in the right nodes', async () => {
    expect(runnable.length).toBeGreaterThanOrEqual(30);
    const jobs = new Map<string, Runnable>();
    for (const [index, file] of runnable.entries()) {
      const images = file.places.images.map((_, slot) => [
        `image${slot + 1}_url`,
        `${rig.images.url}/${INPUTS[slot]}`,
      ]);
      const fields = {
        ...Object.fromEntries(images),
        workflow: file.name,
        prompt: `prompt of ${file.name}`,
        negative_prompt: `not of ${file.name}`,
        seed: 1000 + index,
        steps: 2,
        cfg: 3,
        megapixels: 0.1,
      };
      jobs.set(await submit(rig, fields), file);
    }
    for (const [id, { trait }] of jobs)
      expect([trait, await waitForEnd(rig.url, id)]).toMatchObject([trait, { status: 'COMPLETED' }]);

    const ran = graphsByJob();
    let index = 0;
    for (const [id, { name, trait, places }] of jobs) {
      const graph = ran.get(id);
      if (graph === undefined) throw new Error(`no graph of ${trait}`);
      const values = (target: string | readonly string[] | undefined) =>
        first(target).map(place => at(graph, place));
      expect([trait, values(places.prompt)]).toEqual([trait, [`prompt of ${name}`]]);
      for (const value of values(places.negativePrompt)) expect(value).toBe(`not of ${name}`);
      for (const value of values(places.seed)) expect([trait, value]).toEqual([trait, String(1000 + index)]);
      for (const value of values(places.steps)) expect(value).toBe(2);
      for (const value of values(places.cfg)) expect(value).toBe(3);
      const loaded = values(places.images);
      expect(new Set(loaded).size).toBe(places.images.length);
      const { data } = await postGraphQL(
        rig.url,
        `query ($id: ID!) { job(id: $id) { size { width height } } }`,
        { id },
      );
      expect(data).toEqual({
        job: { size: { width: values(places.width)[0], height: values(places.height)[0] } },
      });
      index++;
    }
  }, 120_000);
});

describe('a workflow whose graph decides the size', () => {
  it('runs, and shows neither a megapixels parameter nor a size', async () => {
    const id = await submit(rig, { workflow: 'own-size', megapixels: undefined });
    expect(await waitForEnd(rig.url, id)).toMatchObject({ status: 'COMPLETED' });
    const { data } = await postGraphQL(
      rig.url,
      `query ($id: ID!) { job(id: $id) { size { width } request { megapixels } } workflows { name parameters { name } } }`,
      { id },
    );
    expect(data).toMatchObject({ job: { size: null, request: { megapixels: null } } });
    const { workflows } = z
      .object({
        workflows: z.array(
          z.object({ name: z.string(), parameters: z.array(z.object({ name: z.string() })) }),
        ),
      })
      .parse(data);
    const names = workflows.find(({ name }) => name === 'own-size')?.parameters.map(({ name }) => name);
    expect(names).toEqual(['steps', 'cfg']);
  });

  it('rejects megapixels over REST and GraphQL, and names the field', async () => {
    const rest = await postEdit(rig, { workflow: 'own-size', megapixels: 1 });
    expect(rest.status).toBe(400);
    expect(await rest.json()).toEqual({
      detail:
        'megapixels is not a setting of the workflow own-size, whose graph decides the size of the output image: leave it unset',
    });
    const { data } = await postGraphQL(
      rig.url,
      `mutation ($input: EditImageInput!) { editImage(input: $input) { ... on EditInvalidInput { field message } } }`,
      {
        input: {
          images: [{ url: `${rig.images.url}/red.png` }],
          prompt: 'x',
          workflow: 'own-size',
          megapixels: 1,
        },
      },
    );
    expect(data).toMatchObject({
      editImage: { field: 'megapixels', message: expect.stringContaining('graph decides the size') },
    });
  });
});
