import { type Graph, nodeId, nodeOf } from '../graph.ts';
import { listTargets, type Manifest, type Target } from '../manifest.ts';
import { show } from '../messages.ts';
import type { Workflow } from '../workflow.ts';
import { fillTemplate, type ParameterValues, validateParameters } from './parameters.ts';
import { type ProgressPlan, planProgress } from './plan.ts';
import { encodedSize, type Size, scaledSize, workingSize } from './size.ts';
import { withSlots } from './slots.ts';

export interface BindImage {
  readonly slot: 1 | 2 | 3;
  /** As the engine returned it, with its subfolder. */
  readonly name: string;
  /** Pixels, as the engine will see the picture: after its EXIF rotation. */
  readonly width: number;
  readonly height: number;
}

export interface BindRequest {
  readonly jobId: string;
  readonly images: readonly BindImage[];
  readonly prompt: string;
  readonly negativePrompt: string;
  /** Decimal, 0 … 2^64-1. */
  readonly seed: string;
  readonly steps: number;
  readonly cfg: number;
  /** Of 1024 x 1024 pixels. */
  readonly megapixels: number;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export interface BoundPrompt {
  graph: Graph;
  /** The working size in pixels, which is the output's. */
  size: Size;
  /** The node under which `/history` lists the result. */
  outputNode: string;
  plan: ProgressPlan;
}

/** A request that a workflow cannot take; `message` names the field. */
export class WorkflowBindError extends Error {
  override readonly name = 'WorkflowBindError';
  readonly field: string;

  constructor(workflow: string, field: string, message: string) {
    super(`${field} ${message} (workflow ${workflow})`);
    this.field = field;
  }
}

const SEED_MAX = 2n ** 64n - 1n;

/**
 * Makes the graph of one job: pictures in their slots and the nodes of absent ones gone, every field of the request at
 * its place, the seed as a decimal string (a JSON number above 2^53 changes on the way), the output named after the job.
 * The workflow must have passed `checkWorkflow`; it is left as it is. Throws a WorkflowBindError when the request does
 * not fit the workflow's slots and ranges, so that no graph ever holds a number that is none.
 */
export function bindWorkflow(workflow: Workflow, request: BindRequest): BoundPrompt {
  const { manifest, graph: whole } = workflow;
  const parameters = checkRequest(manifest, request);
  const images = request.images.toSorted((left, right) => left.slot - right.slot);
  const first = images[0];
  if (first === undefined)
    throw new WorkflowBindError(manifest.name, 'images', 'takes at least one picture, got none');
  const size = sizeOf(manifest, first, request.megapixels);

  const graph = withSlots(
    manifest,
    whole,
    images.map(({ slot }) => slot),
  );
  const put = (target: Target | readonly Target[] | undefined, value: unknown) => {
    for (const { node, input } of listTargets(target)) {
      const found = nodeOf(graph, nodeId(whole, node));
      // An input of an absent picture's node has nothing to take.
      if (found !== undefined) found.inputs[input] = value;
    }
  };
  for (const parameter of manifest.extraParameters) put(parameter.target, parameters[parameter.name]);
  for (const { target, value } of manifest.templates) put(target, fillTemplate(value, parameters));
  for (const { slot, target } of manifest.images)
    put(target, images.find(image => image.slot === slot)?.name);
  const { inputs, output } = manifest;
  put(inputs.prompt, request.prompt);
  put(inputs.negativePrompt, request.negativePrompt);
  put(inputs.seed, BigInt(request.seed).toString());
  put(inputs.steps, request.steps);
  put(inputs.cfg, request.cfg);
  put(inputs.width, size.width);
  put(inputs.height, size.height);
  put(inputs.megapixels, request.megapixels);
  put({ node: output.node, input: output.prefixInput }, `QwenEdit/api_${request.jobId}`);

  return {
    graph,
    size,
    outputNode: nodeId(whole, output.node),
    plan: planProgress(manifest, whole, graph, {
      steps: request.steps,
      cfg: request.cfg,
      pictures: images.length,
    }),
  };
}

/** Our own size where the graph takes one, else the size that its scaling node makes of the megapixels. */
function sizeOf(manifest: Manifest, first: BindImage, megapixels: number): Size {
  return manifest.inputs.width === undefined
    ? encodedSize(scaledSize(first, megapixels, manifest.size.multipleOf))
    : workingSize(first, megapixels, manifest.size);
}

function checkRequest(manifest: Manifest, request: BindRequest): ParameterValues {
  const fail = (field: string, message: string): never => {
    throw new WorkflowBindError(manifest.name, field, message);
  };
  // ComfyUI expands %…% in a prefix and takes slashes for folders.
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(request.jobId)) {
    fail('jobId', `takes letters, digits, - and _, got ${show(request.jobId)}`);
  }
  checkImages(manifest, request.images, fail);
  if (!/^\d{1,20}$/.test(request.seed) || BigInt(request.seed) > SEED_MAX) {
    fail('seed', `takes an integer from 0 to ${SEED_MAX}, got ${show(request.seed)}`);
  }
  for (const field of ['steps', 'cfg', 'megapixels'] as const) {
    const { minimum, maximum } = manifest.parameters[field];
    const value = request[field];
    const whole = field !== 'steps' || Number.isInteger(value);
    if (!(Number.isFinite(value) && value >= minimum && value <= maximum && whole)) {
      const kind = field === 'steps' ? 'an integer' : 'a number';
      fail(field, `takes ${kind} from ${minimum} to ${maximum}, got ${value}`);
    }
  }
  const parameters = validateParameters(manifest, request.parameters);
  return parameters.ok ? parameters.values : fail(parameters.field, parameters.message);
}

function checkImages(
  manifest: Manifest,
  images: readonly BindImage[],
  fail: (field: string, message: string) => never,
): void {
  const slots = manifest.images.map(({ slot }) => slot).toSorted();
  const seen = new Set<number>();
  for (const { slot, name, width, height } of images) {
    const field = `image ${slot}`;
    if (!slots.includes(slot)) fail(field, `is no picture of this workflow, which takes ${slots.join(', ')}`);
    if (seen.has(slot)) fail(field, 'came twice');
    seen.add(slot);
    if (name === '') fail(field, 'takes the name of an uploaded file, got an empty one');
    for (const side of [width, height]) {
      if (!(Number.isInteger(side) && side > 0))
        fail(field, `takes sides of at least 1 pixel, got ${width}x${height}`);
    }
  }
  for (const { slot, required } of manifest.images) {
    if (required && !seen.has(slot)) fail(`image ${slot}`, 'is missing');
  }
}
