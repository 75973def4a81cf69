import type { ObjectInfo } from '../check/object-info.ts';
import { type Graph, nodeId, nodeOf } from '../graph.ts';
import { listTargets, type Manifest, type Target } from '../manifest.ts';
import { show } from '../messages.ts';
import type { Workflow } from '../workflow.ts';
import { chooseModels, type ModelChoice } from './models.ts';
import {
  fillTemplate,
  fits,
  ownSizeMessage,
  type ParameterValues,
  SETTINGS,
  settingRule,
  takesOf,
  validateParameters,
} from './parameters.ts';
import { type ProgressPlan, planProgress } from './plan.ts';
import { SEED_MAX } from './seed.ts';
import { encodedSize, type Size, scaledSize, workingSize } from './size.ts';
import { withSlots } from './slots.ts';

export interface BindImage {
  readonly slot: 1 | 2 | 3;
  /** The file name that the engine returned for the upload, with its subfolder. */
  readonly name: string;
  /** Width and height in pixels as the engine sees the image, which is after its EXIF rotation. */
  readonly width: number;
  readonly height: number;
}

export interface BindRequest {
  readonly jobId: string;
  readonly images: readonly BindImage[];
  /** The file name that the engine returned for the mask; null or unset: there is none. */
  readonly mask?: string | null;
  readonly prompt: string;
  readonly negativePrompt: string;
  /** Decimal, 0 … 2^64-1. */
  readonly seed: string;
  readonly steps: number;
  readonly cfg: number;
  /** In units of 1024 x 1024 pixels; null where the graph decides the size. */
  readonly megapixels: number | null;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export interface BoundPrompt {
  graph: Graph;
  /** The working size in pixels, which is the size of the output image; null when the graph decides it. */
  size: Size | null;
  /** The node under which `/history` lists the result. */
  outputNode: string;
  plan: ProgressPlan;
  /** The files that are used for those with alternatives. */
  models: readonly ModelChoice[];
}

/** A request that does not fit a workflow; `message` names the field. */
export class WorkflowBindError extends Error {
  override readonly name = 'WorkflowBindError';
  readonly field: string;

  constructor(workflow: string, field: string, message: string) {
    super(`${field} ${message} (workflow ${workflow})`);
    this.field = field;
  }
}

/**
 * Makes the graph of one job: sets the images in their slots, removes the nodes of absent ones, sets every field of the
 * request, and names the output file after the job. The seed becomes a decimal string, since a JSON number above 2^53
 * would lose digits. With `info`, the nodes and files of the engine, files with alternatives become the first one that it has.
 * The workflow must have passed `checkWorkflow`, and is not changed. Throws a WorkflowBindError when
 * the request does not fit the workflow's slots and ranges, so that no graph ever contains NaN or Infinity.
 */
export function bindWorkflow(workflow: Workflow, request: BindRequest, info?: ObjectInfo): BoundPrompt {
  const { manifest, graph: whole } = workflow;
  const parameters = checkRequest(manifest, request);
  const images = request.images.toSorted((left, right) => left.slot - right.slot);
  const first = images[0];
  if (first === undefined)
    throw new WorkflowBindError(manifest.name, 'images', 'takes at least one image, got none');
  const size = resultSize(manifest, first, request.megapixels);

  const graph = withSlots(
    manifest,
    whole,
    images.map(({ slot }) => slot),
  );
  const put = (target: Target | readonly Target[] | undefined, value: unknown) => {
    for (const { node, input } of listTargets(target)) {
      const found = nodeOf(graph, nodeId(whole, node));
      // The node may have been removed with an absent image.
      if (found !== undefined) found.inputs[input] = value;
    }
  };
  for (const parameter of manifest.extraParameters) put(parameter.target, parameters[parameter.name]);
  for (const { target, value } of manifest.templates) put(target, fillTemplate(value, parameters));
  for (const { slot, target } of manifest.images)
    put(target, images.find(image => image.slot === slot)?.name);
  put(manifest.mask?.target, request.mask);
  const { inputs, output } = manifest;
  put(inputs.prompt, request.prompt);
  put(inputs.negativePrompt, request.negativePrompt);
  put(inputs.seed, BigInt(request.seed).toString());
  put(inputs.width, size?.width);
  put(inputs.height, size?.height);
  for (const name of SETTINGS) put(inputs[name], request[name]);
  put({ node: output.node, input: output.prefixInput }, `QwenEdit/api_${request.jobId}`);

  const models = info === undefined ? [] : chooseModels(graph, manifest, info);

  const { steps, cfg } = request;
  const plan = planProgress(manifest, whole, graph, { steps, cfg, images, size });
  return { graph, size, outputNode: nodeId(whole, output.node), plan, models };
}

/**
 * The size of the result for an image 1 of the size `first`: the one computed here when the graph takes one, else that
 * which its own scaling node will produce, if known. Throws a RangeError unless sides and `megapixels` are above 0.
 */
export function resultSize(manifest: Manifest, first: Size, megapixels: number | null): Size | null {
  if (megapixels === null) return null;
  return manifest.inputs.width === undefined
    ? encodedSize(scaledSize(first, megapixels, manifest.size.multipleOf))
    : workingSize(first, megapixels, manifest.size);
}

type Fail = (field: string, message: string) => never;

function checkRequest(manifest: Manifest, request: BindRequest): ParameterValues {
  const fail: Fail = (field, message) => {
    throw new WorkflowBindError(manifest.name, field, message);
  };
  // ComfyUI expands %…% in a file name prefix and reads slashes as folders.
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(request.jobId)) {
    fail('jobId', `takes letters, digits, - and _, got ${show(request.jobId)}`);
  }
  checkImages(manifest, request.images, fail);
  checkMask(manifest, request.mask ?? null, fail);
  if (!/^\d{1,20}$/.test(request.seed) || BigInt(request.seed) > SEED_MAX) {
    fail('seed', `takes an integer from 0 to ${SEED_MAX}, got ${show(request.seed)}`);
  }
  for (const name of SETTINGS) {
    const rule = settingRule(manifest, name);
    if (rule === null) {
      if (request[name] !== null) fail(name, ownSizeMessage(manifest.name));
    } else if (!fits(rule, request[name])) fail(name, `takes ${takesOf(rule)}, got ${request[name]}`);
  }
  const parameters = validateParameters(manifest, request.parameters);
  return parameters.ok ? parameters.values : fail(parameters.field, parameters.message);
}

function checkImages(manifest: Manifest, images: readonly BindImage[], fail: Fail): void {
  const slots = manifest.images.map(({ slot }) => slot).toSorted();
  const seen = new Set<number>();
  for (const { slot, name, width, height } of images) {
    const field = `image ${slot}`;
    if (!slots.includes(slot))
      fail(field, `is not an image of this workflow, which takes ${slots.join(', ')}`);
    if (seen.has(slot)) fail(field, 'is set twice');
    seen.add(slot);
    if (name === '') fail(field, 'takes the name of an uploaded file, got an empty string');
    if (![width, height].every(side => Number.isInteger(side) && side > 0))
      fail(field, `takes sides of at least 1 pixel, got ${width}x${height}`);
  }
  for (const { slot, required } of manifest.images) {
    if (required && !seen.has(slot)) fail(`image ${slot}`, 'is missing');
  }
}

function checkMask(manifest: Manifest, mask: string | null, fail: Fail): void {
  if (mask === null && manifest.mask !== undefined) fail('mask', 'is missing');
  if (mask !== null && manifest.mask === undefined) fail('mask', 'is not an input of this workflow');
  if (mask === '') fail('mask', 'takes the name of an uploaded file, got an empty string');
}
