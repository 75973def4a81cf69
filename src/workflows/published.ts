import { z } from 'zod';
import { type Graph, graphSchema } from './graph.ts';

export type Published = { ok: true; graph: Graph } | { ok: false; message: string };

/** Where a graph lies in files that wrap it: the body of POST /prompt, and the requests of common hosted workers. */
const WRAPPERS: readonly (readonly string[])[] = [
  [],
  ['prompt'],
  ['workflow'],
  ['input', 'workflow'],
  ['input', 'prompt'],
];

const editorFormat = z.looseObject({ nodes: z.array(z.unknown()), links: z.array(z.unknown()) });

/**
 * Finds the graph in API format in a file as people publish them. `message` says what it is instead, or which node is
 * none.
 */
export function readPublishedGraph(json: unknown): Published {
  const found = WRAPPERS.map(path => at(json, path));
  for (const value of found) {
    const graph = graphSchema.safeParse(value);
    if (graph.success && Object.keys(graph.data).length > 0) return { ok: true, graph: graph.data };
  }
  if (found.some(value => editorFormat.safeParse(value).success)) {
    return {
      ok: false,
      message:
        'is in the editor’s own format; takes the API format: open it in ComfyUI and choose "Export (API)"',
    };
  }
  const entries =
    typeof json === 'object' && json !== null && !Array.isArray(json) ? Object.entries(json) : [];
  const isNode = (value: unknown) => graphSchema.safeParse({ node: value }).success;
  const strange = entries.find(([, value]) => !isNode(value));
  const some = entries.some(([, value]) => isNode(value));
  const where = some && strange !== undefined ? `: "${strange[0]}" is no node` : '';
  return {
    ok: false,
    message: `is no graph in API format${where}; takes {"<id>": {"class_type": …, "inputs": {…}}}`,
  };
}

function at(value: unknown, path: readonly string[]): unknown {
  let here = value;
  for (const key of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, key)) return undefined;
    here = Reflect.get(here, key);
  }
  return here;
}
