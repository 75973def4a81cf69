import type { NodeClass, ObjectInfo } from '../check/object-info.ts';
import type { Graph, GraphNode } from '../graph.ts';
import { isLink } from '../graph.ts';
import type { Manifest } from '../manifest.ts';

type Model = Manifest['requires']['models'][number];
type Alternative = Model['alternatives'][number];

/** Which file an engine uses for a required one that has alternatives. */
export interface ModelChoice {
  /** The file that the graph names. */
  readonly wanted: string;
  /** The one that is bound; the same where the engine has it, or has none. */
  readonly file: string;
}

/** An input of a node that names a file. */
interface Place {
  readonly node: GraphNode;
  readonly input: string;
}

/**
 * Binds, for each required file with alternatives that the graph names, the first that the engine has: the file itself, then
 * the alternatives in their order. Changes the graph. A file of which the engine has no alternative either stays as it is.
 */
export function chooseModels(
  graph: Graph,
  { requires }: Pick<Manifest, 'requires'>,
  info: ObjectInfo,
): ModelChoice[] {
  // Found before any is changed: an alternative may be a required file itself, for another parameter.
  const wanted = requires.models
    .filter(({ alternatives }) => alternatives.length > 0)
    .map(model => ({ model, places: placesOf(graph, model.file) }));
  return wanted.flatMap(({ model, places }) => {
    if (places.length === 0) return [];
    const has = ({ node, input }: Place) => lists(info.get(node.class_type), input, model.file);
    const chosen = places.every(has) ? undefined : firstOf(model, places, info);
    if (chosen !== undefined) for (const place of places) load(place, chosen);
    return [{ wanted: model.file, file: chosen?.file ?? model.file }];
  });
}

/** The files that do as well as this one, best first. */
export function alternativesTo({ requires }: Manifest, file: string): readonly string[] {
  const model = requires.models.find(candidate => candidate.file === file);
  return model?.alternatives.map(alternative => alternative.file) ?? [];
}

function placesOf(graph: Graph, file: string): Place[] {
  return Object.values(graph).flatMap(node =>
    Object.entries(node.inputs).flatMap(([input, value]) => (value === file ? [{ node, input }] : [])),
  );
}

function firstOf(model: Model, places: readonly Place[], info: ObjectInfo): Alternative | undefined {
  return model.alternatives.find(({ file, loader }) =>
    places.every(({ node, input }) =>
      lists(info.get(loader?.class ?? node.class_type), loader?.input ?? input, file),
    ),
  );
}

/** Whether a class lists this file; one that lists none may have any. */
function lists(nodeClass: NodeClass | undefined, input: string, file: string): boolean {
  const found = nodeClass?.inputs.get(input);
  return found !== undefined && (found.options === null || found.options.includes(file));
}

/** Has a node load the alternative: with another class it keeps its links, and none of its other values. */
function load({ node, input }: Place, { file, loader }: Alternative): void {
  if (loader === undefined) {
    node.inputs[input] = file;
    return;
  }
  const links = Object.entries(node.inputs).filter(([, value]) => isLink(value));
  node.class_type = loader.class;
  node.inputs = { ...Object.fromEntries(links), ...loader.inputs, [loader.input ?? input]: file };
}
