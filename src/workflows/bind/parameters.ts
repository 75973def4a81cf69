import { type ExtraParameter, type Manifest, optionValues, type ParameterValue } from '../manifest.ts';
import { didYouMean, show } from '../messages.ts';

export type ParameterValues = Record<string, ParameterValue>;

export type ParameterResult =
  | { ok: true; values: ParameterValues }
  /** `message` reads on from `field`: `parameters.rank` `takes one of 32, 128, got 64`. */
  | { ok: false; field: string; message: string };

/** Characters that a free text may have when its manifest says nothing. */
const MAXIMUM_LENGTH = 1000;

/**
 * Holds the extra parameters of a request against the manifest, and fills in those that were left out (or are null).
 * Types are taken strictly: no text stands for a number.
 */
export function validateParameters(
  manifest: Manifest,
  given: Readonly<Record<string, unknown>>,
): ParameterResult {
  const names = manifest.extraParameters.map(({ name }) => name);
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    const takes = names.length === 0 ? 'it takes none' : `it takes ${names.join(', ')}`;
    return {
      ok: false,
      field: `parameters.${name}`,
      message: `is no parameter of the workflow ${manifest.name}, ${takes}${didYouMean(name, names)}`,
    };
  }
  const values: ParameterValues = {};
  for (const parameter of manifest.extraParameters) {
    const value = (Object.hasOwn(given, parameter.name) ? given[parameter.name] : null) ?? parameter.default;
    if (!fits(parameter, value)) {
      const field = `parameters.${parameter.name}`;
      return { ok: false, field, message: `takes ${takesOf(parameter)}, got ${show(value)}` };
    }
    values[parameter.name] = value;
  }
  return { ok: true, values };
}

/** What a request is when it says nothing. */
export interface RequestDefaults {
  steps: number;
  cfg: number;
  megapixels: number;
  parameters: ParameterValues;
}

/**
 * The defaults of a workflow. `chosen` are valid extra parameters: an option may bring defaults of its own, as a
 * four-step LoRA does for the steps.
 */
export function defaultsFor(
  manifest: Manifest,
  chosen: Readonly<Record<string, unknown>> = {},
): RequestDefaults {
  const { steps, cfg, megapixels } = manifest.parameters;
  const defaults = { steps: steps.default, cfg: cfg.default, megapixels: megapixels.default };
  const parameters: ParameterValues = {};
  for (const parameter of manifest.extraParameters) {
    const value = chosen[parameter.name] ?? parameter.default;
    parameters[parameter.name] = fits(parameter, value) ? value : parameter.default;
    for (const entry of parameter.options ?? []) {
      if (typeof entry !== 'object' || entry.value !== parameters[parameter.name]) continue;
      defaults.steps = entry.defaults?.steps ?? defaults.steps;
      defaults.cfg = entry.defaults?.cfg ?? defaults.cfg;
      defaults.megapixels = entry.defaults?.megapixels ?? defaults.megapixels;
    }
  }
  return { ...defaults, parameters };
}

/** Whether a parameter takes this value. */
export function fits(parameter: ExtraParameter, value: unknown): value is ParameterValue {
  const options = optionValues(parameter);
  if (options !== null && !options.some(option => option === value)) return false;
  switch (parameter.type) {
    case 'boolean':
      return typeof value === 'boolean';
    case 'string':
      return typeof value === 'string' && value.length <= (parameter.maximumLength ?? MAXIMUM_LENGTH);
    case 'integer':
    case 'number':
      return (
        typeof value === 'number' &&
        (parameter.type === 'integer' ? Number.isSafeInteger(value) : Number.isFinite(value)) &&
        value >= (parameter.minimum ?? Number.NEGATIVE_INFINITY) &&
        value <= (parameter.maximum ?? Number.POSITIVE_INFINITY)
      );
    default:
      return parameter.type satisfies never;
  }
}

/** What a parameter takes, in words: `an integer from 1 to 60`. */
export function takesOf(parameter: ExtraParameter): string {
  const options = optionValues(parameter);
  if (options !== null) return `one of ${options.map(String).join(', ')}`;
  const { minimum, maximum } = parameter;
  const from = minimum === undefined ? '' : ` from ${minimum}`;
  const range = `${from}${maximum === undefined ? '' : `${from === '' ? ' up' : ''} to ${maximum}`}`;
  switch (parameter.type) {
    case 'boolean':
      return 'true or false';
    case 'string':
      return `a text of at most ${parameter.maximumLength ?? MAXIMUM_LENGTH} characters`;
    case 'integer':
      return `an integer${range}`;
    case 'number':
      return `a number${range}`;
    default:
      return parameter.type satisfies never;
  }
}

/** The names in braces that a template speaks of. */
export function placeholdersOf(template: string): string[] {
  return [...template.matchAll(/\{([^{}]*)\}/g)].map(match => match[1] ?? '');
}

/** A template with each `{name}` replaced by its value; names without one stay as they are. */
export function fillTemplate(template: string, values: Readonly<Record<string, unknown>>): string {
  return template.replace(/\{([^{}]*)\}/g, (whole, name: string) =>
    Object.hasOwn(values, name) ? String(values[name]) : whole,
  );
}

/** Every text that a template can become, by the options of its parameters; a parameter without any gives its default. */
export function expandTemplate(template: string, parameters: readonly ExtraParameter[]): string[] {
  let texts = [template];
  for (const parameter of parameters.filter(({ name }) => placeholdersOf(template).includes(name))) {
    const values = optionValues(parameter) ?? [parameter.default];
    texts = texts.flatMap(text => values.map(value => fillTemplate(text, { [parameter.name]: value })));
  }
  return texts;
}
