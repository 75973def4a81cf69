import { createHash } from 'node:crypto';
import type { EngineFiles } from '../files.ts';
import type { NodeResult } from '../nodes/values.ts';
import { toJson } from '../wire/json.ts';
import { type Graph, isLink, nodeOf } from './graph.ts';

/** Results of nodes, kept from one prompt to the next. */
export interface NodeCache {
  /** Sets the keys of a new prompt; results that this prompt does not refer to are dropped. */
  open(keys: ReadonlyMap<string, string>): void;
  get(node: string): NodeResult | undefined;
  set(node: string, result: NodeResult): void;
  clear(): void;
}

/** ComfyUI's "classic" cache (`comfy_execution/caching.py`): it keeps only results that the latest prompt refers to. */
export function createNodeCache(): NodeCache {
  const results = new Map<string, NodeResult>();
  let keys: ReadonlyMap<string, string> = new Map();
  return {
    open(next) {
      keys = next;
      const kept = new Set(next.values());
      for (const key of results.keys()) if (!kept.has(key)) results.delete(key);
    },
    get(node) {
      const key = keys.get(node);
      return key === undefined ? undefined : results.get(key);
    },
    set(node, result) {
      const key = keys.get(node);
      if (key !== undefined) results.set(key, result);
    },
    clear: () => results.clear(),
  };
}

/**
 * A key for each node, from its class, its inputs and its ancestors' keys, not from its id. The key of a LoadImage
 * or LoadImageMask includes the content of its file (`nodes.py`, IS_CHANGED).
 */
export async function cacheKeys(graph: Graph, files: EngineFiles): Promise<Map<string, string>> {
  const fileHashes = new Map<string, string>();
  for (const [id, { class_type, inputs }] of Object.entries(graph)) {
    if (!/^LoadImage(Mask)?$/.test(class_type) || typeof inputs.image !== 'string') continue;
    fileHashes.set(id, await files.inputHash(inputs.image));
  }
  const keys = new Map<string, string>();

  function keyOf(id: string, path: ReadonlySet<string>): string {
    const known = keys.get(id);
    if (known !== undefined) return known;
    const node = nodeOf(graph, id);
    if (node === undefined || path.has(id)) return '';
    const below = new Set(path).add(id);
    const inputs = Object.keys(node.inputs)
      .sort()
      .map(name => {
        const value = node.inputs[name];
        return isLink(value) ? [name, 'link', keyOf(value[0], below), value[1]] : [name, 'value', value];
      });
    const text = toJson([node.class_type, fileHashes.get(id) ?? null, inputs]);
    const key = createHash('sha256').update(text).digest('hex');
    keys.set(id, key);
    return key;
  }

  for (const id of Object.keys(graph)) keyOf(id, new Set());
  return keys;
}
