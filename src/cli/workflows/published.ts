import { z } from 'zod';
import { type Graph, graphSchema } from '../../workflows/graph.ts';
import { type EditorFile, isEditorFormat, parseEditorFile } from './editor/format.ts';

/** What a published file holds. `message` continues the name of the file. */
export type Published =
  | { readonly kind: 'api'; readonly graph: Graph }
  | { readonly kind: 'editor'; readonly file: EditorFile }
  | { readonly kind: 'none'; readonly message: string };

/**
 * The fields below which files keep a graph: the body of POST /prompt, its `extra_data`, requests to common hosted
 * workers, an entry of `/history`, and what the editor's own conversion returns.
 */
const WRAPPERS = ['prompt', 'workflow', 'output', 'input', 'graph', 'extra_data', 'extra_pnginfo'] as const;

/** Deeper nesting than any workflow has. What handles values below may be recursive. */
const MAX_DEPTH = 100;
const MAX_WRAPPERS = 6;
/** More nodes than any graph has. */
const MAX_NODES = 5000;

const node = graphSchema.valueType;
const nodeLike = z.looseObject({ class_type: z.string().min(1) });

/**
 * Finds the graph in a published file: in API format if it has one, else in the format of the editor. Entries of a graph
 * that are not nodes, such as `_meta` or `version`, are ignored.
 */
export function readPublished(json: unknown): Published {
  if (isDeeperThan(json, MAX_DEPTH)) {
    return { kind: 'none', message: `is nested more than ${MAX_DEPTH} levels deep; takes a graph` };
  }
  const values = unwrapped(json);
  let fault: string | null = null;
  for (const value of values) {
    const found = apiGraph(value);
    if (found === null) continue;
    if (found.ok) return { kind: 'api', graph: found.graph };
    fault ??= found.message;
  }
  for (const value of values) {
    const file = parseEditorFile(value);
    if (file !== null && file.nodes.size > 0) return { kind: 'editor', file };
  }
  if (values.some(isEditorFormat)) return { kind: 'none', message: 'has no nodes; takes a graph with some' };
  const takes =
    'takes {"<id>": {"class_type": …, "inputs": {…}}}, or a file that the editor of ComfyUI saved';
  return { kind: 'none', message: fault ?? `is not a graph: ${takes}` };
}

/** A value and those in the fields that usually wrap a graph, the outermost first; JSON in a string is parsed. */
function unwrapped(json: unknown): unknown[] {
  const values: unknown[] = [];
  let level = [json];
  for (let depth = 0; depth < MAX_WRAPPERS && level.length > 0; depth++) {
    const parsed = level.map(value => (typeof value === 'string' ? parsedOrNull(value) : value));
    values.push(...parsed);
    level = parsed.flatMap(value => {
      // An entry of `/history` has its graph in a list.
      if (Array.isArray(value)) return value.slice(0, 8);
      if (typeof value !== 'object' || value === null) return [];
      return WRAPPERS.flatMap(name => (Object.hasOwn(value, name) ? [Reflect.get(value, name)] : []));
    });
  }
  return values;
}

function parsedOrNull(text: string): unknown {
  if (!text.trimStart().startsWith('{')) return null;
  try {
    const value = parseJson(text);
    return isDeeperThan(value, MAX_DEPTH) ? null : value;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/**
 * Parses JSON, also with a byte order mark at its beginning, and with NaN and Infinity as Python writes them (ComfyUI
 * saves `"is_changed": [NaN]`), which become null. Throws a SyntaxError.
 */
export function parseJson(text: string): unknown {
  const json = text.replace(/^\ufeff/, '');
  try {
    return JSON.parse(json);
  } catch (error) {
    const repaired = json.replace(/([:[,]\s*)-?(?:NaN|Infinity)(?=\s*[,}\]])/g, '$1null');
    if (repaired === json) throw error;
    return JSON.parse(repaired);
  }
}

/** The nodes of a graph in API format; null when nothing in it looks like a node. */
function apiGraph(value: unknown): { ok: true; graph: Graph } | { ok: false; message: string } | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const entries = Object.entries(value).filter(
    ([id, entry]) => id !== '__proto__' && nodeLike.safeParse(entry).success,
  );
  if (entries.length === 0) return null;
  if (entries.length > MAX_NODES) return { ok: false, message: `has more than ${MAX_NODES} nodes` };
  const nodes: [string, Graph[string]][] = [];
  for (const [id, entry] of entries) {
    const parsed = node.safeParse({ inputs: {}, ...entry });
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      return { ok: false, message: `has a faulty node "${id}": ${issue?.path.join('.')}: ${issue?.message}` };
    }
    nodes.push([id, parsed.data]);
  }
  return { ok: true, graph: Object.fromEntries(nodes) };
}

/** Whether JSON is nested deeper than so many levels. Not recursive, since the depth may exceed the call stack. */
function isDeeperThan(json: unknown, levels: number): boolean {
  let level: unknown[] = [json];
  for (let depth = 0; depth <= levels; depth++) {
    level = level.flatMap(value => (typeof value === 'object' && value !== null ? Object.values(value) : []));
    if (level.length === 0) return false;
  }
  return true;
}
