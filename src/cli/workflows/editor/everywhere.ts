import { BYPASSED, type EditorFile, type EditorNode, MUTED } from './format.ts';
import { type Scope, type Source, sourceOf } from './scopes.ts';

/** Nodes of the pack "Use Everywhere": what is linked to them goes to every input of its type without a link. */
const BROADCASTS = /^Anything Everywhere\d?$/;

/** What is broadcast in a scope, by type. Nothing is known of a type that several nodes broadcast: they have conditions. */
export function broadcastsOf(file: EditorFile, scope: Scope): ReadonlyMap<string, Source> {
  const found = new Map<string, Source[]>();
  for (const node of scope.graph.nodes.values()) {
    if (!isBroadcast(node) || node.mode === MUTED || node.mode === BYPASSED) continue;
    for (const [index, { link }] of node.inputs.entries()) {
      const { from = '', output = 0 } = scope.graph.links.get(link ?? '') ?? {};
      const type = scope.graph.nodes.get(from)?.outputs[output];
      const source = sourceOf(file, scope, node, index);
      if (type !== undefined && source.kind !== 'none') found.set(type, [...(found.get(type) ?? []), source]);
    }
  }
  const single = [...found].flatMap(([type, [source, ...others]]) =>
    source === undefined || others.length > 0 ? [] : [[type, source] as const],
  );
  return new Map(single);
}

export function isBroadcast({ type }: EditorNode): boolean {
  return BROADCASTS.test(type);
}
