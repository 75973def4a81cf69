import { alignValues } from './align.ts';
import {
  BYPASSED,
  type EditorFile,
  type EditorGraph,
  type EditorNode,
  MUTED,
  type Subgraph,
} from './format.ts';

/** One level of a file while it is flattened: the file itself, or a subgraph in the place of one of its nodes. */
export interface Scope {
  readonly graph: EditorGraph;
  /** What the ids of its nodes begin with in the API format: the ids of the subgraph nodes above, each with a colon. */
  readonly prefix: string;
  readonly inside: Inside | null;
  /** The scopes of its subgraph nodes that were entered so far, by node. */
  readonly entered: Map<EditorNode, Scope>;
  /** Its set nodes, by the name that get nodes refer to. */
  readonly setters: ReadonlyMap<unknown, EditorNode>;
}

interface Inside {
  readonly subgraph: Subgraph;
  /** The node that stands for the subgraph, and the scope that it is in. */
  readonly node: EditorNode;
  readonly scope: Scope;
  /** The values that the node has for inputs of the subgraph to which nothing is linked. */
  readonly promoted: ReadonlyMap<string, unknown>;
  /** The values that the node has for widgets of inner nodes, by node id and widget name. */
  readonly proxied: ReadonlyMap<string, ReadonlyMap<string, unknown>>;
}

/** Where an input gets its value from. */
export type Source =
  | { readonly kind: 'link'; readonly node: string; readonly output: number }
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'none' }
  /** The links lead in a circle. */
  | { readonly kind: 'cycle' };

/** An input or an output on the way from an input to its source. */
type Place =
  | { readonly at: 'input'; readonly scope: Scope; readonly node: EditorNode; readonly index: number }
  | { readonly at: 'output'; readonly scope: Scope; readonly node: EditorNode; readonly index: number };

/** More nodes in a row that only hand a value on than any file has. */
const MAX_HOPS = 200;

const NONE: Source = { kind: 'none' };

const REROUTES: ReadonlySet<string> = new Set(['Reroute', 'Reroute (rgthree)']);
const SETTERS: ReadonlySet<string> = new Set(['SetNode', 'easy setNode']);
const GETTERS: ReadonlySet<string> = new Set(['GetNode', 'easy getNode']);
const NOTES =
  /^(Note|MarkdownNote|PrimitiveNode)$|^(Fast |Mute \/ |Label |Bookmark |Node Collector|Random Unmuter)/;

/** Whether a class exists only in the editor, so that no engine has it. */
export function isVirtual({ type }: EditorNode): boolean {
  return REROUTES.has(type) || SETTERS.has(type) || GETTERS.has(type) || NOTES.test(type);
}

export function rootScope(file: EditorFile): Scope {
  return scopeOf(file, '', null);
}

/** The inside of a subgraph node. */
export function enter(scope: Scope, node: EditorNode, subgraph: Subgraph): Scope {
  const before = scope.entered.get(node);
  if (before !== undefined) return before;
  const inside = { subgraph, node, scope, ...valuesOfSubgraphNode(node, subgraph) };
  const entered = scopeOf(subgraph, `${scope.prefix}${node.id}:`, inside);
  scope.entered.set(node, entered);
  return entered;
}

function scopeOf(graph: EditorGraph, prefix: string, inside: Inside | null): Scope {
  const setters = [...graph.nodes.values()].filter(node => SETTERS.has(node.type));
  return {
    graph,
    prefix,
    inside,
    entered: new Map(),
    setters: new Map(setters.map(node => [nameOf(node), node])),
  };
}

/** The widget values that a subgraph node holds for what is inside. */
function valuesOfSubgraphNode(node: EditorNode, subgraph: Subgraph): Pick<Inside, 'promoted' | 'proxied'> {
  const { values, proxies } = node;
  const promoted = new Map<string, unknown>();
  const proxied = new Map<string, Map<string, unknown>>();
  if (!isList(values)) return { promoted: new Map(Object.entries(values)), proxied };
  if (proxies.length === 0) {
    const names = subgraph.inputs.filter((_, index) => subgraph.promoted.has(index));
    return {
      promoted: alignValues(
        names.map(name => ({ name })),
        values,
      ).values,
      proxied,
    };
  }
  for (const [index, [inner, widget]] of proxies.entries()) {
    const value = values[index];
    if (value === undefined || value === null) continue;
    if (inner === '-1') promoted.set(widget, value);
    else proxied.set(inner, (proxied.get(inner) ?? new Map<string, unknown>()).set(widget, value));
  }
  return { promoted, proxied };
}

/**
 * Follows the link of an input to the node that an engine would take the value from, as the editor does when it queues a
 * prompt (`utils/executionUtil.ts` and `ExecutableNodeDTO.ts` of ComfyUI_frontend): through reroutes, pairs of set and
 * get nodes, bypassed nodes, and in and out of subgraphs. Nothing comes from a muted node.
 */
export function sourceOf(file: EditorFile, scope: Scope, node: EditorNode, index: number): Source {
  const type = node.inputs[index]?.type ?? '*';
  let place: Place = { at: 'input', scope, node, index };
  for (let hops = 0; hops < MAX_HOPS; hops++) {
    const next: Place | Source = place.at === 'input' ? beforeInput(place) : beforeOutput(file, place, type);
    if ('kind' in next) return next;
    place = next;
  }
  return { kind: 'cycle' };
}

function beforeInput({ scope, node, index }: Place): Place | Source {
  const key = node.inputs[index]?.link ?? null;
  const link = key === null ? undefined : scope.graph.links.get(key);
  if (link === undefined) return NONE;
  const { inside } = scope;
  if (inside !== null && link.from === inside.subgraph.inputNode) return outside(inside, link.output);
  const origin = scope.graph.nodes.get(link.from);
  return origin === undefined ? NONE : { at: 'output', scope, node: origin, index: link.output };
}

/** From an input of a subgraph to that of the node that stands for it. */
function outside({ subgraph, node, scope, promoted }: Inside, input: number): Place | Source {
  const name = subgraph.inputs[input] ?? '';
  // The node may list fewer inputs than the subgraph has: those with a widget that nothing is linked to are optional.
  const index = node.inputs.findIndex(entry => entry.name === name);
  if ((node.inputs[index]?.link ?? null) !== null) return { at: 'input', scope, node, index };
  return promoted.has(name) ? { kind: 'value', value: promoted.get(name) } : NONE;
}

function beforeOutput(file: EditorFile, { scope, node, index }: Place, type: string): Place | Source {
  if (node.mode === MUTED) return NONE;
  if (node.mode === BYPASSED) {
    const input = bypassedInput(node, index, type);
    return input === -1 ? NONE : { at: 'input', scope, node, index: input };
  }
  const subgraph = file.subgraphs.get(node.type);
  if (subgraph !== undefined) return insideOutput(scope, node, subgraph, index);
  if (REROUTES.has(node.type) || SETTERS.has(node.type)) return { at: 'input', scope, node, index: 0 };
  if (GETTERS.has(node.type)) return setterOf(scope, node);
  if (node.type === 'PrimitiveNode') {
    return isList(node.values) && node.values.length > 0 ? { kind: 'value', value: node.values[0] } : NONE;
  }
  if (isVirtual(node)) return NONE;
  return { kind: 'link', node: scope.prefix + node.id, output: index };
}

function insideOutput(scope: Scope, node: EditorNode, subgraph: Subgraph, output: number): Place | Source {
  const inner = enter(scope, node, subgraph);
  const link = subgraph.outputs.get(output);
  if (link === undefined || inner.inside === null) return NONE;
  if (link.from === subgraph.inputNode) return outside(inner.inside, link.output);
  const origin = subgraph.nodes.get(link.from);
  return origin === undefined ? NONE : { at: 'output', scope: inner, node: origin, index: link.output };
}

/** The input of the set node whose name a get node has, in its own scope or in one around it. */
function setterOf(scope: Scope, getter: EditorNode): Place | Source {
  const name = nameOf(getter);
  for (let around: Scope | undefined = scope; around !== undefined; around = around.inside?.scope) {
    const setter = around.setters.get(name);
    if (setter !== undefined) return { at: 'output', scope: around, node: setter, index: 0 };
  }
  return NONE;
}

function nameOf({ values }: EditorNode): unknown {
  return isList(values) ? values[0] : Object.values(values)[0];
}

/**
 * The input that a bypassed node hands on as this output: the one in the same place if its type fits, else the first of
 * exactly the wanted type, else the first that fits; -1 when none does.
 */
function bypassedInput({ inputs, outputs }: EditorNode, output: number, wanted: string): number {
  if (wanted === '*' || wanted === '') return inputs.length > output ? output : 0;
  const given = outputs[output] ?? '*';
  const suits = (type: string) => fits(type, given) && fits(type, wanted);
  const opposite = inputs[output];
  if (opposite !== undefined && suits(opposite.type)) return output;
  const exact = inputs.findIndex(({ type }) => type === wanted);
  return exact === -1 ? inputs.findIndex(({ type }) => suits(type)) : exact;
}

/** Whether the editor lets these types be linked: equal but for case, open, or one of a list. */
function fits(left: string, right: string): boolean {
  const open = (type: string) => type === '*' || type === '' || type === '0';
  if (open(left) || open(right)) return true;
  const others = right.toLowerCase().split(',');
  return left
    .toLowerCase()
    .split(',')
    .some(type => others.includes(type));
}

function isList(values: EditorNode['values']): values is readonly unknown[] {
  return Array.isArray(values);
}
