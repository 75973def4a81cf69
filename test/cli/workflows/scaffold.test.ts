import { describe, expect, it } from 'vitest';
import { expertise } from '../../../src/cli/workflows/make.ts';
import { scaffoldManifest } from '../../../src/cli/workflows/scaffold.ts';
import { bindWorkflow } from '../../../src/workflows/bind/bind.ts';
import { danglingLinks } from '../../../src/workflows/check/graph.ts';
import { checkWorkflow } from '../../../src/workflows/check/workflow.ts';
import { loadWorkflows } from '../../../src/workflows/files/load.ts';
import { workflowJsonSchema } from '../../../src/workflows/manifest.ts';
import { fittingRequest, SHIPPED_FOLDER, shipped } from '../../support/comfyui/workflows.ts';

const { info } = await expertise(null);

describe('scaffoldManifest', () => {
  it('drafts the manifest of every shipped graph', async () => {
    const { workflows } = await loadWorkflows(SHIPPED_FOLDER);
    for (const { name, graph, manifest } of workflows) {
      const made = scaffoldManifest('mine', graph, manifest.output.node, info);
      if (!made.ok) throw new Error(`${name} lacks ${made.missing.join(', ')}`);
      const { inputs, images, mask, output, requires } = made.manifest;
      expect(inputs).toEqual(manifest.inputs);
      expect(images).toEqual(manifest.images);
      expect(mask).toEqual(manifest.mask);
      expect(output).toEqual(manifest.output);
      const listed = new Map(manifest.requires.models.map(({ file, folder }) => [file, folder]));
      expect(requires.models.length).toBeGreaterThanOrEqual(3);
      for (const { file, folder } of requires.models) expect(folder).toBe(listed.get(file));
      const workflow = { name: 'mine', version: '1', manifest: made.manifest, graph };
      expect(checkWorkflow(workflow)).toEqual([]);
      expect(danglingLinks(bindWorkflow(workflow, fittingRequest(workflow, [1, 3])).graph)).toEqual([]);
    }
  });

  it('assigns the nodes behind an optional image to that image', async () => {
    const { graph } = await shipped('qwen-image-edit-plus');
    const longer = structuredClone(graph);
    longer['200'] = { class_type: 'ImageInvert', inputs: { image: ['106', 0] } };
    for (const id of ['110', '111']) Object.assign(longer[id]?.inputs ?? {}, { image2: ['200', 0] });
    const made = scaffoldManifest('mine', longer, '60', info);
    expect(made.ok && made.manifest.images[1]).toMatchObject({
      slot: 2,
      target: { node: '106' },
      nodes: ['200'],
    });
  });

  it('takes a LoadImageMask as the mask', async () => {
    const { graph } = await shipped('qwen-image-edit-plus-inpaint');
    const other = structuredClone(graph);
    other['122'] = { class_type: 'LoadImageMask', inputs: { image: 'mask.png', channel: 'red' } };
    delete other['120'];
    delete other['121'];
    const made = scaffoldManifest('mine', other, '60', info);
    expect(made.ok && made.manifest).toMatchObject({
      images: [{ target: { node: '78' } }, { target: { node: '106' } }, { target: { node: '108' } }],
      mask: { target: { node: '122', input: 'image' } },
      inputs: { width: { node: '93', input: 'width' } },
    });
  });

  it('takes no more steps from a graph than an integer can be', async () => {
    const { graph } = await shipped('qwen-image-edit-plus');
    const many = structuredClone(graph);
    Object.assign(many['3']?.inputs ?? {}, { steps: 2 ** 53 });
    const made = scaffoldManifest('mine', many, '60', info);
    if (!made.ok) throw new Error(`it lacks ${made.missing.join(', ')}`);
    expect(checkWorkflow({ name: 'mine', version: '1', manifest: made.manifest, graph: many })).toEqual([]);
  });

  it('reports what it did not find', () => {
    expect(
      scaffoldManifest('mine', { '1': { class_type: 'LoadImage', inputs: { image: 'a.png' } } }, '1', info),
    ).toEqual({
      ok: false,
      missing: [
        'a sampler with a positive conditioning or a guider',
        'a seed',
        'a prompt behind the sampler',
        'LoadImage',
      ],
    });
  });
});

describe('workflowJsonSchema', () => {
  it('describes the manifest as written, where fields with a default are optional', () => {
    const schema = workflowJsonSchema();
    expect(schema).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      additionalProperties: false,
      properties: { $schema: { type: 'string' }, preference: { default: 1000 } },
      required: ['name', 'title', 'images', 'inputs', 'parameters', 'output'],
    });
    expect(JSON.parse(JSON.stringify(schema))).toEqual(workflowJsonSchema());
  });
});
