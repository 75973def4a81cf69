import { type BindImage, type BindRequest, bindWorkflow } from '../bind/bind.ts';
import { alternativesTo, type ModelChoice } from '../bind/models.ts';
import { defaultsFor, inRange } from '../bind/parameters.ts';
import { slotSets } from '../bind/slots.ts';
import { type Graph, type GraphNode, isLink, isModelFile, type Link, modelFolder, nodeOf } from '../graph.ts';
import { didYouMean, numbersInWords, show } from '../messages.ts';
import type { Workflow } from '../workflow.ts';
import type { NodeClass, NodeInput, ObjectInfo } from './object-info.ts';

/** Why an engine cannot run a workflow. */
export type WorkflowProblem =
  | { kind: 'node-missing'; classType: string }
  /** `alternatives`: files that would do as well, all missing too. */
  | { kind: 'model-missing'; file: string; folder: string; alternatives: readonly string[] }
  | { kind: 'input-invalid'; node: string; input: string; message: string };

/** A problem in words. The text about a missing node or file continues the name of the engine. */
export function describeProblem(problem: WorkflowProblem): string {
  switch (problem.kind) {
    case 'node-missing':
      return `lacks the node ${problem.classType}`;
    case 'model-missing': {
      const others = problem.alternatives.map(file => ` or ${file}`).join('');
      return `lacks the file ${problem.file}${others} in models/${problem.folder}`;
    }
    case 'input-invalid':
      return `node ${problem.node}, input ${problem.input}: ${problem.message}`;
    default:
      return problem satisfies never;
  }
}

/** Identifies a problem: two with the same key are about the same class, file or input. */
export function problemKey(problem: WorkflowProblem): string {
  return problem.kind === 'input-invalid'
    ? JSON.stringify([problem.node, problem.input])
    : JSON.stringify(problem);
}

type Numbers = Pick<BindRequest, 'steps' | 'cfg' | 'megapixels'>;

/**
 * What keeps an engine from running a workflow with its defaults (or with `parameters`, valid extra ones): missing
 * classes, model files that it does not list, inputs that it would reject or, worse, accept and fail on. Every choice of
 * optional images is tried, and both ends of the ranges of steps, cfg and megapixels. Empty when it can run the workflow.
 */
export function checkAgainstEngine(
  workflow: Workflow,
  info: ObjectInfo,
  parameters: Readonly<Record<string, unknown>> = {},
): WorkflowProblem[] {
  const defaults = defaultsFor(workflow.manifest, parameters);
  const bind = (slots: readonly BindImage['slot'][], numbers: Numbers): Graph =>
    bindWorkflow(workflow, trialRequest(workflow, slots, { ...defaults, ...numbers }), info).graph;
  const sets = slotSets(workflow.manifest);
  const graphs = sets.map(slots => bind(slots, defaults));
  for (const end of ['minimum', 'maximum'] as const) {
    const { steps, cfg, megapixels } = workflow.manifest.parameters;
    const area = megapixels?.[end] ?? null;
    graphs.push(bind(sets[0] ?? [], { steps: steps[end], cfg: cfg[end], megapixels: area }));
  }
  const found = new Map<string, WorkflowProblem>();
  for (const problem of graphs.flatMap(graph => checkGraphAgainstEngine(graph, info, workflow))) {
    const key = problemKey(problem);
    if (!found.has(key)) found.set(key, problem);
  }
  return [...found.values()];
}

/** The files that an engine uses for those with alternatives, in an edit with the defaults of a workflow. */
export function modelsOnEngine(workflow: Workflow, info: ObjectInfo): readonly ModelChoice[] {
  const slots = workflow.manifest.images.map(({ slot }) => slot);
  return bindWorkflow(workflow, trialRequest(workflow, slots, defaultsFor(workflow.manifest, {})), info)
    .models;
}

/** A request that is bound only to see what becomes of it. */
function trialRequest(
  { manifest }: Workflow,
  slots: readonly BindImage['slot'][],
  { steps, cfg, megapixels, parameters }: Numbers & Pick<BindRequest, 'parameters'>,
): BindRequest {
  return {
    jobId: 'check',
    images: slots.map(slot => ({ slot, name: 'check.png', width: 1024, height: 1024 })),
    mask: manifest.mask === undefined ? null : 'check.png',
    prompt: '',
    negativePrompt: '',
    seed: '0',
    parameters,
    steps,
    cfg,
    megapixels,
  };
}

/** As `checkAgainstEngine`, for one bound graph. The folders of missing model files are taken from `workflow`, else guessed. */
export function checkGraphAgainstEngine(
  graph: Graph,
  info: ObjectInfo,
  workflow?: Workflow,
): WorkflowProblem[] {
  return Object.entries(graph).flatMap(([id, node]): WorkflowProblem[] => {
    const nodeClass = info.get(node.class_type);
    return nodeClass === undefined
      ? [{ kind: 'node-missing', classType: node.class_type }]
      : checkNode({ id, node, nodeClass, graph, info, manifest: workflow?.manifest });
  });
}

interface Place {
  id: string;
  node: GraphNode;
  nodeClass: NodeClass;
  graph: Graph;
  info: ObjectInfo;
  manifest: Workflow['manifest'] | undefined;
}

function checkNode(place: Place): WorkflowProblem[] {
  const { id, node, nodeClass, manifest } = place;
  const problems: WorkflowProblem[] = [];
  const invalid = (input: string, message: string) =>
    problems.push({ kind: 'input-invalid', node: id, input, message });
  for (const [name, input] of nodeClass.inputs) {
    if (input.required && !isDynamic(input) && !Object.hasOwn(node.inputs, name)) {
      invalid(name, `is missing; ${node.class_type} takes ${takesOf(input)}`);
    }
  }
  for (const [name, value] of Object.entries(node.inputs)) {
    const input = nodeClass.inputs.get(name);
    if (isLink(value)) {
      const message = linkProblem(place, name, input, value);
      if (message !== null) invalid(name, message);
      continue;
    }
    // ComfyUI ignores a constant for an unknown input, and its own exports have some. Null makes an optional input unset.
    if (input === undefined || (value === null && !input.required) || takesValue(input, value)) continue;
    if (input.options !== null && isModelFile(value)) {
      const known = manifest?.requires.models.find(({ file }) => file === value)?.folder;
      const alternatives = manifest === undefined ? [] : alternativesTo(manifest, value);
      problems.push({ kind: 'model-missing', file: value, folder: known ?? modelFolder(name), alternatives });
    } else {
      invalid(name, `takes ${takesOf(input, value)}, got ${show(value)}`);
    }
  }
  return problems;
}

function linkProblem(
  { node, nodeClass, graph, info }: Place,
  name: string,
  input: NodeInput | undefined,
  [target, slot]: Link,
): string | null {
  const source = nodeOf(graph, target);
  if (source === undefined)
    return `takes a link to a node of the graph, got one to the missing node ${target}`;
  if (input === undefined) {
    // A growing input has names such as images.image_1 below a declared `images`.
    const declared = nodeClass.inputs.get(name.split('.', 1)[0] ?? name);
    if (declared !== undefined && isDynamic(declared)) return null;
    const names = [...nodeClass.inputs.keys()];
    return `is not an input of ${node.class_type}, which takes ${names.join(', ')}${didYouMean(name, names)}`;
  }
  const outputs = info.get(source.class_type)?.outputs;
  if (outputs === undefined) return null;
  const type = outputs[slot];
  if (type === undefined) {
    return `takes one of the ${outputs.length} outputs of ${source.class_type}, got number ${slot}`;
  }
  return matches(type, input.type)
    ? null
    : `takes ${input.type}, got ${type} from node ${target} (${source.class_type})`;
}

/**
 * Whether an output fits an input. A type may be a union such as `INT,FLOAT`; `*` fits everything (ComfyUI's
 * comfy_execution/validation.py).
 */
function matches(given: string, wanted: string): boolean {
  const typesOf = (union: string) => union.split(',').map(type => type.trim());
  const isOpen = (type: string) => type === '*' || type.startsWith('COMFY_');
  const [left, right] = [typesOf(given), typesOf(wanted)];
  return left.some(isOpen) || right.some(isOpen) || left.some(type => right.includes(type));
}

/** Whether a V3 input stands for several, such as a growing list of images. */
function isDynamic(input: NodeInput): boolean {
  return input.type.startsWith('COMFY_');
}

/** Types that take only a link. ComfyUI accepts a constant for them, and then fails when it runs the node. */
const LINK_ONLY = /^(MODEL|CLIP|VAE|CONDITIONING|LATENT|IMAGE|MASK|CLIP_VISION|CONTROL_NET)$/;

function takesValue(input: NodeInput, value: unknown): boolean {
  switch (input.type) {
    case 'INT': {
      // The seed is a string, since a JSON number cannot hold it.
      const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
      return Number.isInteger(number) && inRange(input, number);
    }
    case 'FLOAT':
      return inRange(input, value);
    case 'STRING':
      return typeof value === 'string';
    case 'BOOLEAN':
      // ComfyUI converts every non-empty string to true, "false" included.
      return typeof value === 'boolean';
    case 'COMBO':
      return (
        input.options === null || typeof value === 'object' || input.options.some(option => option === value)
      );
    default:
      return !LINK_ONLY.test(input.type);
  }
}

/** What an input takes, in words; for an option that it does not take, with the nearest that it does. */
function takesOf(input: NodeInput, value?: unknown): string {
  switch (input.type) {
    case 'INT':
      return numbersInWords('integer', input.minimum, input.maximum);
    case 'FLOAT':
      return numbersInWords('number', input.minimum, input.maximum);
    case 'STRING':
      return 'a string';
    case 'BOOLEAN':
      return 'true or false';
    case 'COMBO': {
      if (input.options === null) return 'one of its options';
      const options = input.options.map(String);
      if (options.length === 0) return 'one of its options, of which there are none';
      const more = options.length > 12 ? ` and ${options.length - 12} more` : '';
      const hint = typeof value === 'string' ? didYouMean(value, options) : '';
      return `one of ${options.slice(0, 12).join(', ')}${more}${hint}`;
    }
    default:
      return `a link of type ${input.type}`;
  }
}
