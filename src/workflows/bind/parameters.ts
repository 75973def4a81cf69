import { type ExtraParameter, type Manifest, optionValues, type ParameterValue } from '../manifest.ts';
import { didYouMean, numbersInWords, show } from '../messages.ts';

export type ParameterValues = Record<string, ParameterValue>;

/** The type of a parameter and what limits its values. */
export type ParameterRule = Pick<
  ExtraParameter,
  'type' | 'minimum' | 'maximum' | 'maximumLength' | 'options'
>;

/** The numbers that a request has besides the extra parameters; `megapixels` only where the workflow takes a size. */
export const SETTINGS = ['steps', 'cfg', 'megapixels'] as const;

/** The default maximum length of a string without options, in characters. */
const MAXIMUM_LENGTH = 1000;

/** The rule of `steps`, `cfg` or `megapixels`, with its default; null for a size that the graph decides. */
export function settingRule(manifest: Manifest, name: (typeof SETTINGS)[number]) {
  const range = manifest.parameters[name];
  return range === undefined ? null : ({ type: name === 'steps' ? 'integer' : 'number', ...range } as const);
}

/** Why a request cannot set `megapixels` on a workflow whose graph decides its size; continues the name of the field. */
export function ownSizeMessage(workflow: string): string {
  return `is not a setting of the workflow ${workflow}, whose graph decides the size of the output image: leave it unset`;
}

/**
 * Checks the extra parameters of a request against the manifest, and fills in the defaults of unset and null ones. Types
 * are strict: a string is never converted to a number. `message` continues `field`: `parameters.rank` `takes one of 32,
 * 128, got 64`.
 */
export function validateParameters(
  manifest: Manifest,
  given: Readonly<Record<string, unknown>>,
): { ok: true; values: ParameterValues } | { ok: false; field: string; message: string } {
  const names = manifest.extraParameters.map(({ name }) => name);
  const unknown = Object.keys(given).find(name => !names.includes(name));
  if (unknown !== undefined) {
    const known = names.length === 0 ? 'none' : names.join(', ');
    return {
      ok: false,
      field: `parameters.${unknown}`,
      message: `is not a parameter of the workflow ${manifest.name}, which takes ${known}${didYouMean(unknown, names)}`,
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

/**
 * The defaults of a workflow. `chosen` are valid extra parameters: an option may have defaults of its own, as a
 * four-step LoRA has for the steps.
 */
export function defaultsFor(manifest: Manifest, chosen: Readonly<Record<string, unknown>> = {}) {
  const { steps, cfg, megapixels } = manifest.parameters;
  const defaults = { steps: steps.default, cfg: cfg.default };
  let area = megapixels?.default ?? null;
  const parameters: ParameterValues = {};
  for (const parameter of manifest.extraParameters) {
    const value = chosen[parameter.name] ?? parameter.default;
    parameters[parameter.name] = fits(parameter, value) ? value : parameter.default;
    for (const entry of parameter.options ?? []) {
      if (typeof entry !== 'object' || entry.value !== parameters[parameter.name]) continue;
      for (const name of ['steps', 'cfg'] as const) defaults[name] = entry.defaults?.[name] ?? defaults[name];
      area = area === null ? null : (entry.defaults?.megapixels ?? area);
    }
  }
  return { ...defaults, megapixels: area, parameters };
}

/** Whether a parameter takes this value. */
export function fits(rule: ParameterRule, value: unknown): value is ParameterValue {
  const options = optionValues(rule);
  if (options !== null && !options.some(option => option === value)) return false;
  switch (rule.type) {
    case 'boolean':
      return typeof value === 'boolean';
    case 'string':
      return typeof value === 'string' && value.length <= (rule.maximumLength ?? MAXIMUM_LENGTH);
    case 'integer':
      return Number.isSafeInteger(value) && inRange(rule, value);
    case 'number':
      return inRange(rule, value);
    default:
      return rule.type satisfies never;
  }
}

/** Whether a value is a finite number from `minimum` to `maximum`; an unset bound does not limit it. */
export function inRange(
  { minimum, maximum }: { minimum?: number | null | undefined; maximum?: number | null | undefined },
  value: unknown,
): boolean {
  return (
    typeof value === 'number' &&
    Number.isFinite(value) &&
    value >= (minimum ?? Number.NEGATIVE_INFINITY) &&
    value <= (maximum ?? Number.POSITIVE_INFINITY)
  );
}

/** The values that a parameter takes, in words: `an integer from 1 to 60`. */
export function takesOf(rule: ParameterRule): string {
  const options = optionValues(rule);
  if (options !== null) return `one of ${options.map(String).join(', ')}`;
  switch (rule.type) {
    case 'boolean':
      return 'true or false';
    case 'string':
      return `a string of at most ${rule.maximumLength ?? MAXIMUM_LENGTH} characters`;
    case 'integer':
    case 'number':
      return numbersInWords(rule.type, rule.minimum, rule.maximum);
    default:
      return rule.type satisfies never;
  }
}

/** The names in braces in a template. */
export function placeholdersOf(template: string): string[] {
  return [...template.matchAll(/\{([^{}]*)\}/g)].map(match => match[1] ?? '');
}

/** A template with each `{name}` replaced by its value; names without a value stay as they are. */
export function fillTemplate(template: string, values: Readonly<Record<string, unknown>>): string {
  return template.replace(/\{([^{}]*)\}/g, (whole, name: string) =>
    Object.hasOwn(values, name) ? String(values[name]) : whole,
  );
}

/** Every string that a template can become, for all options of its parameters; one without options has its default. */
export function expandTemplate(template: string, parameters: readonly ExtraParameter[]): string[] {
  let texts = [template];
  for (const parameter of parameters.filter(({ name }) => placeholdersOf(template).includes(name))) {
    const values = optionValues(parameter) ?? [parameter.default];
    texts = texts.flatMap(text => values.map(value => fillTemplate(text, { [parameter.name]: value })));
  }
  return texts;
}
