import type { ObjectInfo } from '../../workflows/check/object-info.ts';
import { type Graph, nodeLabel, nodeOf, upstream } from '../../workflows/graph.ts';
import type { Manifest } from '../../workflows/manifest.ts';
import type { Workflow } from '../../workflows/workflow.ts';
import { adaptGraph } from './adapt/adapt.ts';
import { chooseOutput, type Output } from './adapt/outputs.ts';
import { convertEditorFile, type WidgetsOf } from './editor/convert.ts';
import { engineFindings, objectInfoOf } from './engine.ts';
import { sortedIds } from './ids.ts';
import {
  checkAgainstKnowledge,
  type Findings,
  shippedKnowledge,
  shippedWidgets,
  widgetsOf,
} from './knowledge.ts';
import type { Published } from './published.ts';
import { scaffoldManifest } from './scaffold.ts';

/** What is known of node classes: what an engine says, or what comes with the program. */
export interface Expertise {
  readonly info: ObjectInfo;
  readonly widgetsOf: WidgetsOf;
  findings(workflow: Workflow): Findings;
}

/** The knowledge of the engine at this URL; without one, that which comes with the program. */
export async function expertise(engine: string | null): Promise<Expertise> {
  if (engine !== null) {
    const info = await objectInfoOf(engine);
    return { info, widgetsOf: widgetsOf(info), findings: workflow => engineFindings(workflow, info) };
  }
  const known = await shippedKnowledge();
  return {
    info: known.at(-1)?.info ?? new Map(),
    widgetsOf: await shippedWidgets(known),
    findings: workflow => checkAgainstKnowledge(workflow, known),
  };
}

export interface MakeOptions {
  /** The node whose images are the result: an id, a title or a class. */
  readonly output?: string;
  /** Whether to leave the nodes of the graph as they are. */
  readonly keepGraph?: boolean;
}

/** A workflow made from a published graph. */
export interface Made {
  readonly manifest: Manifest;
  readonly graph: Graph;
  /** The graph before it was changed. */
  readonly published: Graph;
  /** What was changed, in words. */
  readonly changes: readonly string[];
  /** What the author should know. */
  readonly notes: readonly string[];
  /** Other nodes of the published graph that could be the output. */
  readonly others: readonly Output[];
}

type Source = Exclude<Published, { kind: 'none' }>;

/** Makes a workflow from the first of these graphs that has what an edit needs; fails for the reason of the first. */
export function makeFirst(
  name: string,
  [first, ...others]: readonly [Source, ...Source[]],
  expert: Expertise,
  options: MakeOptions = {},
): ReturnType<typeof makeWorkflow> {
  const made = makeWorkflow(name, first, expert, options);
  if (made.ok) return made;
  for (const other of others) {
    const next = makeWorkflow(name, other, expert, options);
    if (next.ok) return next;
  }
  return made;
}

/** Makes a workflow from a published graph. `message` names the node and says what to do. */
export function makeWorkflow(
  name: string,
  source: Source,
  { info, widgetsOf }: Expertise,
  { output, keepGraph = false }: MakeOptions = {},
): ({ ok: true } & Made) | { ok: false; message: string } {
  const read =
    source.kind === 'api'
      ? { ok: true as const, graph: source.graph, faults: new Map<string, string>() }
      : convertEditorFile(source.file, widgetsOf);
  if (!read.ok) return read;
  const published = read.graph;
  const adapted = keepGraph ? keep(published, output ?? null) : adaptGraph(published, output ?? null);
  if (!adapted.ok) return { ok: false, message: lacks([adapted.message]) };
  const { graph, changes, others } = adapted;
  for (const id of upstream(graph, [adapted.output.id])) {
    const fault = read.faults.get(id);
    // A node that was replaced needs no values.
    if (fault === undefined || nodeOf(graph, id)?.class_type !== nodeOf(published, id)?.class_type) continue;
    return { ok: false, message: `${titled(published, id)} ${fault}` };
  }
  const drafted = scaffoldManifest(name, graph, adapted.output.id, info);
  if (!drafted.ok) return { ok: false, message: lacks(drafted.missing) };
  const { manifest } = drafted;
  return { ok: true, manifest, graph, published, changes, notes: unusedImages(graph, manifest), others };
}

function lacks(parts: readonly string[]): string {
  if (parts.some(part => part.startsWith('--output'))) return parts.join('; ');
  return `cannot draft a manifest; the graph lacks: ${parts.join('; ')}. Write workflow.json by hand if it has them under other names.`;
}

function keep(graph: Graph, wanted: string | null) {
  const chosen = chooseOutput(graph, wanted);
  return chosen.ok ? { ...chosen, graph, changes: [] } : chosen;
}

function titled(graph: Graph, id: string): string {
  const title = nodeOf(graph, id)?._meta?.title;
  const label = nodeLabel(graph, id);
  return title === undefined || title === nodeOf(graph, id)?.class_type ? label : `${label} "${title}"`;
}

/** A request has three images at most: others keep the file of the published graph. */
function unusedImages(graph: Graph, { images, mask }: Manifest): string[] {
  const used = new Set([...images, ...(mask === undefined ? [] : [mask])].map(({ target }) => target.node));
  return sortedIds(graph)
    .filter(id => nodeOf(graph, id)?.class_type === 'LoadImage' && !used.has(id))
    .map(
      id =>
        `${nodeLabel(graph, id)} keeps its file ${JSON.stringify(nodeOf(graph, id)?.inputs.image)}, which the engine must have: a request has three images at most`,
    );
}
