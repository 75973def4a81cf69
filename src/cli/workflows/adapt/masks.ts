import { type Graph, linksOf, nodeOf } from '../../../workflows/graph.ts';
import type { Target } from '../../../workflows/manifest.ts';

/** Where a graph takes a mask as a file of its own. */
export interface MaskPlace {
  readonly target: Target;
  /** The ImageScale nodes that the mask passes, which scale it like image 1. */
  readonly scalers: readonly string[];
}

/**
 * The mask of a graph: a LoadImageMask, or a LoadImage whose image becomes nothing but a mask. Null when the graph has
 * neither; the mask output of a LoadImage is the transparency of its image, which is no file of its own.
 */
export function maskOf(graph: Graph, ids: readonly string[]): MaskPlace | null {
  for (const id of ids) {
    const { class_type, inputs } = nodeOf(graph, id) ?? { class_type: '', inputs: {} };
    if (typeof inputs.image !== 'string') continue;
    const scalers =
      class_type === 'LoadImageMask' ? [] : class_type === 'LoadImage' ? scalersToMask(graph, id) : null;
    if (scalers !== null) return { target: { node: id, input: 'image' }, scalers };
  }
  return null;
}

/** The ImageScale nodes between a node and the ImageToMask where all its uses end; null when some end elsewhere. */
function scalersToMask(graph: Graph, id: string): string[] | null {
  const uses = Object.entries(graph).filter(([, node]) => linksOf(node).some(({ link }) => link[0] === id));
  if (uses.length === 0) return null;
  const found: string[] = [];
  for (const [user, { class_type }] of uses) {
    if (class_type === 'ImageToMask') continue;
    const beyond = class_type === 'ImageScale' ? scalersToMask(graph, user) : null;
    if (beyond === null) return null;
    found.push(user, ...beyond);
  }
  return found;
}
