import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BindRequest, bindWorkflow, WorkflowBindError } from '../../../src/workflows/bind/bind.ts';
import { danglingLinks } from '../../../src/workflows/check/graph.ts';
import { checkWorkflow } from '../../../src/workflows/check/workflow.ts';
import { type Graph, isLink } from '../../../src/workflows/graph.ts';
import type { Workflow } from '../../../src/workflows/workflow.ts';
import { requestFor, shipped, smallWorkflow, workflowOf } from '../../support/comfyui/workflows.ts';

type Slot = 1 | 2 | 3;

/** A workflow of up to three images, each with a chain of nodes of its own. */
interface Drawn {
  workflow: Workflow;
  /** The nodes of each slot's chain, LoadImage first. */
  chains: Map<Slot, string[]>;
  required: Slot[];
}

const drawn: fc.Arbitrary<Drawn> = fc
  .record({
    slots: fc.subarray<Slot>([1, 2, 3], { minLength: 1 }),
    lengths: fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3)),
    needed: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
    ids: fc.uniqueArray(fc.stringMatching(/^[A-Za-z0-9:_ .-]{1,8}$/), { minLength: 20, maxLength: 20 }),
    by: fc.constantFrom('id', 'title', 'class'),
    steps: fc.integer({ min: 1, max: 100 }),
    parameters: fc.array(
      fc.constantFrom(
        { type: 'integer', default: 3, minimum: 0, maximum: 9 },
        { type: 'number', default: 0.5, minimum: 0, maximum: 1 },
        { type: 'boolean', default: false },
        { type: 'string', default: 'a', options: ['a', 'b'] },
        { type: 'string', default: 'free text' },
      ),
      { maxLength: 4 },
    ),
    scales: fc.boolean(),
    negative: fc.boolean(),
  })
  .map(({ slots, lengths, needed, ids, by, steps, parameters, scales, negative }) => {
    const free = [...ids];
    const take = (): string => free.pop() ?? '';
    const graph: Graph = {};
    const add = (classType: string, inputs: Record<string, unknown>): string => {
      const id = take();
      graph[id] = { class_type: classType, inputs, _meta: { title: `The ${classType}` } };
      return id;
    };
    const chains = new Map<Slot, string[]>();
    const images: Record<string, unknown> = {};
    const required = slots.filter((slot, index) => index === 0 || needed[slot - 1] === true);
    for (const slot of slots) {
      const chain = [add('LoadImage', { image: 'placeholder.png' })];
      for (let index = 0; index < (lengths[slot - 1] ?? 0); index++) {
        chain.push(add('ImageInvert', { image: [chain.at(-1), 0] }));
      }
      chains.set(slot, chain);
      images[`image${slot}`] = [chain.at(-1), 0];
    }
    const firstImage = images[`image${slots[0]}`];
    const scale = scales
      ? add('ImageScale', { image: firstImage, width: 8, height: 8 })
      : add('ImageScaleToTotalPixels', { image: firstImage, megapixels: 1 });
    const positive = add('Encode', { prompt: '', ...images });
    const other = add('EncodeNegative', { prompt: 'none', ...images });
    const extra = add('Extra', Object.fromEntries(parameters.map((_, index) => [`p${index}`, 0])));
    const sampler = add('KSampler', {
      positive: [positive, 0],
      negative: [other, 0],
      latent: [scale, 0],
      extra: [extra, 0],
      seed: 1,
      steps: 2,
      cfg: 3,
    });
    const save = add('SaveImage', { images: [sampler, 0], filename_prefix: 'x' });
    const names = {
      id: (id: string) => id,
      title: (id: string) => graph[id]?._meta?.title ?? id,
      class: (id: string) => graph[id]?.class_type ?? id,
    };
    const name = names[by];
    const workflow = workflowOf(graph, {
      name: 'drawn',
      title: 'Drawn',
      images: slots.map(slot => {
        const [load = '', ...rest] = chains.get(slot) ?? [];
        return {
          slot,
          required: required.includes(slot),
          target: { node: load, input: 'image' },
          nodes: rest,
        };
      }),
      inputs: {
        prompt: { node: name(positive), input: 'prompt' },
        ...(negative ? { negativePrompt: [{ node: name(other), input: 'prompt' }] } : {}),
        seed: { node: name(sampler), input: 'seed' },
        steps: { node: name(sampler), input: 'steps' },
        cfg: { node: name(sampler), input: 'cfg' },
        ...(scales
          ? { width: { node: name(scale), input: 'width' }, height: { node: name(scale), input: 'height' } }
          : { megapixels: { node: name(scale), input: 'megapixels' } }),
      },
      parameters: {
        steps: { default: steps, minimum: 1, maximum: 100 },
        cfg: { default: 4, minimum: 1, maximum: 20 },
        megapixels: { default: 1, minimum: 0.1, maximum: 4 },
      },
      extraParameters: parameters.map((parameter, index) => ({
        ...parameter,
        name: `p${index}`,
        target: { node: name(extra), input: `p${index}` },
      })),
      output: { node: name(save) },
    });
    return { workflow, chains, required };
  });

const side = fc.integer({ min: 1, max: 20_000 });

function requestsOf({ workflow, required }: Drawn): fc.Arbitrary<BindRequest> {
  const slots = workflow.manifest.images.map(({ slot }) => slot);
  return fc.record({
    jobId: fc.uuid(),
    images: fc
      .tuple(fc.subarray(slots), fc.array(fc.tuple(side, side), { minLength: 3, maxLength: 3 }))
      .map(([chosen, sizes]) =>
        slots
          .filter(slot => chosen.includes(slot) || required.includes(slot))
          .map(slot => ({
            slot,
            name: `in/${slot}.png`,
            width: sizes[slot - 1]?.[0] ?? 1,
            height: sizes[slot - 1]?.[1] ?? 1,
          })),
      ),
    prompt: fc.string(),
    negativePrompt: fc.string(),
    seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
    steps: fc.integer({ min: 1, max: 100 }),
    cfg: fc.integer({ min: 10, max: 200 }).map(tenths => tenths / 10),
    megapixels: fc.double({ min: 0.1, max: 4, noNaN: true }),
    parameters: fc.constant({}),
  });
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
}

describe('bindWorkflow, for any workflow and any request', () => {
  it('makes a graph without dangling links or unused nodes, and does not change the workflow', () => {
    const cases = drawn.chain(entry => requestsOf(entry).map(request => ({ ...entry, request })));
    fc.assert(
      fc.property(cases, ({ workflow, chains, request }) => {
        expect(checkWorkflow(workflow)).toEqual([]);
        const before = JSON.stringify(workflow);
        deepFreeze(workflow);
        const { graph, plan, size, outputNode } = bindWorkflow(workflow, request);
        expect(JSON.stringify(workflow)).toBe(before);
        expect(danglingLinks(graph)).toEqual([]);

        const present = new Set(request.images.map(({ slot }) => slot));
        const expected = Object.keys(workflow.graph).filter(
          id => ![...chains].some(([slot, chain]) => !present.has(slot) && chain.includes(id)),
        );
        expect(Object.keys(graph).sort()).toEqual(expected.sort());
        for (const { slot, name } of request.images) {
          expect(graph[chains.get(slot)?.[0] ?? '']?.inputs.image).toBe(name);
        }
        const sampler = Object.values(graph).find(node => node.class_type === 'KSampler');
        expect(sampler?.inputs).toMatchObject({ seed: request.seed, steps: request.steps, cfg: request.cfg });
        expect(graph[outputNode]?.inputs.filename_prefix).toBe(`QwenEdit/api_${request.jobId}`);
        for (const node of Object.values(graph)) {
          for (const value of Object.values(node.inputs)) {
            expect(isLink(value) || ['string', 'number', 'boolean'].includes(typeof value)).toBe(true);
            if (typeof value === 'number') expect(Number.isFinite(value)).toBe(true);
          }
        }
        const { width = 0, height = 0 } = size ?? {};
        expect(width % 16 === 0 && height % 16 === 0 && width > 0 && height > 0).toBe(true);

        expect(Object.keys(plan.nodes).sort()).toEqual(expected.sort());
        const sampling = request.steps * (request.cfg === 1 ? 0.5 : 1);
        expect(plan.samplerNodes.map(id => plan.nodes[id]?.weight)).toEqual([sampling]);
        expect(Object.values(plan.nodes).every(({ weight }) => Number.isFinite(weight) && weight >= 0)).toBe(
          true,
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe('bindWorkflow', () => {
  it('writes a parameter to all of its targets, except those removed with an absent image', () => {
    const { graph, manifest } = smallWorkflow();
    graph['7'] = { class_type: 'ImageBlur', inputs: { image: ['2', 0], amount: 1 } };
    const encode = graph['4'];
    if (encode !== undefined) encode.inputs.image2 = ['7', 0];
    const workflow = workflowOf(graph, {
      ...manifest,
      images: [
        { slot: 1, required: true, target: { node: '1', input: 'image' } },
        { slot: 2, target: { node: '2', input: 'image' }, nodes: ['7'] },
      ],
      extraParameters: [
        {
          name: 'strength',
          type: 'number',
          default: 1,
          target: [
            { node: '4', input: 'strength' },
            { node: '7', input: 'amount' },
          ],
        },
      ],
    });
    expect(checkWorkflow(workflow)).toEqual([]);
    const both = bindWorkflow(workflow, requestFor([1, 2], { parameters: { strength: 0.25 } })).graph;
    expect([both['4']?.inputs.strength, both['7']?.inputs.amount]).toEqual([0.25, 0.25]);
    const one = bindWorkflow(workflow, requestFor([1], { parameters: { strength: 0.25 } })).graph;
    expect(Object.keys(one)).toEqual(['1', '3', '4', '5', '6']);
    expect(one['4']?.inputs).toEqual({
      prompt: expect.any(String),
      image1: ['3', 0],
      strength: 0.25,
      model: 'm.safetensors',
    });
  });

  it('counts a step without guidance as half a step with guidance', async () => {
    const lightning = await shipped('qwen-image-edit-plus-lightning');
    const { plan } = bindWorkflow(lightning, requestFor([1, 2], { steps: 8, cfg: 1 }));
    expect(plan.nodes['3']).toMatchObject({ stage: 'SAMPLING', weight: 4 });
    expect(plan.nodes['111']).toMatchObject({ stage: 'ENCODING', weight: 1.1 });
    expect(plan.nodes['89']?.stage).toBe('LOADING');
    expect(plan.nodes['8']?.stage).toBe('DECODING');
    expect(plan.nodes['60']?.stage).toBe('SAVING');
  });

  const two = [
    { slot: 1 as const, name: 'a', width: 9, height: 9 },
    { slot: 1 as const, name: 'b', width: 9, height: 9 },
  ];
  it.each<[string, Partial<BindRequest>, string]>([
    ['steps', { steps: Number.NaN }, 'steps takes an integer from 1 to 100, got NaN'],
    ['steps', { steps: 40.7 }, 'steps takes an integer from 1 to 100, got 40.7'],
    ['cfg', { cfg: Number.POSITIVE_INFINITY }, 'cfg takes a number from 1 to 20, got Infinity'],
    ['cfg', { cfg: 0 }, 'cfg takes a number from 1 to 20, got 0'],
    ['megapixels', { megapixels: 0 }, 'megapixels takes a number from 0.1 to 4, got 0'],
    [
      'seed',
      { seed: '18446744073709551616' },
      'seed takes an integer from 0 to 18446744073709551615, got "18446744073709551616"',
    ],
    ['seed', { seed: '-1' }, 'seed takes an integer'],
    ['jobId', { jobId: '../../x' }, 'jobId takes letters, digits, - and _, got "../../x"'],
    ['images', { images: [] }, 'image 1 is missing'],
    [
      'image 3',
      { images: [{ slot: 3, name: 'c', width: 9, height: 9 }] },
      'image 3 is not an image of this workflow, which takes 1, 2',
    ],
    ['a repeated image', { images: two }, 'image 1 is set twice'],
    [
      'its size',
      { images: [{ slot: 1, name: 'a', width: 0, height: 9 }] },
      'image 1 takes sides of at least 1 pixel, got 0x9',
    ],
    [
      'its name',
      { images: [{ slot: 1, name: '', width: 9, height: 9 }] },
      'image 1 takes the name of an uploaded file',
    ],
    ['a mask', { mask: 'm.png' }, 'mask is not an input of this workflow'],
    [
      'a parameter',
      { parameters: { strenght: 1 } },
      'parameters.strenght is not a parameter of the workflow small, which takes strength; did you mean "strength"?',
    ],
    [
      'a value of a parameter',
      { parameters: { strength: 3 } },
      'parameters.strength takes a number from 0 to 2, got 3',
    ],
  ])('throws for %s that does not fit', (_what, changes, message) => {
    const { graph, manifest } = smallWorkflow();
    const bind = () => bindWorkflow(workflowOf(graph, manifest), requestFor([1], changes));
    expect(bind).toThrow(WorkflowBindError);
    expect(bind).toThrow(message);
  });

  it('throws without the mask that a workflow takes', async () => {
    const inpaint = await shipped('qwen-image-edit-plus-inpaint');
    expect(() => bindWorkflow(inpaint, requestFor([1]))).toThrow('mask is missing');
    expect(() => bindWorkflow(inpaint, requestFor([1], { mask: '' }))).toThrow('mask takes the name');
  });

  it('drops the leading zeros of a seed', () => {
    const { graph, manifest } = smallWorkflow();
    const bound = bindWorkflow(workflowOf(graph, manifest), requestFor([1], { seed: '007' }));
    expect(bound.graph['5']?.inputs.seed).toBe('7');
  });
});
