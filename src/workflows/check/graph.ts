import { type Graph, isLink, linksOf, nodeLabel, nodeOf } from '../graph.ts';
import { didYouMean } from '../messages.ts';

/** What is wrong with a graph by itself: links that lead nowhere or in a circle, lists that are no links. */
export function checkGraph(graph: Graph): string[] {
  const ids = Object.keys(graph);
  if (ids.length === 0) return ['graph.json: the file: got no node; takes at least one'];
  const problems = danglingLinks(graph).map(
    ({ node, input, target }) =>
      `graph.json: ${node}.inputs.${input}: got a link to node "${target}", which is not there; takes one of ${ids.join(', ')}${didYouMean(target, ids)}`,
  );
  for (const [id, node] of Object.entries(graph)) {
    for (const [input, value] of Object.entries(node.inputs)) {
      const field = `graph.json: ${id}.inputs.${input}`;
      if (isLink(value)) {
        if (Number.isInteger(value[1]) && value[1] >= 0) continue;
        problems.push(
          `${field}: got output ${value[1]} of node ${value[0]}; takes an output number from 0 on`,
        );
      } else if (Array.isArray(value)) {
        // ComfyUI takes every bare list for a link (`validate_inputs` in execution.py).
        problems.push(
          `${field}: got a list; takes a link [node id, output] or a list wrapped as {"__value__": [ … ]}`,
        );
      }
    }
  }
  const cycle = findCycle(graph);
  if (cycle !== null) {
    const names = cycle.map(id => nodeLabel(graph, id)).join(' to ');
    problems.push(`graph.json: the file: got links in a circle: ${names}; takes links that end somewhere`);
  }
  return problems;
}

/** A link that leads nowhere: the input that has it and the node that is not there. */
export interface DanglingLink {
  node: string;
  input: string;
  target: string;
}

/**
 * Every link to a node that the graph does not have. ComfyUI accepts some of these and then its only worker ends, so
 * none may leave us.
 */
export function danglingLinks(graph: Graph): DanglingLink[] {
  return Object.entries(graph).flatMap(([node, content]) =>
    linksOf(content)
      .filter(({ link }) => nodeOf(graph, link[0]) === undefined)
      .map(({ input, link }) => ({ node, input, target: link[0] })),
  );
}

/** The ids of a circle of links, in its order, or null when there is none. */
export function findCycle(graph: Graph): string[] | null {
  const settled = new Set<string>();
  for (const start of Object.keys(graph)) {
    const path: string[] = [];
    // Each entry of the stack is a node and what of its links is still to follow: a long chain must not exhaust calls.
    const stack: { id: string; rest: string[] }[] = [];
    const enter = (id: string) => {
      const node = nodeOf(graph, id);
      path.push(id);
      stack.push({ id, rest: node === undefined ? [] : linksOf(node).map(({ link }) => link[0]) });
    };
    if (!settled.has(start)) enter(start);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.rest.pop();
      if (next === undefined) {
        settled.add(top.id);
        stack.pop();
        path.pop();
      } else if (path.includes(next)) {
        return path.slice(path.indexOf(next));
      } else if (!settled.has(next)) {
        enter(next);
      }
    }
  }
  return null;
}
