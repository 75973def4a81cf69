import type { Graph } from './graph.ts';
import { type ExtraParameter, type Manifest, optionValues, type ParameterValue } from './manifest.ts';

/** A graph and what is known of it. */
export interface Workflow {
  name: string;
  /** A short hash of both files' bytes: another content is another version. */
  version: string;
  manifest: Manifest;
  graph: Graph;
}

/** A folder that is no usable workflow, and why: each text names the file, the field, what came and what it takes. */
export interface BrokenWorkflow {
  name: string;
  problems: string[];
}

export interface LoadedWorkflows {
  /** The most preferred first. */
  workflows: Workflow[];
  broken: BrokenWorkflow[];
}

/** One field of a form for edits on a workflow. */
export interface FormField {
  readonly name: string;
  readonly type: ExtraParameter['type'];
  readonly default: ParameterValue;
  readonly minimum: number | null;
  readonly maximum: number | null;
  /** The only values that it takes; null when it takes any in its range. */
  readonly options: readonly ParameterValue[] | null;
  readonly description: string;
}

/**
 * What a caller can set on a workflow besides the pictures and the prompts: `steps` and `cfg` where the graph has a
 * place for them, `megapixels`, then the workflow's own parameters.
 */
export function formOf(manifest: Manifest): FormField[] {
  const { inputs, parameters, extraParameters } = manifest;
  const range = (name: 'steps' | 'cfg' | 'megapixels', type: FormField['type'], description: string) => ({
    name,
    type,
    ...parameters[name],
    options: null,
    description,
  });
  return [
    ...(inputs.steps === undefined ? [] : [range('steps', 'integer', 'Sampling steps.')]),
    ...(inputs.cfg === undefined
      ? []
      : [range('cfg', 'number', 'Guidance. At 1 the negative prompt has no effect.')]),
    range('megapixels', 'number', 'Size of the result, of 1024 × 1024 pixels, in the shape of image 1.'),
    ...extraParameters.map(parameter => ({
      name: parameter.name,
      type: parameter.type,
      default: parameter.default,
      minimum: parameter.minimum ?? null,
      maximum: parameter.maximum ?? null,
      options: optionValues(parameter),
      description: parameter.description,
    })),
  ];
}

/** Something that this gateway can do besides the one edit, as GET `/` names it. */
export type Feature = 'multi-image-support' | 'nunchaku-optimization';

/** The classes by which node packs load Nunchaku's 4-bit models: NunchakuQwenImageDiTLoader and its kin. */
const NUNCHAKU_LOADER = /^Nunchaku\w*Loader/;

/**
 * What can be done now: `multi-image-support` when some engine can run a workflow that takes more than one picture,
 * `nunchaku-optimization` when some engine can run one that loads its model by a Nunchaku loader. `canRun` tells
 * whether an engine is there that can run the workflow of a name.
 */
export function featuresOf(workflows: readonly Workflow[], canRun: (name: string) => boolean): Feature[] {
  const runnable = workflows.filter(({ name }) => canRun(name));
  const features: Feature[] = [];
  if (runnable.some(({ manifest }) => manifest.images.length > 1)) features.push('multi-image-support');
  if (runnable.some(loadsNunchaku)) features.push('nunchaku-optimization');
  return features;
}

function loadsNunchaku({ graph, manifest }: Workflow): boolean {
  const classes = [
    ...Object.values(graph).map(node => node.class_type),
    ...manifest.requires.nodes.map(entry => entry.class),
  ];
  return classes.some(name => NUNCHAKU_LOADER.test(name));
}
