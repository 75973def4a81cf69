import { expandTemplate } from '../bind/parameters.ts';
import { nodesOfSlot, orphansOfSlot } from '../bind/slots.ts';
import { type Graph, isLink, isModelFile, nodeLabel, nodeOf, resolveNode } from '../graph.ts';
import { listTargets, type Manifest, optionValues, type Target, takesSize } from '../manifest.ts';
import { didYouMean } from '../messages.ts';
import type { Workflow } from '../workflow.ts';
import { checkGraph } from './graph.ts';
import { checkParameters, type Report } from './parameters.ts';

/**
 * Everything about a workflow that can be checked without an engine: links, references of the manifest to the graph,
 * ranges, parameters, images, classes and model files. Each problem names the file, the field, what it got and what it
 * takes. Empty when the workflow is usable.
 */
export function checkWorkflow({ name, manifest, graph }: Workflow): string[] {
  const problems = checkGraph(graph);
  const report: Report = (field, message) => problems.push(`workflow.json: ${field}: ${message}`);
  if (manifest.name !== name) {
    report('name', `got "${manifest.name}"; takes the name of its folder, "${name}"`);
  }
  const places = checkTargets(manifest, graph, report);
  checkParameters(manifest, graph, report);
  checkSizes(manifest, report);
  checkStages(manifest, graph, report);
  checkRequires(manifest, graph, report);
  // The nodes of an image are known only when every reference was found.
  if (places !== null) checkImages(manifest, graph, places, report);
  return problems;
}

/** An input that binding writes to. */
interface Place {
  field: string;
  node: string;
  /** Whether every request writes to it, so that it may not be removed with an absent image. */
  fixed: boolean;
}

/** Every place that binding writes to; null when a node of the manifest is missing. */
function checkTargets(manifest: Manifest, graph: Graph, report: Report): Place[] | null {
  const targets: { field: string; target: Target; fixed: boolean }[] = [];
  const add = (field: string, target: Target | readonly Target[] | undefined, fixed = false) => {
    const list = listTargets(target);
    list.forEach((entry, index) => {
      targets.push({ field: list.length === 1 ? field : `${field}.${index}`, target: entry, fixed });
    });
  };
  for (const list of ['images', 'extraParameters', 'templates'] as const) {
    for (const [index, { target }] of manifest[list].entries()) add(`${list}.${index}.target`, target);
  }
  add('mask.target', manifest.mask?.target, true);
  for (const [name, target] of Object.entries(manifest.inputs)) add(`inputs.${name}`, target, true);
  add('output', { node: manifest.output.node, input: manifest.output.prefixInput }, true);

  const places: Place[] = [];
  const owners = new Map<string, string>();
  let complete = true;
  for (const { field, target, fixed } of targets) {
    const id = find(graph, `${field}.node`, target.node, report);
    if (id === null) {
      complete = false;
      continue;
    }
    places.push({ field, node: id, fixed });
    const inputField = field === 'output' ? 'output.prefixInput' : `${field}.input`;
    const inputs = nodeOf(graph, id)?.inputs ?? {};
    const names = Object.keys(inputs);
    if (!names.includes(target.input)) {
      const hint = didYouMean(target.input, names);
      report(inputField, `got "${target.input}"; ${nodeLabel(graph, id)} takes ${names.join(', ')}${hint}`);
      continue;
    }
    const current = inputs[target.input];
    if (isLink(current)) {
      report(
        inputField,
        `got "${target.input}", which is a link to node ${current[0]}; takes an input that holds a value`,
      );
    }
    const key = JSON.stringify([id, target.input]);
    const owner = owners.get(key);
    if (owner !== undefined)
      report(
        field,
        `writes to input ${target.input} of node ${id}, as ${owner} does; takes an input of its own`,
      );
    owners.set(key, field);
  }
  manifest.images.forEach(({ nodes }, index) => {
    nodes.forEach((reference, position) => {
      if (find(graph, `images.${index}.nodes.${position}`, reference, report) === null) complete = false;
    });
  });
  return complete ? places : null;
}

/** The id of a node that the manifest refers to; null, with a report, when it is missing. */
function find(graph: Graph, field: string, reference: string, report: Report): string | null {
  const node = resolveNode(graph, reference);
  if (node.ok) return node.id;
  report(field, node.message);
  return null;
}

function checkImages(manifest: Manifest, graph: Graph, places: readonly Place[], report: Report): void {
  const owners = new Map<string, number>();
  manifest.images.forEach(({ slot, required }, index) => {
    const field = `images.${index}.nodes`;
    if (manifest.images.findIndex(image => image.slot === slot) !== index) {
      report(`images.${index}.slot`, `got ${slot} again; takes a unique slot`);
      return;
    }
    const nodes = nodesOfSlot(manifest, graph, slot);
    for (const id of nodes) {
      const owner = owners.get(id);
      if (owner !== undefined) report(field, `got node ${id}, which already belongs to image ${owner}`);
      owners.set(id, slot);
    }
    if (required) return;
    const needed = places.find(({ node, fixed }) => fixed && nodes.has(node));
    if (needed !== undefined) {
      report(
        field,
        `got ${nodeLabel(graph, needed.node)}, which ${needed.field} needs; takes nodes that only serve image ${slot}`,
      );
    }
    for (const orphan of orphansOfSlot(manifest, graph, slot)) {
      report(
        field,
        `lacks ${nodeLabel(graph, orphan)}, which has no other source; takes every node that only serves image ${slot}`,
      );
    }
  });
}

function checkSizes(manifest: Manifest, report: Report): void {
  const { inputs, size, parameters } = manifest;
  const { width, height } = inputs;
  if ((width === undefined) !== (height === undefined)) {
    report(
      `inputs.${width === undefined ? 'width' : 'height'}`,
      'is missing; width and height need each other',
    );
  } else if (!takesSize(manifest) && parameters.megapixels !== undefined) {
    report(
      'inputs.width',
      'is missing; takes the input of the working width (with height), or set megapixels; a graph that decides its own size has no parameters.megapixels',
    );
  } else if (takesSize(manifest) && parameters.megapixels === undefined) {
    report('parameters.megapixels', 'is missing; takes {"default": …, "minimum": …, "maximum": …}');
  }
  const { minSide, maxSide, multipleOf } = size;
  if (Math.ceil(minSide / multipleOf) > Math.floor(maxSide / multipleOf)) {
    report(
      'size.maxSide',
      `got ${maxSide}; takes a side with a multiple of ${multipleOf} from minSide, ${minSide}`,
    );
  }
}

function checkStages(manifest: Manifest, graph: Graph, report: Report): void {
  const owners = new Map<string, string>();
  manifest.stages.forEach(({ nodes }, index) => {
    nodes.forEach((reference, position) => {
      const field = `stages.${index}.nodes.${position}`;
      const id = find(graph, field, reference, report);
      if (id === null) return;
      const owner = owners.get(id);
      if (owner !== undefined) report(field, `got node ${id} again, which ${owner} already names`);
      owners.set(id, field);
    });
  });
}

function checkRequires(manifest: Manifest, graph: Graph, report: Report): void {
  const { requires, templates, extraParameters } = manifest;
  const loaders = requires.models.flatMap(({ alternatives }) =>
    alternatives.flatMap(({ loader }) => loader?.class ?? []),
  );
  const classes = new Set([...Object.values(graph).map(node => node.class_type), ...loaders]);
  for (const [index, entry] of requires.nodes.entries()) {
    if (classes.has(entry.class)) continue;
    const hint = didYouMean(entry.class, classes);
    report(
      `requires.nodes.${index}.class`,
      `got "${entry.class}", which graph.json does not use; takes a class that it uses${hint}`,
    );
  }
  const constants = [
    ...Object.values(graph).flatMap(({ inputs }) => Object.values(inputs)),
    ...templates.flatMap(({ value }) => expandTemplate(value, extraParameters)),
    ...extraParameters.flatMap(parameter => optionValues(parameter) ?? []),
  ];
  const files = new Set(constants.filter(isModelFile));
  for (const [index, { file }] of requires.models.entries()) {
    if (files.has(file)) continue;
    report(
      `requires.models.${index}.file`,
      `got "${file}", which nothing loads; takes a file that graph.json names${didYouMean(file, files)}`,
    );
  }
  checkAlternatives(manifest, report);
  for (const file of files) {
    if (!requires.models.some(model => model.file === file))
      report('requires.models', `lacks "${file}"; takes every model file, with its folder`);
  }
}

/** A file that is its own alternative, or is there twice, would never be chosen. */
function checkAlternatives({ requires }: Manifest, report: Report): void {
  requires.models.forEach(({ file, alternatives }, index) => {
    alternatives.forEach((alternative, position) => {
      const field = `requires.models.${index}.alternatives.${position}.file`;
      const earlier = alternatives.slice(0, position).map(other => other.file);
      if (alternative.file !== file && !earlier.includes(alternative.file)) return;
      report(field, `got "${alternative.file}" again; takes another file than those before it`);
    });
  });
}
