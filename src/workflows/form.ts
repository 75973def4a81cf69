import { type ExtraParameter, type Manifest, optionValues, type ParameterValue } from './manifest.ts';

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
