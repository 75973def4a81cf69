import { type BindImage, type BindRequest, bindWorkflow } from '../bind/bind.ts';
import { defaultsFor } from '../bind/parameters.ts';
import { slotSets } from '../bind/slots.ts';
import { type Graph, type GraphNode, isLink, isModelFile, type Link, modelFolder, nodeOf } from '../graph.ts';
import { didYouMean, show } from '../messages.ts';
import type { Workflow } from '../workflow.ts';
import type { NodeClass, NodeInput, ObjectInfo } from './object-info.ts';

/** Why an engine cannot run a workflow. */
export type WorkflowProblem =
  | { kind: 'node-missing'; classType: string }
  | { kind: 'model-missing'; file: string; folder: string }
  | { kind: 'input-invalid'; node: string; input: string; message: string };

/**
 * What keeps an engine from running a workflow with its defaults (or with `parameters`, valid extra ones): classes that
 * it lacks, model files that it does not list, inputs that it would refuse or, worse, accept and fail on. Every choice
 * of optional pictures is tried. Empty when it can run it.
 */
export function checkAgainstEngine(
  workflow: Workflow,
  info: ObjectInfo,
  parameters: Readonly<Record<string, unknown>> = {},
): WorkflowProblem[] {
  const defaults = defaultsFor(workflow.manifest, parameters);
  const bind = (slots: readonly Slot[], numbers: Numbers): Graph =>
    bindWorkflow(workflow, {
      jobId: 'check',
      images: slots.map(slot => ({ slot, name: 'check.png', width: 1024, height: 1024 })),
      prompt: '',
      negativePrompt: '',
      seed: '0',
      parameters: defaults.parameters,
      ...numbers,
    }).graph;
  const sets = slotSets(workflow.manifest);
  const graphs = sets.map(slots => bind(slots, defaults));
  // What the manifest lets a caller ask for must be what the engine takes.
  for (const end of ['minimum', 'maximum'] as const) {
    const { steps, cfg, megapixels } = workflow.manifest.parameters;
    graphs.push(bind(sets[0] ?? [], { steps: steps[end], cfg: cfg[end], megapixels: megapixels[end] }));
  }
  const found = new Map<string, WorkflowProblem>();
  for (const problem of graphs.flatMap(graph => checkGraphAgainstEngine(graph, info, workflow))) {
    const key = keyOf(problem);
    if (!found.has(key)) found.set(key, problem);
  }
  return [...found.values()];
}

type Slot = BindImage['slot'];
type Numbers = Pick<BindRequest, 'steps' | 'cfg' | 'megapixels'>;

/** The same for one bound graph, just before it is sent. `workflow` knows the folders of the model files. */
export function checkGraphAgainstEngine(
  graph: Graph,
  info: ObjectInfo,
  workflow?: Workflow,
): WorkflowProblem[] {
  const problems: WorkflowProblem[] = [];
  for (const [id, node] of Object.entries(graph)) {
    const nodeClass = info.get(node.class_type);
    if (nodeClass === undefined) problems.push({ kind: 'node-missing', classType: node.class_type });
    else problems.push(...checkNode({ id, node, nodeClass, graph, info, workflow }));
  }
  return problems;
}

function keyOf(problem: WorkflowProblem): string {
  return problem.kind === 'input-invalid'
    ? JSON.stringify([problem.node, problem.input])
    : JSON.stringify(problem);
}

interface Place {
  id: string;
  node: GraphNode;
  nodeClass: NodeClass;
  graph: Graph;
  info: ObjectInfo;
  workflow: Workflow | undefined;
}

function checkNode(place: Place): WorkflowProblem[] {
  const { id, node, nodeClass, workflow } = place;
  const problems: WorkflowProblem[] = [];
  const invalid = (input: string, message: string) =>
    problems.push({ kind: 'input-invalid', node: id, input, message });
  for (const [name, input] of nodeClass.inputs) {
    if (input.required && !isDynamic(input) && !Object.hasOwn(node.inputs, name)) {
      invalid(name, `is missing; ${node.class_type} takes ${takes(input)}`);
    }
  }
  for (const [name, value] of Object.entries(node.inputs)) {
    const input = nodeClass.inputs.get(name);
    if (isLink(value)) {
      const message = linkFault(place, name, input, value);
      if (message !== null) invalid(name, message);
    } else if (input !== undefined && !isAbsent(input, value)) {
      const fault = valueFault(input, value);
      if (fault === null) continue;
      if (input.options !== null && isModelFile(value)) {
        const listed = workflow?.manifest.requires.models.find(({ file }) => file === value);
        problems.push({
          kind: 'model-missing',
          file: value,
          folder: listed?.folder ?? modelFolder(name),
        });
      } else {
        invalid(name, `${fault}, got ${show(value)}`);
      }
    }
    // A constant of a name that the class does not know is left alone: ComfyUI ignores it, and its own exports have some.
  }
  return problems;
}

/** An optional input may be null (ComfyUI takes that for absent). */
function isAbsent(input: NodeInput, value: unknown): boolean {
  return value === null && !input.required;
}

function linkFault(
  place: Place,
  name: string,
  input: NodeInput | undefined,
  [target, slot]: Link,
): string | null {
  const { node, nodeClass, graph, info } = place;
  const source = nodeOf(graph, target);
  if (source === undefined)
    return `takes a link to a node of the graph, got one to node ${target}, which is not there`;
  if (input === undefined) {
    // Inputs that grow have names such as images.image_1 under a declared `images`.
    const declared = nodeClass.inputs.get(name.split('.', 1)[0] ?? name);
    if (declared !== undefined && isDynamic(declared)) return null;
    const names = [...nodeClass.inputs.keys()];
    return `is no input of ${node.class_type}, which takes ${names.join(', ')}${didYouMean(name, names)}`;
  }
  const sourceClass = info.get(source.class_type);
  if (sourceClass === undefined) return null;
  const type = sourceClass.outputs[slot];
  if (type === undefined) {
    return `takes an output that ${source.class_type} has (${sourceClass.outputs.length} of them), got number ${slot}`;
  }
  return matches(type, input.type)
    ? null
    : `takes ${input.type}, got ${type} from node ${target} (${source.class_type})`;
}

/** Types may be unions in one text, and `*` fits everything (ComfyUI's comfy_execution/validation.py). */
function matches(given: string, wanted: string): boolean {
  const isOpen = (type: string) => type === '*' || type.startsWith('COMFY_');
  const [left, right] = [given, wanted].map(type => type.split(',').map(part => part.trim()));
  if (left === undefined || right === undefined || left.some(isOpen) || right.some(isOpen)) return true;
  return left.some(type => right.includes(type));
}

/** V3 inputs that stand for several, such as growing lists of pictures. */
function isDynamic(input: NodeInput): boolean {
  return input.type.startsWith('COMFY_');
}

/** Types that only a link can bring; ComfyUI accepts a constant there and fails when it runs. */
const LINK_ONLY = new Set([
  'MODEL',
  'CLIP',
  'VAE',
  'CONDITIONING',
  'LATENT',
  'IMAGE',
  'MASK',
  'CLIP_VISION',
  'CONTROL_NET',
]);

/** What is wrong with a constant, or null. */
function valueFault(input: NodeInput, value: unknown): string | null {
  switch (input.type) {
    case 'INT': {
      // The seed is a text, since no JSON number holds it.
      const isWhole = typeof value === 'string' ? /^-?\d+$/.test(value) : Number.isInteger(value);
      return isWhole && inRange(input, Number(value)) ? null : `takes ${takes(input)}`;
    }
    case 'FLOAT':
      return typeof value === 'number' && Number.isFinite(value) && inRange(input, value)
        ? null
        : `takes ${takes(input)}`;
    case 'STRING':
      return typeof value === 'string' ? null : `takes ${takes(input)}`;
    case 'BOOLEAN':
      // ComfyUI makes true of every text, "false" included.
      return typeof value === 'boolean' ? null : `takes ${takes(input)}`;
    case 'COMBO':
      if (input.options === null || input.upload || Array.isArray(value) || typeof value === 'object')
        return null;
      return input.options.some(option => option === value) ? null : `takes ${takes(input, value)}`;
    default:
      return LINK_ONLY.has(input.type) ? `takes a link of type ${input.type}` : null;
  }
}

function inRange({ minimum, maximum }: NodeInput, value: number): boolean {
  return value >= (minimum ?? Number.NEGATIVE_INFINITY) && value <= (maximum ?? Number.POSITIVE_INFINITY);
}

function takes(input: NodeInput, value?: unknown): string {
  const range = `${input.minimum === null ? '' : ` from ${input.minimum}`}${input.maximum === null ? '' : ` to ${input.maximum}`}`;
  switch (input.type) {
    case 'INT':
      return `an integer${range}`;
    case 'FLOAT':
      return `a number${range}`;
    case 'STRING':
      return 'a text';
    case 'BOOLEAN':
      return 'true or false';
    case 'COMBO': {
      const options = input.options?.map(String) ?? [];
      if (options.length === 0) return 'one of a list, which is empty';
      const shown =
        options.length <= 12
          ? options.join(', ')
          : `${options.slice(0, 12).join(', ')} and ${options.length - 12} more`;
      return `one of ${shown}${typeof value === 'string' ? didYouMean(value, options) : ''}`;
    }
    default:
      return `a link of type ${input.type}`;
  }
}
