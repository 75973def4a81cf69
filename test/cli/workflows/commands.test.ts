import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startSandbox } from '../../../src/sandbox/server.ts';
import { loadWorkflow } from '../../../src/workflows/files/load.ts';
import type { Graph } from '../../../src/workflows/graph.ts';
import { qwenEdit } from '../../support/clients/cli.ts';
import { SHIPPED_FOLDER, shipped } from '../../support/comfyui/workflows.ts';

const PLUS = 'qwen-image-edit-plus';

let folder: string;
let dir: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cli-'));
  dir = join(folder, 'workflows');
  await mkdir(dir);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** The standard workflow under another name, with its files changed as text. */
async function make(name: string, change: { graph?: Change; manifest?: Change } = {}): Promise<void> {
  const target = join(dir, name);
  await cp(join(SHIPPED_FOLDER, PLUS), target, { recursive: true });
  await rewrite(join(target, 'graph.json'), change.graph ?? (text => text));
  await rewrite(join(target, 'workflow.json'), text =>
    (change.manifest ?? (same => same))(text.replace(`"name": "${PLUS}"`, `"name": "${name}"`)),
  );
}

type Change = (text: string) => string;

async function rewrite(path: string, change: Change): Promise<void> {
  await writeFile(path, change(await readFile(path, 'utf8')));
}

describe('qwen-edit', () => {
  it.each([
    [['--help'], 'workflows check --engine'],
    [['serve', '--help'], 'COMFYUI_URL=http://127.0.0.1:8188 qwen-edit serve'],
    [['workflows', '--help'], 'workflows new --from exported.json'],
    [['workflows', 'list', '--help'], '--dir ./my-workflows'],
    [['workflows', 'check', '--help'], '--engine http://user:password@gpu.example:8188'],
    [['workflows', 'new', '--help'], '--name my-edit'],
  ])('has help with examples and exit codes: %j', async (words, example) => {
    const { code, out } = await qwenEdit(words);
    expect(code).toBe(0);
    expect(out).toContain('Examples:');
    expect(out).toContain(example);
    expect(out).toMatch(/Exit codes:\n {2}0 /);
  });

  it('exits with 2 for a command that it does not understand, and suggests the nearest', async () => {
    const [command, option, argument, none, name, credentials] = await Promise.all([
      qwenEdit(['workflws']),
      qwenEdit(['workflows', 'check', '--engin', 'x']),
      qwenEdit(['workflows', 'check', '--engine', 'gpu:8188']),
      qwenEdit(['workflows', 'new']),
      qwenEdit(['workflows', 'check', 'qwen-image-edit-pluss']),
      qwenEdit(['workflows', 'check', '--engine', 'http://us:100%@127.0.0.1:1']),
    ]);
    expect(command).toMatchObject({ code: 2, err: expect.stringContaining('Did you mean workflows?') });
    expect(option).toMatchObject({ code: 2, err: expect.stringContaining('Did you mean --engine?') });
    expect(argument).toMatchObject({ code: 2, err: expect.stringContaining('http://127.0.0.1:8188') });
    expect(none).toMatchObject({ code: 2, err: expect.stringContaining('--from') });
    expect(credentials).toMatchObject({
      code: 2,
      err: expect.stringContaining('--engine: takes credentials with reserved characters percent-encoded'),
    });
    expect(name).toMatchObject({ code: 2, err: expect.stringContaining(`did you mean "${PLUS}"`) });
  });

  it('serves, like the main module', async () => {
    expect(await qwenEdit(['serve'], { PORT: 'x' })).toMatchObject({
      code: 78,
      err: expect.stringContaining('PORT:'),
    });
  });
});

describe('qwen-edit workflows list', () => {
  it('lists the workflows and reports broken ones', async () => {
    const whole = await qwenEdit(['workflows', 'list']);
    expect(whole.code).toBe(0);
    expect(whole.out).toMatch(
      /^NAME .*\nqwen-image-edit-plus +[0-9a-f]{12} +1-3 +40 +Qwen Image Edit Plus\n/,
    );
    expect(whole.out).toMatch(/\nqwen-image-edit-plus-inpaint +[0-9a-f]{12} +1-3, mask +40 /);
    await make('mine');
    await make('torn', { graph: text => text.slice(0, 100) });
    const some = await qwenEdit(['workflows', 'list', '--dir', dir]);
    expect(some.code).toBe(1);
    expect(some.out).toMatch(/\nmine +[0-9a-f]{12} [\s\S]*\ntorn .*broken: graph\.json: is not JSON/);
    const nowhere = await qwenEdit(['workflows', 'list', '--dir', join(folder, 'none')]);
    expect(nowhere).toMatchObject({ code: 1, err: expect.stringContaining('cannot be read') });
  });
});

describe('qwen-edit workflows check', () => {
  it('finds no problem in the shipped workflows', async () => {
    const { code, out } = await qwenEdit(['workflows', 'check']);
    expect(out.split('\n').filter(line => /^\S/.test(line))).toEqual([
      'qwen-image-edit-plus: ok',
      'qwen-image-edit-2511: ok',
      'qwen-image-edit-plus-nunchaku: ok',
      'qwen-image-edit-plus-lightning: ok',
      'qwen-image-edit-plus-inpaint: ok',
    ]);
    expect(code).toBe(0);
  });

  it('reports without an engine what is wrong, where, and the nearest name', async () => {
    await make('a-manifest', { manifest: text => text.replace('"negativePrompt"', '"negativPrompt"') });
    await make('b-class', { graph: text => text.replace('"KSampler"', '"KSamplr"') });
    await make('c-value', { graph: text => text.replace('"euler"', '"eulr"') });
    await make('d-pack', { graph: text => text.replace('"CFGNorm"', '"MyOwnNode"') });
    await make('e-link', { graph: text => text.replace('"111"', '"1111"') });
    const { code, out } = await qwenEdit(['workflows', 'check'], { WORKFLOWS_DIR: dir });
    expect(code).toBe(1);
    const said = (name: string) => out.match(new RegExp(`^${name}: .*\\n((?:  .*\\n)*)`, 'm'))?.[0] ?? '';
    expect(said('a-manifest')).toMatch(
      /1 problem\n {2}workflow\.json: inputs: .*did you mean "negativePrompt"/,
    );
    expect(said('b-class')).toMatch(
      /graph\.json: node 3: ComfyUI lacks the node KSamplr; did you mean "KSampler"/,
    );
    expect(said('c-value')).toMatch(
      /1 problem\n {2}graph\.json: node 3 \(KSampler\): input sampler_name takes .*got "eulr"/,
    );
    expect(said('c-value')).toContain('did you mean "euler"');
    expect(said('d-pack')).toMatch(/ok\n {2}note: the class MyOwnNode is unknown/);
    expect(said('e-link')).toMatch(/graph\.json: .*missing node "1?111"/);

    const one = await qwenEdit(['workflows', 'check', 'd-pack', '--dir', dir]);
    expect(one.code).toBe(0);
    expect(one.out).not.toContain('a-manifest');
  });

  it('reports what an engine lacks, and the folder of a missing file', async () => {
    const engine = await startSandbox({ missingModels: ['qwen_image_vae.safetensors'] });
    try {
      await make('mine');
      const { code, out } = await qwenEdit(['workflows', 'check', '--dir', dir, '--engine', engine.url]);
      expect(code).toBe(1);
      expect(out).toMatch(
        /^mine: 1 problem\n {2}ComfyUI lacks the file qwen_image_vae\.safetensors in models\/vae \(from /,
      );
    } finally {
      await engine.stop();
    }
    const gone = await qwenEdit(['workflows', 'check', '--dir', dir, '--engine', engine.url]);
    expect(gone).toMatchObject({ code: 1, err: expect.stringContaining('does not respond like ComfyUI') });
  });

  it('finds no problem with an engine that has everything', async () => {
    const engine = await startSandbox();
    try {
      const words = ['workflows', 'check', PLUS, 'qwen-image-edit-plus-lightning', '--engine', engine.url];
      expect(await qwenEdit(words)).toMatchObject({ code: 0, err: '' });
    } finally {
      await engine.stop();
    }
  });
});

describe('qwen-edit workflows new', () => {
  it('creates a workflow from an exported graph, which the check then accepts', async () => {
    const { graph } = await shipped(PLUS);
    const exported: Graph = structuredClone(graph);
    exported['93'] = {
      class_type: 'ImageScaleToTotalPixels',
      inputs: { image: ['78', 0], upscale_method: 'lanczos', megapixels: 1 },
    };
    const from = join(folder, 'My Edit (v2).json');
    await writeFile(from, JSON.stringify({ prompt: exported }));

    const made = await qwenEdit(['workflows', 'new', '--from', from, '--dir', dir]);
    expect(made).toMatchObject({ code: 0, err: '' });
    expect(made.out).toContain(`Wrote ${join(dir, 'my-edit-v2')}`);
    expect(made.out).toContain('changed: node 93 (ImageScaleToTotalPixels) is now an ImageScale');
    expect(made.out).toContain('image 2: node 106 (LoadImage)');
    const workflow = await loadWorkflow(join(dir, 'my-edit-v2'), 'my-edit-v2');
    expect(workflow).toMatchObject({ manifest: { images: [{ slot: 1 }, { slot: 2 }, { slot: 3 }] } });
    expect(await qwenEdit(['workflows', 'check', '--dir', dir])).toMatchObject({ code: 0 });

    const again = await qwenEdit(['workflows', 'new', '--from', from, '--dir', dir]);
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining('--force') });
    const words = ['workflows', 'new', '--from', from, '--dir', dir, '--name', 'my-edit-v2'];
    const kept = await qwenEdit([...words, '--keep-graph', '--force']);
    // Newer versions of ComfyUI want an input that this export lacks: worth a note, since older ones do not.
    expect(kept).toMatchObject({
      code: 0,
      out: expect.stringMatching(/note: on ComfyUI .*resolution_steps/),
    });
    expect(kept.out).toContain('megapixels: node 93');
  });

  it('says why it cannot create one, and then writes nothing', async () => {
    const file = async (name: string, content: unknown) => {
      const path = join(folder, name);
      await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
      return qwenEdit(['workflows', 'new', '--from', path, '--dir', dir]);
    };
    const [editor, torn, poor, nameless] = await Promise.all([
      file('editor.json', { nodes: [], links: [] }),
      file('torn.json', '{'),
      file('poor.json', { '1': { class_type: 'LoadImage', inputs: { image: 'a.png' } } }),
      file('図.json', {}),
    ]);
    expect(editor).toMatchObject({ code: 1, err: expect.stringContaining('has no nodes') });
    expect(torn).toMatchObject({ code: 1, err: expect.stringContaining('cannot be read as JSON') });
    expect(poor).toMatchObject({
      code: 1,
      err: expect.stringContaining('the graph lacks: a node that saves an image'),
    });
    expect(nameless).toMatchObject({ code: 2, err: expect.stringContaining('--name is needed') });
    expect(await qwenEdit(['workflows', 'check', '--dir', dir])).toMatchObject({
      code: 1,
      err: expect.stringContaining('There is no workflow'),
    });
  });
});
