import { type Graph, isLink, linksOf, nodeLabel, nodeOf } from '../graph.ts';
import { didYouMean } from '../messages.ts';

/** What is wrong with a graph by itself: links to missing nodes or in a cycle, and lists that are not links. */
export function checkGraph(graph: Graph): string[] {
  const ids = Object.keys(graph);
  if (ids.length === 0) return ['graph.json: the file: got no nodes; takes at least one'];
  const problems = danglingLinks(graph).map(
    ({ node, input, target }) =>
      `graph.json: ${node}.inputs.${input}: got a link to the missing node "${target}"; takes one of ${ids.join(', ')}${didYouMean(target, ids)}`,
  );
  for (const [id, node] of Object.entries(graph)) {
    for (const [input, value] of Object.entries(node.inputs)) {
      const field = `graph.json: ${id}.inputs.${input}`;
      if (isLink(value)) {
        if (Number.isInteger(value[1]) && value[1] >= 0) continue;
        problems.push(`${field}: got output ${value[1]} of node ${value[0]}; takes an output number from 0`);
      } else if (Array.isArray(value)) {
        // ComfyUI reads every bare list as a link (`validate_inputs` in execution.py).
        problems.push(
          `${field}: got a list; takes a link [node id, output] or a list wrapped as {"__value__": [ … ]}`,
        );
      }
    }
  }
  const cycle = findCycle(graph);
  if (cycle !== null) {
    const names = cycle.map(id => nodeLabel(graph, id)).join(' to ');
    problems.push(`graph.json: the file: got a cycle of links: ${names}; takes a graph without cycles`);
  }
  return problems;
}

/**
 * Every link to a missing node, `target`, with the node and the input that have it. ComfyUI accepts some of these and
 * then its only worker ends, so none may be sent.
 */
export function danglingLinks(graph: Graph): { node: string; input: string; target: string }[] {
  return Object.entries(graph).flatMap(([node, content]) =>
    linksOf(content)
      .filter(({ link }) => nodeOf(graph, link[0]) === undefined)
      .map(({ input, link }) => ({ node, input, target: link[0] })),
  );
}

/** The node ids of a cycle in its order, or null when there is none. */
function findCycle(graph: Graph): string[] | null {
  const settled = new Set<string>();
  for (const start of Object.keys(graph)) {
    // Each entry is a node and its links still to follow. A stack of our own: a long chain would exhaust the call stack.
    const stack: { id: string; rest: string[] }[] = [];
    const enter = (id: string) => {
      if (!settled.has(id)) stack.push({ id, rest: linksOf(nodeOf(graph, id)).map(({ link }) => link[0]) });
    };
    enter(start);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.rest.pop();
      if (next === undefined) {
        settled.add(top.id);
        stack.pop();
        continue;
      }
      const index = stack.findIndex(({ id }) => id === next);
      if (index >= 0) return stack.slice(index).map(({ id }) => id);
      enter(next);
    }
  }
  return null;
}
