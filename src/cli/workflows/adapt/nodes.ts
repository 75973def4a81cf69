import {
  type Graph,
  isLink,
  type Link,
  linksOf,
  nodeLabel,
  nodeOf,
  upstream,
} from '../../../workflows/graph.ts';
import { sortedIds } from '../ids.ts';

/** Classes that load an image from elsewhere than the engine's input folder, or from the request itself. */
const LOADERS = /load.*(image|base64)|image.*(load|base64|from[ _]?(url|path))|base64.*image/i;
const NOT_LOADERS = /lora|model|ipadapter|Mask$|folder|batch|video|vae/i;
/** Inputs that take an image from a loader; those of models have other names. */
const TAKES_IMAGE = /image|pixels|img|input|any|source|value|reference/i;

/**
 * Makes every node that loads an image a LoadImage, which takes uploads: loaders of base64 texts, URLs, paths and of the
 * output folder. Says which could not be replaced, because more than their image and mask is used.
 */
export function replaceLoaders(graph: Graph, changes: string[]): string[] {
  const faults: string[] = [];
  for (const id of sortedIds(graph)) {
    const node = nodeOf(graph, id);
    if (node === undefined || node.class_type === 'LoadImage' || linksOf(node).length > 0) continue;
    if (!LOADERS.test(node.class_type) || NOT_LOADERS.test(node.class_type)) continue;
    const uses = Object.values(graph).flatMap(other => linksOf(other).filter(({ link }) => link[0] === id));
    if (!uses.some(({ input, link }) => link[1] === 0 && TAKES_IMAGE.test(input))) continue;
    const slots = uses.map(({ link }) => link[1]);
    if (slots.some(slot => slot > 1)) {
      faults.push(
        `${nodeLabel(graph, id)} cannot become a LoadImage: output ${Math.max(...slots)} of it is used`,
      );
      continue;
    }
    changes.push(`${nodeLabel(graph, id)} is now a LoadImage, which takes uploads`);
    graph[id] = { ...node, class_type: 'LoadImage', inputs: { image: 'image.png' } };
  }
  return faults;
}

/** Classes that hand on one of several inputs, with what each takes for the choice. */
const SWITCH = 'ComfySwitchNode';
const FIRST_OF = /^Any Switch \(rgthree\)$/;

/**
 * Replaces switches that a constant sets by the input that they hand on: what only the other inputs need is not loaded,
 * and an engine without the class can run the graph.
 */
export function resolveSwitches(graph: Graph, changes: string[]): void {
  for (const id of sortedIds(graph)) {
    const node = nodeOf(graph, id);
    if (node === undefined) continue;
    const chosen = chosenInput(graph, id);
    if (chosen === undefined) continue;
    changes.push(`${nodeLabel(graph, id)} is replaced by its input ${chosen.input}`);
    for (const other of Object.values(graph)) {
      for (const { input, link } of linksOf(other)) if (link[0] === id) other.inputs[input] = chosen.value;
    }
    delete graph[id];
  }
}

function chosenInput(graph: Graph, id: string): { input: string; value: unknown } | undefined {
  const { class_type, inputs } = nodeOf(graph, id) ?? { class_type: '', inputs: {} };
  if (FIRST_OF.test(class_type)) {
    const first = Object.keys(inputs)
      .filter(name => isLink(inputs[name]) && !upstream(graph, [inputs[name][0]]).includes(id))
      .sort()[0];
    return first === undefined ? undefined : { input: first, value: inputs[first] };
  }
  if (class_type !== SWITCH) return undefined;
  const setting = isLink(inputs.switch) ? constantOutput(graph, inputs.switch) : inputs.switch;
  if (typeof setting !== 'boolean') return undefined;
  const input = setting ? 'on_true' : 'on_false';
  const value = inputs[input];
  const leadsBack = isLink(value) && upstream(graph, [value[0]]).includes(id);
  return value === undefined || leadsBack ? undefined : { input, value };
}

function constantOutput(graph: Graph, [id]: Link): unknown {
  const node = nodeOf(graph, id);
  return node?.class_type === 'PrimitiveBoolean' ? node.inputs.value : undefined;
}
