import { type Graph, isLink, linksOf, nodeId } from '../graph.ts';
import type { Manifest } from '../manifest.ts';

type Slot = Manifest['images'][number]['slot'];

/** The nodes that belong to the image of a slot: the target's own and those that the manifest names. */
export function nodesOfSlot(manifest: Manifest, graph: Graph, slot: number): Set<string> {
  const image = manifest.images.find(entry => entry.slot === slot);
  if (image === undefined) return new Set();
  return new Set([image.target.node, ...image.nodes].map(reference => nodeId(graph, reference)));
}

/** A copy of the graph without the nodes of absent slots and the links from them. Its inputs can be set; their values are shared. */
export function withSlots(manifest: Manifest, graph: Graph, present: readonly number[]): Graph {
  const absent = manifest.images.filter(({ slot }) => !present.includes(slot));
  const removed = new Set(absent.flatMap(({ slot }) => [...nodesOfSlot(manifest, graph, slot)]));
  const kept: Graph = {};
  for (const [id, node] of Object.entries(graph)) {
    if (removed.has(id)) continue;
    const inputs = Object.entries(node.inputs).filter(
      ([, value]) => !(isLink(value) && removed.has(value[0])),
    );
    kept[id] = { ...node, inputs: Object.fromEntries(inputs) };
  }
  return kept;
}

/** Every set of slots that a request may fill: the required ones with each choice of the others. */
export function slotSets(manifest: Manifest): Slot[][] {
  let sets: Slot[][] = [[]];
  for (const { slot, required } of manifest.images.toSorted((left, right) => left.slot - right.slot)) {
    sets = required ? sets.map(set => [...set, slot]) : sets.flatMap(set => [[...set, slot], set]);
  }
  return sets.filter(set => set.length > 0);
}

/** Nodes that the manifest does not name but that keep no link at all when the nodes of a slot are removed. */
export function orphansOfSlot(manifest: Manifest, graph: Graph, slot: number): string[] {
  const removed = nodesOfSlot(manifest, graph, slot);
  const orphans: string[] = [];
  for (let found = true; found; ) {
    found = false;
    for (const [id, node] of Object.entries(graph)) {
      const links = linksOf(node);
      if (removed.has(id) || links.length === 0 || !links.every(({ link }) => removed.has(link[0]))) continue;
      removed.add(id);
      orphans.push(id);
      found = true;
    }
  }
  return orphans;
}
