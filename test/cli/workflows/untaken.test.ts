import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expertise, makeFirst } from '../../../src/cli/workflows/make.ts';
import { parseJson, readPublished } from '../../../src/cli/workflows/published.ts';
import { checkWorkflow } from '../../../src/workflows/check/workflow.ts';
import {
  type Draft,
  draftOf,
  intoSubgraph,
  nodeAt,
  version1,
  version04,
} from '../../support/comfyui/published/editor.ts';
import { EDITOR_FILES, PUBLISHED_FILES } from '../../support/comfyui/published/editor-files.ts';
import { changed, plain } from '../../support/comfyui/published/graphs.ts';

const expert = await expertise(null);

/** Why a file is not taken; null when it is. */
function reason(json: unknown): string | null {
  const source = readPublished(json);
  if (source.kind === 'none') return source.message;
  const made = makeFirst('mine', [source], expert);
  return made.ok ? null : made.message;
}

function edited(change: (draft: Draft) => void): unknown {
  const draft = draftOf(plain());
  change(draft);
  return JSON.parse(JSON.stringify(version04(draft)));
}

const text = (class_type: string, inputs: Record<string, unknown>) => ({ class_type, inputs });

describe('workflows new, for a file that it cannot take', () => {
  it.each<[string, unknown, RegExp]>([
    [
      'an image that is made from a text',
      changed({
        '78': null,
        '106': null,
        '93': null,
        '88': text('EmptySD3LatentImage', { width: 1024, height: 1024, batch_size: 1 }),
        '111': text('CLIPTextEncode', { clip: ['38', 0], text: 'p' }),
        '110': text('CLIPTextEncode', { clip: ['38', 0], text: '' }),
      }),
      /the graph lacks: LoadImage/,
    ],
    ['no sampler', changed({ '8': { inputs: { samples: ['88', 0] } } }), /the graph lacks: a sampler with/],
    ['no output', changed({ '60': null }), /the graph lacks: a node that saves an image/],
    [
      'a loader of which more than the image is used',
      changed({
        '78': text('LoadImageFromUrl', { url: 'https://images.example/a.png' }),
        '93': text('ImageScale', {
          image: ['78', 0],
          upscale_method: 'area',
          width: ['78', 2],
          height: 512,
          crop: 'center',
        }),
      }),
      /node 78 \(LoadImageFromUrl\) cannot become a LoadImage: output 2/,
    ],
    [
      'an unknown class whose values have no names',
      edited(draft =>
        Object.assign(nodeAt(draft, 75), {
          type: 'Patch Of A Pack',
          title: 'Sharpen',
          widgets_values: [1, 'a'],
        }),
      ),
      /node 75 \(Patch Of A Pack\) "Sharpen" has 2 values without names.*--engine <url>.*Export \(API\)/,
    ],
    [
      'a group node',
      edited(draft => Object.assign(nodeAt(draft, 75), { type: 'workflow>my group', widgets_values: [] })),
      /node 75 \(workflow>my group\) is a group node.*Convert to nodes/,
    ],
    [
      'links in a circle',
      edited(draft => {
        const link = draft.links.find(({ target_id, target_slot }) => target_id === 66 && target_slot === 0);
        draft.nodes.push(
          { id: 700, type: 'Reroute', mode: 0, inputs: [{ name: '', type: '*', link: 701 }], outputs: [] },
          { id: 701, type: 'Reroute', mode: 0, inputs: [{ name: '', type: '*', link: 700 }], outputs: [] },
        );
        const between = { origin_slot: 0, target_slot: 0, type: 'MODEL' };
        draft.links.push(
          { id: 700, origin_id: 700, target_id: 701, ...between },
          { id: 701, origin_id: 701, target_id: 700, ...between },
        );
        Object.assign(link ?? {}, { origin_id: 700 });
      }),
      /node 66 \(ModelSamplingAuraFlow\) has an input model whose links lead in a circle/,
    ],
    [
      'a subgraph that contains itself',
      edited(draft => {
        intoSubgraph(draft, 300, [37]);
        draft.subgraphs[0]?.nodes.push({ id: 301, type: 'subgraph-300', mode: 0, inputs: [], outputs: [] });
      }),
      /nests subgraphs more than 30 deep \(Part 300\)/,
    ],
    [
      'subgraphs that each contain two of the next',
      edited(draft => {
        for (let level = 0; level < 25; level++) {
          const inner = [1, 2].map(id => ({
            id,
            type: `level-${level + 1}`,
            mode: 0,
            inputs: [],
            outputs: [],
          }));
          draft.subgraphs.push({
            id: `level-${level}`,
            name: '',
            inputNode: { id: -10 },
            outputNode: { id: -20 },
            inputs: [],
            outputs: [],
            nodes: inner,
            links: [],
          });
        }
        draft.nodes.push({ id: 800, type: 'level-0', mode: 0, inputs: [], outputs: [] });
      }),
      /describes more than 5000 nodes/,
    ],
    [
      'too many nodes',
      Object.fromEntries(Array.from({ length: 6000 }, (_, id) => [id, text('A', {})])),
      /has more than 5000 nodes/,
    ],
  ])('names the node and the reason: %s', (_, json, message) => {
    const began = performance.now();
    expect(reason(JSON.parse(JSON.stringify(json)))).toMatch(message);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  it('rejects nesting that would exhaust the call stack', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    expect(reason(parseJson(`{"1": {"class_type": "A", "inputs": {"a": ${deep}}}}`))).toMatch(
      /nested more than 100/,
    );
    expect(reason(parseJson(`{"nodes": ${deep}, "links": []}`))).toMatch(/nested more than 100/);
  });

  it('is not changed by names of the prototype', () => {
    const graph = JSON.stringify(plain());
    const hostile = graph.replace(
      '{',
      '{"__proto__":{"class_type":"SaveImage","inputs":{"images":["8",0]}},',
    );
    expect(reason(parseJson(hostile))).toBeNull();
    const inputs = graph.replace('"seed":7', '"seed":7,"__proto__":{"polluted":true},"constructor":1');
    expect(reason(parseJson(inputs))).toBeNull();
    const editor = JSON.stringify(version04(draftOf(plain()))).replace(
      '"nodes":[',
      '"nodes":[{"id":"__proto__","type":"constructor","inputs":[{"name":"__proto__","link":1}],"widgets_values":{"__proto__":{"polluted":true}}},',
    );
    expect(reason(parseJson(editor))).toBeNull();
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });
});

describe('workflows new, for any JSON', () => {
  it('never throws', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), json => {
        expect(() => reason(json)).not.toThrow();
      }),
      { numRuns: 300 },
    );
  });

  it('never throws for a file of which parts are replaced, and makes only workflows that pass the check', () => {
    const files = [...PUBLISHED_FILES.slice(0, 6), ...EDITOR_FILES].map(({ json }) =>
      JSON.parse(JSON.stringify(json)),
    );
    const draft = draftOf(plain());
    intoSubgraph(draft, 300, [37, 66]);
    files.push(JSON.parse(JSON.stringify(version1(draft))));
    fc.assert(
      fc.property(
        fc.nat({ max: files.length - 1 }),
        fc.array(
          fc.tuple(
            fc.nat(),
            fc.oneof(
              fc.jsonValue({ maxDepth: 2 }),
              fc.integer({ min: -20, max: 320 }),
              fc.constantFrom(
                '60',
                '8',
                'SetNode',
                'subgraph-300',
                'LoadImage',
                '__proto__',
                ['3', 0],
                [1, 2],
              ),
            ),
          ),
          { minLength: 1, maxLength: 4 },
        ),
        (index, changes) => {
          const json: unknown = structuredClone(files[index]);
          for (const [position, value] of changes) replacePart(json, position, value);
          const source = readPublished(json);
          if (source.kind === 'none') return;
          const made = makeFirst('mine', [source], expert);
          if (!made.ok) return;
          const workflow = { name: 'mine', version: '1', manifest: made.manifest, graph: made.graph };
          // A graph may be faulty in itself; what the draft adds may not be.
          const problems = checkWorkflow(workflow).filter(problem => problem.startsWith('workflow.json'));
          expect(problems).toEqual([]);
          if (checkWorkflow(workflow).length === 0) expect(() => expert.findings(workflow)).not.toThrow();
        },
      ),
      { numRuns: 400 },
    );
  });
});

/**
 * Replaces one of the values in JSON, counted from its beginning. Takes a copy of the value, which changes later: without one, a
 * value that comes twice may contain itself.
 */
function replacePart(json: unknown, position: number, value: unknown): void {
  const places: [object, string][] = [];
  const visit = (parent: unknown): void => {
    if (typeof parent !== 'object' || parent === null) return;
    for (const key of Object.keys(parent)) {
      places.push([parent, key]);
      visit(Reflect.get(parent, key));
    }
  };
  visit(json);
  const place = places[position % Math.max(1, places.length)];
  if (place !== undefined) Reflect.set(place[0], place[1], structuredClone(value));
}
