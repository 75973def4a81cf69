import { type Graph, isLink } from '../../../../src/workflows/graph.ts';

export interface Slot {
  name: string;
  type: string;
  link: number | null;
  widget?: { name: string };
}

export interface Node {
  id: number;
  type: string;
  mode: number;
  inputs: Slot[];
  outputs: { name: string; type: string; links: number[] }[];
  widgets_values?: unknown;
  title?: string;
  properties?: Record<string, unknown>;
}

export interface Link {
  id: number;
  origin_id: number;
  origin_slot: number;
  target_id: number;
  target_slot: number;
  type: string;
}

export interface Subgraph {
  id: string;
  name: string;
  inputNode: { id: number };
  outputNode: { id: number };
  inputs: { name: string; type: string; linkIds: number[] }[];
  outputs: { name: string; type: string; linkIds: number[] }[];
  nodes: Node[];
  links: Link[];
}

/** A file of the editor, before its links are written in the form of its version. */
export interface Draft {
  nodes: Node[];
  links: Link[];
  subgraphs: Subgraph[];
}

/** The widgets of classes in the editor's order; `*` is "control after generate". */
const WIDGETS: Readonly<Record<string, readonly string[]>> = {
  KSampler: ['seed', '*', 'steps', 'cfg', 'sampler_name', 'scheduler', 'denoise'],
  UNETLoader: ['unet_name', 'weight_dtype'],
  CLIPLoader: ['clip_name', 'type', 'device'],
  VAELoader: ['vae_name'],
  LoraLoaderModelOnly: ['lora_name', 'strength_model'],
  ModelSamplingAuraFlow: ['shift'],
  CFGNorm: ['strength'],
  LoadImage: ['image'],
  ImageScale: ['upscale_method', 'width', 'height', 'crop'],
  TextEncodeQwenImageEditPlus: ['prompt'],
  SaveImage: ['filename_prefix'],
  EmptySD3LatentImage: ['width', 'height', 'batch_size'],
  PrimitiveInt: ['value', '*'],
  PrimitiveStringMultiline: ['value'],
  StringConcatenate: ['string_a', 'string_b', 'delimiter'],
  EncoderOfAPack: ['mode', 'prompt', 'strength'],
};

const OUTPUTS: Readonly<Record<string, readonly string[]>> = {
  KSampler: ['LATENT'],
  UNETLoader: ['MODEL'],
  CLIPLoader: ['CLIP'],
  VAELoader: ['VAE'],
  LoraLoaderModelOnly: ['MODEL'],
  ModelSamplingAuraFlow: ['MODEL'],
  CFGNorm: ['MODEL'],
  LoadImage: ['IMAGE', 'MASK'],
  ImageScale: ['IMAGE'],
  TextEncodeQwenImageEditPlus: ['CONDITIONING'],
  EncoderOfAPack: ['CONDITIONING'],
  VAEEncode: ['LATENT'],
  VAEDecode: ['IMAGE'],
  EmptySD3LatentImage: ['LATENT'],
  PrimitiveInt: ['INT'],
  PrimitiveStringMultiline: ['STRING'],
  StringConcatenate: ['STRING'],
};

export interface DraftOptions {
  /** Whether widgets are listed as inputs, as newer versions of the editor do. */
  readonly listed?: boolean;
  /** Whether the values of widgets are stored by name. */
  readonly named?: boolean;
}

/** The file that the editor would save for a graph in API format. */
export function draftOf(graph: Graph, { listed = false, named = false }: DraftOptions = {}): Draft {
  const links: Link[] = [];
  const nodes = Object.entries(graph).map(([id, node]): Node => {
    const widgets = WIDGETS[node.class_type] ?? [];
    const inputs: Slot[] = [];
    const values: unknown[] = [];
    for (const [name, value] of Object.entries(node.inputs)) {
      if (!isLink(value)) continue;
      const type = OUTPUTS[graph[value[0]]?.class_type ?? '']?.[value[1]] ?? '*';
      links.push({
        id: links.length + 1,
        origin_id: Number(value[0]),
        origin_slot: value[1],
        target_id: Number(id),
        target_slot: inputs.length,
        type,
      });
      const widget = widgets.includes(name) ? { widget: { name } } : {};
      inputs.push({ name, type, link: links.length, ...widget });
    }
    for (const name of widgets) {
      if (name === '*') {
        values.push('randomize');
        continue;
      }
      const value = node.inputs[name];
      // Beneath a link the editor keeps the value that the widget had before.
      values.push(isLink(value) ? valueBefore(name) : value);
      if (listed && !isLink(value)) {
        const type = typeof value === 'number' ? 'FLOAT' : 'STRING';
        inputs.push({ name, type, link: null, widget: { name } });
      }
    }
    if (node.class_type === 'LoadImage') values.push('image');
    const types = OUTPUTS[node.class_type] ?? [];
    const byName = Object.fromEntries(
      widgets.map((name, index) => [name, values[index]]).filter(([name]) => name !== '*'),
    );
    return {
      id: Number(id),
      type: node.class_type,
      mode: 0,
      inputs,
      outputs: types.map(type => ({ name: type, type, links: [] })),
      ...(values.length === 0 ? {} : { widgets_values: named ? byName : values }),
      ...(node._meta?.title === undefined ? {} : { title: node._meta.title }),
    };
  });
  return { nodes, links, subgraphs: [] };
}

function valueBefore(name: string): unknown {
  return /seed|steps|width|height|value/.test(name) ? 1 : 'what was there before';
}

/** The file as version 0.4 of the format writes it, with links as lists. */
export function version04({ nodes, links, subgraphs }: Draft): unknown {
  return {
    id: '2f6a4c8e-0000-4000-8000-000000000000',
    revision: 0,
    last_node_id: 300,
    last_link_id: links.length,
    nodes,
    links: links.map(link => [
      link.id,
      link.origin_id,
      link.origin_slot,
      link.target_id,
      link.target_slot,
      link.type,
    ]),
    groups: [],
    config: {},
    extra: { ds: { scale: 1, offset: [0, 0] } },
    version: 0.4,
    ...(subgraphs.length === 0 ? {} : { definitions: { subgraphs } }),
  };
}

/** The file as version 1 of the format writes it, with links as objects. */
export function version1({ nodes, links, subgraphs }: Draft): unknown {
  return {
    version: 1,
    config: {},
    state: { lastNodeId: 300, lastLinkId: links.length, lastGroupId: 0, lastRerouteId: 0 },
    nodes,
    links: links.map(link => ({ ...link, parentId: 1 })),
    reroutes: [{ id: 1, pos: [0, 0], linkIds: links.map(({ id }) => id) }],
    floatingLinks: [],
    definitions: { subgraphs },
    extra: {},
  };
}

export function nodeAt(draft: Draft, id: number): Node {
  const node = draft.nodes.find(candidate => candidate.id === id);
  if (node === undefined) throw new Error(`no node ${id}`);
  return node;
}

/** Adds a node that only hands on what reaches an input of another node: a reroute, or a pair of set and get nodes. */
export function between(draft: Draft, target: number, input: string, chain: readonly Partial<Node>[]): void {
  const slot = nodeAt(draft, target).inputs.find(({ name }) => name === input);
  const link = draft.links.find(({ id }) => id === slot?.link);
  if (slot === undefined || link === undefined) throw new Error(`no link to ${target}.${input}`);
  for (const change of chain) {
    const id = 400 + draft.nodes.length;
    const takes = change.inputs === undefined;
    const node: Node = {
      id,
      type: 'Reroute',
      mode: 0,
      inputs: [],
      outputs: [{ name: '', type: link.type, links: [] }],
      ...change,
    };
    if (takes) {
      node.inputs = [{ name: '', type: '*', link: 1000 + id }];
      draft.links.push({ ...link, id: 1000 + id, target_id: id, target_slot: 0 });
    }
    draft.nodes.push(node);
    Object.assign(link, { origin_id: id, origin_slot: 0 });
  }
}

/**
 * Moves nodes into a subgraph, which becomes node `id` at their place. `widgets` are inputs of inner nodes that the node
 * shows as its own, with the value that it holds for each.
 */
export function intoSubgraph(
  draft: Pick<Draft, 'nodes' | 'links' | 'subgraphs'>,
  id: number,
  inner: readonly number[],
  widgets: readonly { node: number; name: string; value: unknown }[] = [],
): Node {
  const inside = new Set(inner);
  const subgraph: Subgraph = {
    id: `subgraph-${id}`,
    name: `Part ${id}`,
    inputNode: { id: -10 },
    outputNode: { id: -20 },
    inputs: [],
    outputs: [],
    nodes: draft.nodes.filter(node => inside.has(node.id)),
    links: [],
  };
  const outer: Node = { id, type: subgraph.id, mode: 0, inputs: [], outputs: [] };
  const kept: Link[] = [];
  for (const link of draft.links) {
    const [from, to] = [inside.has(link.origin_id), inside.has(link.target_id)];
    if (from && to) subgraph.links.push(link);
    else if (to) {
      const name = `in_${subgraph.inputs.length}`;
      subgraph.links.push({ ...link, origin_id: -10, origin_slot: subgraph.inputs.length });
      kept.push({ ...link, id: link.id + 5000, target_id: id, target_slot: outer.inputs.length });
      subgraph.inputs.push({ name, type: link.type, linkIds: [link.id] });
      outer.inputs.push({ name, type: link.type, link: link.id + 5000 });
    } else if (from) {
      const known = subgraph.links.find(
        ({ origin_id, origin_slot, target_id }) =>
          target_id === -20 && origin_id === link.origin_id && origin_slot === link.origin_slot,
      );
      const slot = known?.target_slot ?? subgraph.outputs.length;
      if (known === undefined) {
        subgraph.links.push({ ...link, id: link.id + 7000, target_id: -20, target_slot: slot });
        subgraph.outputs.push({ name: link.type, type: link.type, linkIds: [link.id + 7000] });
        outer.outputs.push({ name: link.type, type: link.type, links: [] });
      }
      kept.push({ ...link, origin_id: id, origin_slot: slot });
    } else kept.push(link);
  }
  for (const [index, { node: target, name }] of widgets.entries()) {
    const node = subgraph.nodes.find(candidate => candidate.id === target);
    if (node === undefined) throw new Error(`no inner node ${target}`);
    const type = 'STRING';
    subgraph.links.push({
      id: 9000 + id + index,
      origin_id: -10,
      origin_slot: subgraph.inputs.length,
      target_id: target,
      target_slot: node.inputs.length,
      type,
    });
    node.inputs.push({ name, type, link: 9000 + id + index, widget: { name } });
    subgraph.inputs.push({ name, type, linkIds: [9000 + id + index] });
    outer.inputs.push({ name, type, link: null, widget: { name } });
  }
  if (widgets.length > 0) outer.widgets_values = widgets.map(({ value }) => value);
  draft.nodes.splice(0, draft.nodes.length, ...draft.nodes.filter(node => !inside.has(node.id)), outer);
  draft.links.splice(0, draft.links.length, ...kept);
  draft.subgraphs.push(subgraph);
  return outer;
}
