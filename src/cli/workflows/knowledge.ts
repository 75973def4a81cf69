import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { readNodeClasses } from '../../sandbox/nodes/object-info.ts';
import {
  checkAgainstEngine,
  describeProblem,
  problemKey,
  type WorkflowProblem,
} from '../../workflows/check/engine.ts';
import { type ObjectInfo, parseObjectInfo } from '../../workflows/check/object-info.ts';
import { isModelFile, nodeLabel, nodeOf } from '../../workflows/graph.ts';
import { didYouMean, isTypo } from '../../workflows/messages.ts';
import type { Workflow } from '../../workflows/workflow.ts';
import type { WidgetsOf } from './editor/convert.ts';

/** The node classes of one version of ComfyUI and of common node packs. */
export interface Knowledge {
  readonly version: string;
  readonly info: ObjectInfo;
}

export interface Findings {
  problems: string[];
  /** What may be a problem, depending on the engine. */
  notes: string[];
}

/** The versions of ComfyUI that the sandbox describes, the oldest first. */
const VERSIONS = ['0.3.64', '0.8.0'] as const;

/** The node classes that the project knows: those of the sandbox, in two versions, and others that graphs often use. */
export async function shippedKnowledge(): Promise<Knowledge[]> {
  const file = new URL('./known-nodes.json', import.meta.url);
  const others = parseObjectInfo(JSON.parse(await readFile(file, 'utf8')));
  return VERSIONS.map(version => {
    const classes = readNodeClasses({ version, missingModels: [], missingNodes: [] });
    return { version, info: new Map([...others, ...parseObjectInfo(classes)]) };
  });
}

/** Types of inputs that have a widget in the editor. */
const WIDGET_TYPES: ReadonlySet<string> = new Set(['INT', 'FLOAT', 'STRING', 'BOOLEAN', 'COMBO']);

/** The widgets of the classes of an engine. */
export function widgetsOf(info: ObjectInfo): WidgetsOf {
  return classType => {
    const inputs = info.get(classType)?.inputs;
    if (inputs === undefined) return null;
    return [...inputs].flatMap(([name, { type, options, linkOnly }]) =>
      linkOnly || !WIDGET_TYPES.has(type) ? [] : [{ name, type, options }],
    );
  };
}

/** The widgets of the classes that the project knows: besides those above, many of which only the order is known. */
export async function shippedWidgets(known: readonly Knowledge[]): Promise<WidgetsOf> {
  const file = new URL('./editor/widget-names.json', import.meta.url);
  const names = new Map(Object.entries(widgetNames.parse(JSON.parse(await readFile(file, 'utf8')))));
  const newest = widgetsOf(known.at(-1)?.info ?? new Map());
  return classType => newest(classType) ?? names.get(classType)?.map(name => ({ name })) ?? null;
}

const widgetNames = z.record(z.string(), z.array(z.string()));

/**
 * Checks a workflow without an engine. What fails on every known version is a problem, what fails on some is a note. An
 * unknown class is a problem only when its name is close to a known one: others come from node packs. Model files are
 * not checked, since they differ between engines.
 */
export function checkAgainstKnowledge(workflow: Workflow, known: readonly Knowledge[]): Findings {
  const foreign = new Set<string>();
  const unlisted = new Set<string>();
  const found = new Map<string, { text: string; versions: string[] }>();
  for (const { version, info } of known) {
    for (const problem of checkAgainstEngine(asWritten(workflow), info)) {
      if (problem.kind === 'model-missing') continue;
      if (problem.kind === 'node-missing' && !isTypo(problem.classType, info.keys())) {
        foreign.add(problem.classType);
        continue;
      }
      if (problem.kind === 'input-invalid' && isOfPack(workflow, problem)) {
        unlisted.add(
          `${nodeLabel(workflow.graph, problem.node)}: input ${problem.input} has a value of a node pack`,
        );
        continue;
      }
      const key = problemKey(problem);
      const versions = [...(found.get(key)?.versions ?? []), version];
      // The text of the newest version wins.
      found.set(key, { text: explainProblem(problem, workflow, info), versions });
    }
  }
  const everywhere = [...found.values()].filter(({ versions }) => versions.length === known.length);
  const somewhere = [...found.values()].filter(({ versions }) => versions.length < known.length);
  return {
    problems: everywhere.map(({ text }) => text),
    notes: [
      ...somewhere.map(({ text, versions }) => `on ComfyUI ${versions.join(', ')}: ${text}`),
      ...[...unlisted].map(text => `${text}: check it with --engine`),
      ...[...foreign].map(name => `the class ${name} is unknown: check it with --engine`),
    ],
  };
}

/** Without alternatives, which depend on the files of an engine. */
function asWritten(workflow: Workflow): Workflow {
  const { manifest } = workflow;
  const models = manifest.requires.models.map(model => ({ ...model, alternatives: [] }));
  return { ...workflow, manifest: { ...manifest, requires: { ...manifest.requires, models } } };
}

/** Samplers and schedulers that node packs (RES4LYF, Efficiency, Easy-Use) add to the lists of ComfyUI's own nodes. */
const OF_PACKS =
  /^(res_|deis_|dpmpp_.*s$|rk_|ralston|bong_tangent|beta57|constant$|AYS|GITS|align_your_steps)/;

function isOfPack({ graph }: Workflow, { node, input }: { node: string; input: string }): boolean {
  const value = nodeOf(graph, node)?.inputs[input];
  return (
    (input === 'sampler_name' || input === 'scheduler') && typeof value === 'string' && OF_PACKS.test(value)
  );
}

/** A problem in words for the author of a workflow: where it is, what is wrong, and the nearest name that `info` has. */
export function explainProblem(problem: WorkflowProblem, workflow: Workflow, info: ObjectInfo): string {
  const { graph, manifest } = workflow;
  const said = `ComfyUI ${describeProblem(problem)}`;
  switch (problem.kind) {
    case 'node-missing': {
      const { classType } = problem;
      const nodes = Object.keys(graph).filter(id => graph[id]?.class_type === classType);
      const from = manifest.requires.nodes.find(entry => entry.class === classType)?.from;
      return `graph.json: node ${nodes.join(', ')}: ${said}${source(from)}${didYouMean(classType, info.keys())}`;
    }
    case 'model-missing': {
      const { file } = problem;
      const from = manifest.requires.models.find(entry => entry.file === file)?.from;
      return `${said}${source(from)}${didYouMean(file, filesOf(info))}`;
    }
    case 'input-invalid':
      return `graph.json: ${nodeLabel(graph, problem.node)}: input ${problem.input} ${problem.message}`;
    default:
      return problem satisfies never;
  }
}

/** ` (from …)`, or an empty string when the source is unknown. */
export function source(from: string | undefined): string {
  return from === undefined ? '' : ` (from ${from})`;
}

/** Every file of model weights that an engine lists. */
export function filesOf(info: ObjectInfo): Set<string> {
  const inputs = [...info.values()].flatMap(nodeClass => [...nodeClass.inputs.values()]);
  return new Set(inputs.flatMap(({ options }) => options ?? []).filter(isModelFile));
}
