import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SHIPPED_FOLDER } from '../../support/comfyui/workflows.ts';
import { type Rig, startRig } from '../../support/gateway.ts';

const WORKFLOWS = `{
  workflows {
    name title description version runnable problems
    parameters { name type default minimum maximum options description }
    requirements { file folder }
  }
}`;

interface Parameter {
  name: string;
  type: string;
  default: unknown;
  minimum: number | null;
  maximum: number | null;
  options: unknown[] | null;
  description: string;
}

interface Listed {
  name: string;
  version: string | null;
  runnable: boolean;
  problems: string[];
  parameters: Parameter[];
  requirements: { file: string; folder: string }[];
}

let rig: Rig;
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'workflows-'));
  await cp(SHIPPED_FOLDER, dir, { recursive: true });
  await mkdir(join(dir, 'torn'));
  await writeFile(join(dir, 'torn', 'graph.json'), '{}');
  rig = await startRig({ WORKFLOWS_DIR: dir });
});
afterAll(async () => {
  await rig.close();
  await rm(dir, { recursive: true, force: true });
});

async function list(): Promise<Listed[]> {
  const { data, errors } = await rig.graphql<{ workflows: Listed[] }>(WORKFLOWS);
  if (data === null) throw new Error(JSON.stringify(errors));
  return data.workflows;
}

async function named(name: string): Promise<Listed | undefined> {
  return (await list()).find(workflow => workflow.name === name);
}

describe('workflows', () => {
  it('describe a form', async () => {
    await expect.poll(async () => (await named('qwen-image-edit-plus'))?.runnable).toBe(true);
    const plus = await named('qwen-image-edit-plus');
    expect(plus?.problems).toEqual([]);
    expect(plus?.parameters).toEqual([
      expect.objectContaining({
        name: 'steps',
        type: 'INTEGER',
        default: 40,
        minimum: 1,
        maximum: 100,
        options: null,
      }),
      expect.objectContaining({ name: 'cfg', type: 'NUMBER', default: 4, minimum: 1, maximum: 20 }),
      expect.objectContaining({ name: 'megapixels', type: 'NUMBER', default: 1, minimum: 0.1, maximum: 4 }),
    ]);
    expect(plus?.parameters.every(({ description }) => description !== '')).toBe(true);
    expect(plus?.requirements).toContainEqual({ file: 'qwen_image_vae.safetensors', folder: 'vae' });
  });

  it('list their own parameters with the accepted values', async () => {
    const nunchaku = await named('qwen-image-edit-plus-nunchaku');
    expect(nunchaku?.parameters.slice(3)).toContainEqual(
      expect.objectContaining({
        name: 'precision',
        type: 'STRING',
        options: expect.arrayContaining(['int4', 'fp4']),
      }),
    );
    for (const { parameters } of await list()) {
      for (const { options, default: value } of parameters) {
        if (options !== null) expect(options).toContain(value);
      }
    }
  });

  it('say why they cannot run', async () => {
    const nunchaku = await named('qwen-image-edit-plus-nunchaku');
    expect(nunchaku?.runnable).toBe(false);
    expect(nunchaku?.problems).toContainEqual(expect.stringContaining('NunchakuQwenImageDiTLoader'));
    expect(await named('torn')).toMatchObject({
      version: null,
      runnable: false,
      problems: expect.arrayContaining([expect.stringContaining('workflow.json: is missing')]),
      parameters: [],
      requirements: [],
    });
  });

  it('accept the values of their form and no others', async () => {
    const submit = async (input: Record<string, unknown>) => {
      const { data } = await rig.graphql<{ editImage: Record<string, unknown> }>(
        `mutation ($input: EditImageInput!) {
          editImage(input: $input) { __typename ... on EditInvalidInput { field message } }
        }`,
        { input: { images: [{ url: `${rig.images.url}/red.png` }], prompt: 'p', ...input } },
      );
      return data?.editImage;
    };
    const workflow = 'qwen-image-edit-plus-lightning';
    const own = (await named(workflow))?.parameters.slice(3) ?? [];
    expect(own.length).toBeGreaterThan(0);
    for (const { name, options } of own) {
      for (const value of options ?? []) {
        const steps = 1;
        expect(await submit({ workflow, steps, megapixels: 0.1, parameters: { [name]: value } })).toEqual({
          __typename: 'EditJob',
        });
      }
      expect(await submit({ workflow, parameters: { [name]: 'neither' } })).toMatchObject({
        __typename: 'EditInvalidInput',
        field: `parameters.${name}`,
      });
    }
  });

  it('determine the features of GET /', async () => {
    const answer = await fetch(`${rig.url}/`);
    expect((await answer.json()).features).toEqual(['multi-image-support']);
  });
});

describe('resultSize', () => {
  async function sizeAt(megapixels: string, width = 1600, height = 900): Promise<unknown> {
    const { data, errors } = await rig.graphql<{ workflows: { name: string; resultSize: unknown }[] }>(
      `{ workflows { name resultSize(width: ${width}, height: ${height}${megapixels}) { width height } } }`,
    );
    if (errors !== undefined) return errors[0]?.message;
    return data?.workflows.find(({ name }) => name === 'qwen-image-edit-plus')?.resultSize;
  }

  it('is that of the job', async () => {
    const image = `${rig.images.url}/red.png`;
    const { data } = await rig.graphql<{ editImage: { id: string } }>(
      `mutation { editImage(input: { images: [{ url: "${image}" }], prompt: "x", steps: 1, megapixels: 0.3 }) {
        ... on EditJob { id }
      } }`,
    );
    const id = data?.editImage.id;
    interface Sized {
      job: { size: object | null; request: { images: { width: number; height: number }[] } };
    }
    const job = async () =>
      (
        await rig.graphql<Sized>(
          `{ job(id: "${id}") { size { width height } request { images { width height } } } }`,
        )
      ).data?.job;
    await expect.poll(async () => (await job())?.size).not.toBeNull();
    const { width, height } = (await job())?.request.images[0] ?? {};
    expect(await sizeAt(', megapixels: 0.3', width, height)).toEqual((await job())?.size);
  });

  it('has the shape of image 1, at the default megapixels of the workflow', async () => {
    expect(await sizeAt('')).toEqual(await sizeAt(', megapixels: 1'));
    expect(await sizeAt('')).toEqual({ width: expect.any(Number), height: expect.any(Number) });
  });

  it('is null for megapixels that an edit would not accept, and names a side that is no side', async () => {
    expect(await sizeAt(', megapixels: 50')).toBeNull();
    expect(await sizeAt('', 0)).toBe('width takes 1 to 100000, got 0');
  });
});
