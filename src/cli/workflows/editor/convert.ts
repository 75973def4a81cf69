import type { Graph, GraphNode } from '../../../workflows/graph.ts';
import { valuesOf, type Widget } from './align.ts';
import { broadcastsOf, isBroadcast } from './everywhere.ts';
import { BYPASSED, type EditorFile, type EditorNode, MUTED } from './format.ts';
import { enter, isVirtual, rootScope, type Scope, type Source, sourceOf } from './scopes.ts';

/** The widgets of a node class in their order; null when the class is unknown. */
export type WidgetsOf = (classType: string) => readonly Widget[] | null;

export interface Converted {
  readonly graph: Graph;
  /** Why a node could not be converted, by id. It matters only when the result needs the node. */
  readonly faults: ReadonlyMap<string, string>;
}

/** More nodes than any file has, also counting each use of a subgraph: a small file can describe a vast graph. */
const MAX_NODES = 5000;
const MAX_DEPTH = 30;

/**
 * Converts a file of the editor to the API format: values of widgets by name, links between nodes that an engine runs.
 * Muted and bypassed nodes, notes, reroutes, primitives, set and get nodes are resolved, subgraphs are written out with
 * ids such as `12:7`. Fails for a file that is too large or whose subgraphs contain themselves.
 */
export function convertEditorFile(
  file: EditorFile,
  widgetsOf: WidgetsOf,
): ({ ok: true } & Converted) | { ok: false; message: string } {
  const nodes: [string, GraphNode][] = [];
  const faults = new Map<string, string>();
  const open: Scope[] = [rootScope(file)];
  let visited = 0;
  for (let scope = open.pop(); scope !== undefined; scope = open.pop()) {
    const broadcasts = broadcastsOf(file, scope);
    for (const node of scope.graph.nodes.values()) {
      if (++visited > MAX_NODES) return { ok: false, message: `describes more than ${MAX_NODES} nodes` };
      if (node.mode === MUTED || node.mode === BYPASSED || isVirtual(node) || isBroadcast(node)) continue;
      const subgraph = file.subgraphs.get(node.type);
      if (subgraph !== undefined) {
        if (depthOf(scope) >= MAX_DEPTH) {
          return { ok: false, message: `nests subgraphs more than ${MAX_DEPTH} deep (${subgraph.name})` };
        }
        open.push(enter(scope, node, subgraph));
        continue;
      }
      const { content, fault } = convertNode(file, scope, node, { widgetsOf, broadcasts });
      const id = scope.prefix + node.id;
      nodes.push([id, content]);
      if (fault !== null) faults.set(id, fault);
    }
  }
  const graph: Graph = Object.fromEntries(nodes);
  // An input may come from a node that was not converted, such as one of a muted subgraph.
  for (const { inputs } of Object.values(graph)) {
    for (const [name, value] of Object.entries(inputs)) {
      if (Array.isArray(value) && !Object.hasOwn(graph, String(value[0]))) delete inputs[name];
    }
  }
  return { ok: true, graph, faults };
}

function convertNode(
  file: EditorFile,
  scope: Scope,
  node: EditorNode,
  { widgetsOf, broadcasts }: { widgetsOf: WidgetsOf; broadcasts: ReadonlyMap<string, Source> },
): { content: GraphNode; fault: string | null } {
  const widgets = valuesOf(node, widgetsOf(node.type));
  const inputs = new Map<string, unknown>();
  let fault = widgets.ok ? null : widgets.reason;
  if (/^workflow[>/]/.test(node.type)) {
    fault =
      'is a group node, an older form of a subgraph: open the file in ComfyUI, choose "Convert to nodes" and save it';
  }
  for (const [name, value] of widgets.ok ? widgets.values : []) inputs.set(name, constant(value));
  for (const [name, value] of scope.inside?.proxied.get(node.id) ?? []) {
    // The list of shown widgets may have moved since its values were saved: a value of another type is of another widget.
    if (inputs.has(name) && typeof inputs.get(name) === typeof value) inputs.set(name, constant(value));
  }
  for (const [index, { name, widget, link, type }] of node.inputs.entries()) {
    const isOpen = link === null && widget === null;
    const source = (isOpen ? broadcasts.get(type) : undefined) ?? sourceOf(file, scope, node, index);
    const key = widget ?? name;
    switch (source.kind) {
      case 'link':
        inputs.set(key, [source.node, source.output]);
        break;
      case 'value':
        inputs.set(key, constant(source.value));
        break;
      case 'cycle':
        fault = `has an input ${name} whose links lead in a circle`;
        break;
      case 'none':
        break;
      default:
        source satisfies never;
    }
  }
  const title = node.title === null || node.title === '' ? {} : { _meta: { title: node.title } };
  inputs.delete('__proto__');
  return { content: { class_type: node.type, inputs: Object.fromEntries(inputs), ...title }, fault };
}

/** A value as an engine reads it: a bare list would be a link. */
function constant(value: unknown): unknown {
  return Array.isArray(value) ? { __value__: value } : value;
}

function depthOf(scope: Scope): number {
  let depth = 0;
  for (let inside = scope.inside; inside !== null; inside = inside.scope.inside) depth++;
  return depth;
}
