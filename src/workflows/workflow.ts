import type { Graph } from './graph.ts';
import { type ExtraParameter, type Manifest, optionValues, type ParameterValue } from './manifest.ts';

/** A graph with its manifest. */
export interface Workflow {
  name: string;
  /** A short hash of the bytes of both files: any change of content is another version. */
  version: string;
  manifest: Manifest;
  graph: Graph;
}

/** The node classes that its graph can have once it is bound: its own, and those that load an alternative to one of its files. */
export function classesOf({ graph, manifest }: Workflow): string[] {
  const loaders = manifest.requires.models.flatMap(({ alternatives }) =>
    alternatives.flatMap(({ loader }) => (loader === undefined ? [] : [loader.class])),
  );
  return [...new Set([...Object.values(graph).map(node => node.class_type), ...loaders])];
}

/** A folder that is not a usable workflow. Each problem names the file, the field, what it got and what it takes. */
export interface BrokenWorkflow {
  name: string;
  problems: string[];
}

export interface LoadedWorkflows {
  /** The most preferred first. */
  workflows: Workflow[];
  broken: BrokenWorkflow[];
}

/** One field of a form for edits with a workflow. */
export interface FormField {
  readonly name: string;
  readonly type: ExtraParameter['type'];
  readonly default: ParameterValue;
  readonly minimum: number | null;
  readonly maximum: number | null;
  /** The only allowed values; null when the type and the range decide. */
  readonly options: readonly ParameterValue[] | null;
  readonly description: string;
}

type NumberRange = Manifest['parameters']['steps'];

/**
 * What a caller can set on a workflow besides the images and the prompts: `steps` and `cfg` where the graph has an input
 * for them, `megapixels` unless the graph decides its size, then the workflow's extra parameters.
 */
export function formOf({ inputs, parameters, extraParameters }: Manifest): FormField[] {
  const { steps, cfg, megapixels } = parameters;
  const number = (name: string, range: NumberRange, description: string): FormField => ({
    name,
    type: name === 'steps' ? 'integer' : 'number',
    ...range,
    options: null,
    description,
  });
  return [
    ...(inputs.steps === undefined ? [] : [number('steps', steps, 'Sampling steps.')]),
    ...(inputs.cfg === undefined
      ? []
      : [number('cfg', cfg, 'Guidance. At 1 the negative prompt has no effect.')]),
    ...(megapixels === undefined
      ? []
      : [
          number(
            'megapixels',
            megapixels,
            'Size of the result, in units of 1024 × 1024 pixels, with the shape of image 1.',
          ),
        ]),
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

/** Something that this gateway can do beyond a plain edit, as GET `/` names it. */
export type Feature = 'multi-image-support' | 'nunchaku-optimization';

/** The classes by which node packs load Nunchaku's 4-bit models, such as NunchakuQwenImageDiTLoader. */
const NUNCHAKU_LOADER = /^Nunchaku\w*Loader/;

/**
 * The features available now: `multi-image-support` when some engine can run a workflow of several images,
 * `nunchaku-optimization` when some engine can run one that loads its model with a Nunchaku loader. `canRun` says
 * whether some engine can run the workflow of this name.
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
