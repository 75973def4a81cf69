import { danglingLinks, findCycle, type Graph, isLink, nodeLabel } from './graph.ts';
import { didYouMean } from './nearest.ts';

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
