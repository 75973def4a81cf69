import { type Graph, nodeLabel, nodeOf } from './graph.ts';
import { didYouMean } from './nearest.ts';

export type Resolved = { ok: true; id: string } | { ok: false; message: string };

/**
 * The node that a manifest means: by id, else by title, else by class. A title or a class counts when exactly one node
 * has it. The message of a failure reads on from the name of the field.
 */
export function resolveNode(graph: Graph, reference: string): Resolved {
  if (nodeOf(graph, reference) !== undefined) return { ok: true, id: reference };
  const nodes = Object.entries(graph);
  const titled = nodes.filter(([, node]) => node._meta?.title === reference);
  const classed = nodes.filter(([, node]) => node.class_type === reference);
  for (const found of [titled, classed]) {
    const [only, ...others] = found;
    if (only !== undefined && others.length === 0) return { ok: true, id: only[0] };
  }
  const several = titled.length > 0 ? titled : classed;
  if (several.length > 0) {
    const ids = several.map(([id]) => id).join(', ');
    return {
      ok: false,
      message: `got "${reference}", which is ${several.length} nodes (${ids}); takes one of them by its id or its title`,
    };
  }
  const names = nodes.flatMap(([id, node]) => [
    id,
    node.class_type,
    ...(node._meta?.title === undefined ? [] : [node._meta.title]),
  ]);
  const listed = nodes.map(([id]) => nodeLabel(graph, id)).join(', ');
  const hint = didYouMean(reference, names);
  return {
    ok: false,
    message: `got "${reference}", which is no node of graph.json; takes an id, a title or a class${hint === '' ? `: ${listed}` : hint}`,
  };
}

/** The id of a node that the check of the workflow has seen to be there. Throws when it is not. */
export function nodeId(graph: Graph, reference: string): string {
  const resolved = resolveNode(graph, reference);
  if (!resolved.ok) throw new Error(resolved.message);
  return resolved.id;
}
