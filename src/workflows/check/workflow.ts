import { expandTemplate } from '../bind/parameters.ts';
import { nodesOfSlot, orphansOfSlot } from '../bind/slots.ts';
import { type Graph, isLink, isModelFile, nodeLabel, nodeOf, resolveNode } from '../graph.ts';
import { listTargets, type Manifest, type Target } from '../manifest.ts';
import { didYouMean } from '../messages.ts';
import type { Workflow } from '../workflow.ts';
import { checkGraph } from './graph.ts';
import { checkParameters } from './parameters.ts';

/**
 * Everything about a workflow that can be judged without an engine: links that lead somewhere, names of the manifest
 * that exist in the graph, ranges, parameters, pictures, classes and model files. Each text names the file, the field,
 * what came and what it takes. Empty when all is well.
 */
export function checkWorkflow(workflow: Workflow): string[] {
  const { manifest, graph } = workflow;
  const problems = checkGraph(graph);
  const fault = (field: string, message: string) => problems.push(`workflow.json: ${field}: ${message}`);
  if (manifest.name !== workflow.name) {
    fault('name', `got "${manifest.name}"; takes the name of its folder, "${workflow.name}"`);
  }
  const written = checkTargets(manifest, graph, fault);
  const parameterProblems = checkParameters(manifest, graph);
  problems.push(...parameterProblems.map(text => `workflow.json: ${text}`));
  checkSizes(manifest, fault);
  checkStages(manifest, graph, fault);
  checkRequires(manifest, graph, fault);
  // What belongs to a picture can only be followed once every name was found.
  if (written !== null) checkPictures(manifest, graph, written, fault);
  return problems;
}

type Fault = (field: string, message: string) => void;

interface Written {
  field: string;
  node: string;
  /** Whether a request must have this input: it may not go with an absent picture. */
  fixed: boolean;
}

/** Every place that binding writes to; null when one of them is not there. */
function checkTargets(manifest: Manifest, graph: Graph, fault: Fault): Written[] | null {
  const places: { field: string; target: Target; fixed: boolean }[] = [];
  const add = (field: string, target: Target | readonly Target[] | undefined, fixed: boolean) => {
    const list = listTargets(target);
    list.forEach((entry, index) => {
      places.push({ field: list.length === 1 ? field : `${field}.${index}`, target: entry, fixed });
    });
  };
  manifest.images.forEach((image, index) => {
    add(`images.${index}.target`, image.target, false);
  });
  for (const [name, target] of Object.entries(manifest.inputs)) add(`inputs.${name}`, target, true);
  manifest.extraParameters.forEach((parameter, index) => {
    add(`extraParameters.${index}.target`, parameter.target, false);
  });
  manifest.templates.forEach(({ target }, index) => {
    add(`templates.${index}.target`, target, false);
  });
  add('output', { node: manifest.output.node, input: manifest.output.prefixInput }, true);

  const written: Written[] = [];
  const owners = new Map<string, string>();
  let complete = true;
  for (const { field, target, fixed } of places) {
    const inputField = field === 'output' ? 'output.prefixInput' : `${field}.input`;
    const node = resolveNode(graph, target.node);
    if (!node.ok) {
      fault(`${field}.node`, node.message);
      complete = false;
      continue;
    }
    written.push({ field, node: node.id, fixed });
    const inputs = nodeOf(graph, node.id)?.inputs ?? {};
    if (!Object.hasOwn(inputs, target.input)) {
      const names = Object.keys(inputs);
      const label = nodeLabel(graph, node.id);
      fault(
        inputField,
        `got "${target.input}"; ${label} takes ${names.join(', ')}${didYouMean(target.input, names)}`,
      );
      continue;
    }
    const present = inputs[target.input];
    if (isLink(present)) {
      fault(
        inputField,
        `got "${target.input}", which is a link to node ${present[0]}; takes an input that holds a value`,
      );
    }
    const key = JSON.stringify([node.id, target.input]);
    const owner = owners.get(key);
    if (owner !== undefined)
      fault(
        field,
        `writes to node ${node.id}, input ${target.input}, as ${owner} does; takes an input of its own`,
      );
    owners.set(key, field);
  }
  manifest.images.forEach((image, index) => {
    image.nodes.forEach((reference, position) => {
      const node = resolveNode(graph, reference);
      if (node.ok) return;
      fault(`images.${index}.nodes.${position}`, node.message);
      complete = false;
    });
  });
  return complete ? written : null;
}

function checkPictures(manifest: Manifest, graph: Graph, written: readonly Written[], fault: Fault): void {
  const owners = new Map<string, number>();
  manifest.images.forEach(({ slot, required }, index) => {
    if (manifest.images.findIndex(image => image.slot === slot) !== index) {
      fault(`images.${index}.slot`, `got ${slot} again; takes a slot of its own`);
      return;
    }
    const nodes = nodesOfSlot(manifest, graph, slot);
    for (const id of nodes) {
      const other = owners.get(id);
      if (other !== undefined)
        fault(`images.${index}.nodes`, `got node ${id}, which belongs to image ${other} already`);
      owners.set(id, slot);
    }
    if (required) return;
    const lost = written.find(({ node, fixed }) => fixed && nodes.has(node));
    if (lost !== undefined) {
      fault(
        `images.${index}.nodes`,
        `got ${nodeLabel(graph, lost.node)}, which ${lost.field} needs; takes nodes that may go`,
      );
    }
    for (const orphan of orphansOfSlot(manifest, graph, slot)) {
      fault(
        `images.${index}.nodes`,
        `lacks ${nodeLabel(graph, orphan)}, which has no other source; takes every node that only serves image ${slot}`,
      );
    }
  });
}

function checkSizes(manifest: Manifest, fault: Fault): void {
  const { width, height, megapixels } = manifest.inputs;
  if ((width === undefined) !== (height === undefined)) {
    fault(`inputs.${width === undefined ? 'width' : 'height'}`, 'is missing; width and height go together');
  }
  if (width === undefined && height === undefined && megapixels === undefined) {
    fault(
      'inputs.width',
      'is missing; takes the input of the working width (with height), or megapixels instead',
    );
  }
  const { minSide, maxSide, multipleOf } = manifest.size;
  if (Math.ceil(minSide / multipleOf) > Math.floor(maxSide / multipleOf)) {
    fault(
      'size.maxSide',
      `got ${maxSide}; takes a side that leaves a multiple of ${multipleOf} from ${minSide} on`,
    );
  }
}

function checkStages(manifest: Manifest, graph: Graph, fault: Fault): void {
  const seen = new Map<string, string>();
  manifest.stages.forEach(({ nodes }, index) => {
    nodes.forEach((reference, position) => {
      const field = `stages.${index}.nodes.${position}`;
      const node = resolveNode(graph, reference);
      if (!node.ok) {
        fault(field, node.message);
        return;
      }
      const other = seen.get(node.id);
      if (other !== undefined) fault(field, `got node ${node.id} again, which ${other} names already`);
      seen.set(node.id, field);
    });
  });
}

function checkRequires(manifest: Manifest, graph: Graph, fault: Fault): void {
  const classes = new Set(Object.values(graph).map(node => node.class_type));
  manifest.requires.nodes.forEach((entry, index) => {
    if (classes.has(entry.class)) return;
    fault(
      `requires.nodes.${index}.class`,
      `got "${entry.class}", which graph.json does not use; takes a class that it has${didYouMean(entry.class, classes)}`,
    );
  });
  const used = new Set(Object.values(graph).flatMap(node => Object.values(node.inputs).filter(isModelFile)));
  const chosen = [
    ...manifest.templates.flatMap(({ value }) => expandTemplate(value, manifest.extraParameters)),
    ...manifest.extraParameters.flatMap(({ options = [] }) =>
      options.map(entry => (typeof entry === 'object' ? entry.value : entry)),
    ),
  ].filter(isModelFile);
  const files = new Set([...used, ...chosen]);
  const listed = new Set(manifest.requires.models.map(({ file }) => file));
  manifest.requires.models.forEach(({ file }, index) => {
    if (files.has(file)) return;
    fault(
      `requires.models.${index}.file`,
      `got "${file}", which nothing loads; takes a file that graph.json names${didYouMean(file, files)}`,
    );
  });
  for (const file of files) {
    if (!listed.has(file))
      fault('requires.models', `lacks "${file}"; takes every model file with the folder that it belongs in`);
  }
}
