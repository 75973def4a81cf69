import { z } from 'zod';

/** One input of a node of the editor. */
export interface EditorInput {
  readonly name: string;
  readonly type: string;
  /** The id of the link that ends here. */
  readonly link: string | null;
  /** The widget that this input replaces when something is linked to it. */
  readonly widget: string | null;
}

export interface EditorNode {
  readonly id: string;
  readonly type: string;
  readonly title: string | null;
  readonly mode: number;
  readonly inputs: readonly EditorInput[];
  /** The type of each output. */
  readonly outputs: readonly string[];
  /** Values of widgets in the order of the node's widgets, or by name. */
  readonly values: readonly unknown[] | Readonly<Record<string, unknown>>;
  /** Widgets of inner nodes that a subgraph node shows, as inner node id (`-1`: its own input) and widget name. */
  readonly proxies: readonly (readonly [node: string, widget: string])[];
}

export interface EditorLink {
  readonly from: string;
  readonly output: number;
  readonly to: string;
  readonly input: number;
}

/** The nodes and links of one level: of the file itself or of a subgraph. */
export interface EditorGraph {
  readonly nodes: ReadonlyMap<string, EditorNode>;
  readonly links: ReadonlyMap<string, EditorLink>;
}

/** What a node is that has the id of a subgraph as its type. */
export interface Subgraph extends EditorGraph {
  readonly name: string;
  readonly inputs: readonly string[];
  /** The numbers of the inputs that end at a widget, and thus are widgets of the subgraph node. */
  readonly promoted: ReadonlySet<number>;
  /** The link that ends at each output. */
  readonly outputs: ReadonlyMap<number, EditorLink>;
  /** The id of the pseudo node from which its inputs come. */
  readonly inputNode: string;
}

/** A file as the editor saves it. */
export interface EditorFile extends EditorGraph {
  readonly subgraphs: ReadonlyMap<string, Subgraph>;
}

/** Modes of a node (`LGraphEventMode` of litegraph): a muted node does not run, a bypassed one hands its inputs on. */
export const MUTED = 2;
export const BYPASSED = 4;

const id = z.union([z.string(), z.number()]).transform(String);
const type = z.union([z.string(), z.number()]).transform(String).catch('*');
const list = <T>(item: z.ZodType<T>) =>
  z
    .array(item.nullable().catch(null))
    .catch([])
    .transform(items => items.filter(entry => entry !== null));

const input = z.object({
  name: z.string().catch(''),
  type,
  link: id.nullish().catch(null),
  widget: z.object({ name: z.string() }).nullish().catch(null),
});

const values = z.union([z.array(z.unknown()), z.record(z.string(), z.unknown())]);

const node = z.object({
  id,
  type: z.string(),
  title: z.string().nullish().catch(null),
  mode: z.number().catch(0),
  // An input that cannot be read keeps its place, since links count inputs.
  inputs: z.array(input.catch({ name: '', type: '*', link: null, widget: null })).catch([]),
  outputs: z.array(z.object({ type }).catch({ type: '*' })).catch([]),
  widgets_values: values.nullish().catch(null),
  widgets_values_named: z.record(z.string(), z.unknown()).nullish().catch(null),
  properties: z
    .object({ proxyWidgets: list(z.tuple([id, z.string()])) })
    .partial()
    .catch({}),
});

const count = z.number().catch(0);
/** A link is a list in version 0.4 of the format, an object in version 1 and in subgraphs. */
const link = z.union([
  z
    .tuple([id, id, count, id, count])
    .rest(z.unknown())
    .transform(([key, from, output, to, at]) => ({ key, from, output, to, input: at })),
  z
    .object({ id, origin_id: id, origin_slot: count, target_id: id, target_slot: count })
    .transform(({ id: key, origin_id: from, origin_slot: output, target_id: to, target_slot: at }) => ({
      key,
      from,
      output,
      to,
      input: at,
    })),
]);

const graph = { nodes: list(node), links: list(link) };
const named = z.object({ name: z.string().catch('') }).catch({ name: '' });
const subgraph = z.object({
  ...graph,
  id,
  name: z.string().catch(''),
  inputs: z.array(named).catch([]),
  inputNode: z.object({ id }).catch({ id: '-10' }),
  outputNode: z.object({ id }).catch({ id: '-20' }),
});

const file = z.object({
  nodes: z.array(z.unknown()),
  links: z.array(z.unknown()),
});
const content = z.object({
  ...graph,
  definitions: z
    .object({ subgraphs: list(subgraph) })
    .partial()
    .catch({}),
});

/** Whether JSON looks like a file that the editor saved, not like a graph in API format. */
export function isEditorFormat(json: unknown): boolean {
  return file.safeParse(json).success;
}

/**
 * Reads a file of the editor, in version 0.4 or 1 of its format (`nodes`, `links` and, in newer ones,
 * `definitions.subgraphs`). What cannot be read is skipped; null when it is no such file.
 */
export function parseEditorFile(json: unknown): EditorFile | null {
  if (!isEditorFormat(json)) return null;
  const parsed = content.safeParse(json);
  if (!parsed.success) return null;
  const subgraphs = (parsed.data.definitions.subgraphs ?? []).map(
    entry => [entry.id, subgraphOf(entry)] as const,
  );
  return { ...graphOf(parsed.data), subgraphs: new Map(subgraphs) };
}

function subgraphOf({ name, inputs, inputNode, outputNode, ...rest }: z.output<typeof subgraph>): Subgraph {
  const { nodes, links } = graphOf(rest);
  const all = [...links.values()];
  const endsAtWidget = ({ to, input: at }: EditorLink) =>
    (nodes.get(to)?.inputs[at]?.widget ?? null) !== null;
  return {
    nodes,
    links,
    name,
    inputs: inputs.map(entry => entry.name),
    promoted: new Set(
      all
        .filter(({ from }) => from === inputNode.id)
        .filter(endsAtWidget)
        .map(({ output }) => output),
    ),
    outputs: new Map(all.filter(({ to }) => to === outputNode.id).map(entry => [entry.input, entry])),
    inputNode: inputNode.id,
  };
}

function graphOf({
  nodes,
  links,
}: {
  nodes: z.output<typeof node>[];
  links: z.output<typeof link>[];
}): EditorGraph {
  return {
    nodes: new Map(nodes.map(entry => [entry.id, nodeFrom(entry)])),
    links: new Map(links.map(({ key, ...rest }) => [key, rest])),
  };
}

function nodeFrom({ inputs, outputs, ...entry }: z.output<typeof node>): EditorNode {
  return {
    id: entry.id,
    type: entry.type,
    title: entry.title ?? null,
    mode: entry.mode,
    inputs: inputs.map(({ link: from, widget, ...rest }) => ({
      ...rest,
      link: from ?? null,
      widget: widget?.name ?? null,
    })),
    outputs: outputs.map(output => output.type),
    values: entry.widgets_values_named ?? entry.widgets_values ?? [],
    proxies: entry.properties.proxyWidgets ?? [],
  };
}
