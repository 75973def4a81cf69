import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../../../src/sandbox/server.ts';
import type { Graph } from '../../../src/workflows/graph.ts';
import { SHIPPED_FOLDER } from '../../support/comfyui/workflows.ts';
import { startGatewayProcess, succeedEachOther } from '../../support/gateway.ts';
import { startImageServer } from '../../support/image-server.ts';
import { watchOverWebSocket } from '../../support/watch.ts';

const PLUS = 'qwen-image-edit-plus';
const LIGHTNING = 'qwen-image-edit-plus-lightning';

let folder: string;
let workflows: string;
let engine: Sandbox;
let pictures: Awaited<ReturnType<typeof startImageServer>>;
const { start, running, end } = succeedEachOther(overrides =>
  startGatewayProcess(join(folder, 'data'), {
    COMFYUI_URL: engine.url,
    LANES_PER_ENGINE: '1',
    WORKFLOWS_DIR: workflows,
    ...overrides,
  }),
);

beforeAll(async () => {
  engine = await startSandbox({ stepMs: 20 });
  pictures = await startImageServer();
});
afterAll(async () => {
  await end();
  await engine.stop();
  await pictures.close();
});

/** A folder of data and workflows for the tests that follow. */
async function makeFolder(): Promise<void> {
  folder = await mkdtemp(join(tmpdir(), 'reload-'));
  workflows = join(folder, 'workflows');
  for (const name of [PLUS, LIGHTNING]) {
    await cp(join(SHIPPED_FOLDER, name), join(workflows, name), { recursive: true });
  }
}

async function removeFolder(): Promise<void> {
  await end();
  await rm(folder, { recursive: true, force: true });
}

async function graphql<T>(url: string, query: string, variables: Record<string, unknown> = {}): Promise<T> {
  const answer = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await answer.json();
  if (errors !== undefined) throw new Error(JSON.stringify(errors));
  return data;
}

interface Listed {
  name: string;
  title: string;
  version: string | null;
  runnable: boolean;
  problems: string[];
}

async function list(url: string): Promise<Record<string, Listed>> {
  const query = '{ workflows { name title version runnable problems } }';
  const { workflows: all } = await graphql<{ workflows: Listed[] }>(url, query);
  return Object.fromEntries(all.map(entry => [entry.name, entry]));
}

interface Submitted {
  __typename: string;
  id?: string;
  message?: string;
  request?: { workflow: string };
}

async function submit(url: string, input: Record<string, unknown> = {}): Promise<Submitted> {
  const { editImage } = await graphql<{ editImage: Submitted }>(
    url,
    `mutation ($input: EditImageInput!) {
      editImage(input: $input) { __typename ... on EditJob { id request { workflow } } ... on EditError { message } }
    }`,
    {
      input: {
        images: [{ url: `${pictures.url}/red.png` }],
        prompt: 'p',
        steps: 30,
        megapixels: 0.25,
        workflow: PLUS,
        ...input,
      },
    },
  );
  return editImage;
}

/** The shift of the model in the prompt that runs for this job; it differs between the versions of a test. */
async function shiftThatRuns(url: string, id: string | undefined): Promise<unknown> {
  const { job } = await graphql<{ job: { promptId: string | null } }>(
    url,
    'query ($id: ID!) { job(id: $id) { promptId } }',
    { id },
  );
  const { queue_running }: { queue_running: [number, string, Graph][] } = await (
    await fetch(`${engine.url}/queue`)
  ).json();
  const graph = queue_running.find(([, promptId]) => promptId === job.promptId)?.[2];
  return graph?.['66']?.inputs.shift;
}

async function finalOf(url: string, id: string | undefined): Promise<unknown> {
  return (await watchOverWebSocket(url, id ?? '')).at(-1);
}

async function setShift(shift: number): Promise<void> {
  const path = join(workflows, PLUS, 'graph.json');
  const graph: Graph = JSON.parse(await readFile(path, 'utf8'));
  Object.assign(graph['66']?.inputs ?? {}, { shift });
  await writeFile(path, JSON.stringify(graph));
}

async function retitle(title: string): Promise<void> {
  const path = join(workflows, LIGHTNING, 'workflow.json');
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), title }));
}

const SOON = { interval: 20 };

describe('workflows that change under a running gateway', () => {
  beforeAll(makeFolder);
  afterAll(removeFolder);

  it('are reloaded on SIGHUP; jobs keep the version that they were submitted with', async () => {
    const { url, child } = await running({ NODE_ENV: 'production' });
    const before = await list(url);
    const executing = await submit(url);
    const waiting = await submit(url);

    await setShift(2.5);
    await retitle('Four quick steps');
    child.kill('SIGHUP');
    await expect.poll(async () => (await list(url))[LIGHTNING]?.title, SOON).toBe('Four quick steps');
    const after = await list(url);
    expect(after[PLUS]?.version).not.toBe(before[PLUS]?.version);
    await expect.poll(async () => (await list(url))[PLUS]?.runnable, SOON).toBe(true);

    const later = await submit(url);
    await expect.poll(() => shiftThatRuns(url, waiting.id), SOON).toBe(3);
    await expect.poll(() => shiftThatRuns(url, later.id), SOON).toBe(2.5);
    for (const { id } of [executing, waiting, later]) {
      expect(await finalOf(url, id)).toMatchObject({ status: 'COMPLETED' });
    }
  });

  it('are not offered while broken; submitted jobs still end, other workflows run, and a fix is enough', async () => {
    const { url, child } = await running({ NODE_ENV: 'production' });
    const executing = await submit(url);
    const waiting = await submit(url);
    const manifest = await readFile(join(workflows, PLUS, 'workflow.json'), 'utf8');
    await writeFile(
      join(workflows, PLUS, 'workflow.json'),
      manifest.replace('"negativePrompt"', '"negativPrompt"'),
    );
    child.kill('SIGHUP');
    await expect
      .poll(async () => (await list(url))[PLUS]?.problems, SOON)
      .toEqual([expect.stringMatching(/^workflow\.json: inputs: .*did you mean "negativePrompt"/)]);
    expect(await submit(url)).toMatchObject({ message: expect.stringContaining('is broken: workflow.json') });
    const other = await submit(url, { workflow: null });
    expect(other.request?.workflow).toBe(LIGHTNING);
    for (const { id } of [executing, waiting, other]) {
      expect(await finalOf(url, id)).toMatchObject({ status: 'COMPLETED' });
    }

    await writeFile(join(workflows, PLUS, 'workflow.json'), manifest);
    child.kill('SIGHUP');
    await expect.poll(async () => (await list(url))[PLUS]?.runnable, SOON).toBe(true);
    expect((await submit(url, { workflow: null })).request?.workflow).toBe(PLUS);
  });

  it('run their current version after a restart when the submitted one is gone, and the log says so', async () => {
    const first = await running({ NODE_ENV: 'production' });
    await submit(first.url);
    const waiting = await submit(first.url);
    await end();
    await setShift(3.5);

    const second = await start({ NODE_ENV: 'production', LOG_LEVEL: 'warn' });
    let log = '';
    second.child.stderr?.on('data', (chunk: Buffer) => {
      log += chunk.toString();
    });
    expect(await finalOf(second.url, waiting.id)).toMatchObject({ status: 'COMPLETED' });
    const loggedJobs = () =>
      log
        .split('\n')
        .filter(line => line.includes('workflow version of the job'))
        .map(line => JSON.parse(line).job);
    await expect.poll(loggedJobs, SOON).toContain(waiting.id);
  });

  it('fail with a reason after a restart when the workflow was removed', async () => {
    const first = await running({ NODE_ENV: 'production' });
    await submit(first.url);
    const waiting = await submit(first.url);
    await end();
    await rm(join(workflows, PLUS), { recursive: true });
    const second = await start({ NODE_ENV: 'production' });
    expect(await finalOf(second.url, waiting.id)).toMatchObject({
      status: 'ERROR',
      error: { code: 'WORKFLOW_INVALID' },
    });
  });
});

describe('the folder of the workflows', () => {
  beforeAll(makeFolder);
  afterAll(removeFolder);

  it('needs no signal outside production: changed, added and removed folders are noticed', async () => {
    const { url } = await start();
    await retitle('Changed');
    await expect.poll(async () => (await list(url))[LIGHTNING]?.title, SOON).toBe('Changed');
    const added = join(workflows, 'mine');
    await cp(join(SHIPPED_FOLDER, PLUS), added, { recursive: true });
    const manifest = JSON.parse(await readFile(join(added, 'workflow.json'), 'utf8'));
    await writeFile(
      join(added, 'workflow.json'),
      JSON.stringify({ ...manifest, name: 'mine', title: 'Mine' }),
    );
    await expect.poll(async () => (await list(url)).mine?.runnable, SOON).toBe(true);
    await rm(added, { recursive: true });
    await expect.poll(async () => Object.keys(await list(url)).sort(), SOON).toEqual([PLUS, LIGHTNING]);
  });
});

describe('a start without a usable workflow', () => {
  beforeEach(makeFolder);
  afterEach(removeFolder);

  it('fails with the problems of all', async () => {
    await writeFile(join(workflows, PLUS, 'graph.json'), '{');
    await writeFile(join(workflows, LIGHTNING, 'workflow.json'), '[]');
    await expect(start()).rejects.toThrow(
      /ended with 1: No workflow is usable(?=[\s\S]*plus: graph\.json: is not JSON)(?=[\s\S]*lightning: workflow\.json: the file)/,
    );
  });

  it('fails with the nearest name when WORKFLOW is unknown', async () => {
    await expect(start({ WORKFLOW: 'qwen-image-edit-pluss' })).rejects.toThrow(
      /ended with 78: WORKFLOW: .*did you mean "qwen-image-edit-plus"/,
    );
  });
});
