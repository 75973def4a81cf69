import { describe, expect, it } from 'vitest';
import { expertise, makeFirst } from '../../../src/cli/workflows/make.ts';
import { readPublished } from '../../../src/cli/workflows/published.ts';
import { bindWorkflow } from '../../../src/workflows/bind/bind.ts';
import { checkGraph } from '../../../src/workflows/check/graph.ts';
import { checkWorkflow } from '../../../src/workflows/check/workflow.ts';
import { EDITOR_FILES, PUBLISHED_FILES } from '../../support/comfyui/published/editor-files.ts';
import { at, type PublishedFile, plain } from '../../support/comfyui/published/graphs.ts';
import { requestFor } from '../../support/comfyui/workflows.ts';

const expert = await expertise(null);

function make(json: unknown, options: { output?: string } = {}) {
  const source = readPublished(JSON.parse(JSON.stringify(json)));
  if (source.kind === 'none') throw new Error(source.message);
  const made = makeFirst('mine', [source], expert, options);
  if (!made.ok) throw new Error(made.message);
  return { ...made, workflow: { name: 'mine', version: '1', manifest: made.manifest, graph: made.graph } };
}

const listed = (places: string | readonly string[] | undefined) =>
  places === undefined ? [] : typeof places === 'string' ? [places] : places;

describe('workflows new, for files as people publish them', () => {
  it.each(PUBLISHED_FILES.map(file => [file.trait, file] as const))(
    'takes %s',
    (_, { json, places, changes }) => {
      const { workflow, changes: said } = make(json);
      expect(checkWorkflow(workflow)).toEqual([]);
      expect(expert.findings(workflow).problems).toEqual([]);
      for (const change of changes ?? []) expect(said).toContainEqual(expect.stringMatching(change));

      const hasSize = places.width !== undefined;
      const slots = ([1, 2, 3] as const).slice(0, places.images.length);
      const request = requestFor(slots, hasSize ? {} : { megapixels: null });
      const { graph, size } = bindWorkflow(workflow, request);
      expect(checkGraph(graph)).toEqual([]);
      const bound = (place: string) => [place, at(graph, place)];
      expect(bound(places.prompt)).toEqual([places.prompt, request.prompt]);
      for (const place of listed(places.negativePrompt))
        expect(bound(place)).toEqual([place, request.negativePrompt]);
      for (const place of listed(places.seed)) expect(bound(place)).toEqual([place, request.seed]);
      for (const place of listed(places.steps)) expect(bound(place)).toEqual([place, request.steps]);
      for (const place of listed(places.cfg)) expect(bound(place)).toEqual([place, request.cfg]);
      for (const place of listed(places.width)) expect(bound(place)).toEqual([place, size?.width]);
      for (const place of listed(places.height)) expect(bound(place)).toEqual([place, size?.height]);
      expect(places.images.map(bound)).toEqual(
        places.images.map((place, index) => [place, request.images[index]?.name]),
      );
      expect(bound(places.output)).toEqual([places.output, `QwenEdit/api_${request.jobId}`]);
      const { inputs } = workflow.manifest;
      expect(
        [inputs.negativePrompt, inputs.steps, inputs.cfg, inputs.width].map(target => target !== undefined),
      ).toEqual(
        [places.negativePrompt, places.steps, places.cfg, places.width].map(place => place !== undefined),
      );
    },
  );

  it('takes at least forty-three different ones', () => {
    const traits = new Set(PUBLISHED_FILES.map(({ trait }) => trait));
    expect(traits.size).toBe(PUBLISHED_FILES.length);
    expect(traits.size).toBeGreaterThanOrEqual(43);
  });

  it('makes the same graph of a file of the editor as of its export in API format', () => {
    const exported = make(plain());
    const same = [
      'version 0.4 of the format',
      'version 1 of the format',
      'widgets that are listed as inputs',
      'values of widgets by name',
      'reroutes',
      'a pair of set and get nodes',
      'inputs that take the value of a primitive',
      'a bypassed LoRA',
      'a node that broadcasts the VAE to all inputs without a link',
    ];
    const files = EDITOR_FILES.filter(({ trait }) => same.includes(trait));
    expect(files).toHaveLength(same.length);
    for (const { json } of files) expect(make(json).graph).toEqual(exported.graph);
  });

  it('gives inner nodes the values that a subgraph node holds for them', () => {
    const named = (trait: string): PublishedFile => {
      const file = EDITOR_FILES.find(candidate => candidate.trait === trait);
      if (file === undefined) throw new Error(trait);
      return file;
    };
    for (const trait of [
      'a subgraph that shows widgets as its own',
      'a subgraph with proxies of inner widgets',
    ]) {
      const { graph } = make(named(trait).json);
      expect(graph['300:37']?.inputs.unet_name).toBe('qwen_image_edit_2511_bf16.safetensors');
      expect(graph['300:3']?.inputs).toMatchObject({ steps: 20, sampler_name: 'euler', denoise: 1 });
    }
    const { graph } = make(named('a subgraph with proxies of inner widgets').json);
    expect(graph['300:3']?.inputs.seed).toBe(99);
  });
});
