import { fits, placeholdersOf, SETTINGS, settingRule, takesOf } from '../bind/parameters.ts';
import { type Graph, nodeOf, resolveNode } from '../graph.ts';
import { type ExtraParameter, listTargets, type Manifest, optionValues } from '../manifest.ts';
import { didYouMean, show } from '../messages.ts';

/** Reports a problem of a field of `workflow.json`; `message` says what the field got and what it takes. */
export type Report = (field: string, message: string) => void;

/** Reports what is wrong with the parameters of a manifest: their ranges, defaults, options and templates. */
export function checkParameters(manifest: Manifest, graph: Graph, report: Report): void {
  for (const name of SETTINGS) {
    const rule = settingRule(manifest, name);
    if (rule !== null) checkRule(rule, `parameters.${name}`, report);
  }
  const { steps, megapixels } = manifest.parameters;
  for (const key of ['minimum', 'maximum'] as const) {
    if (!Number.isInteger(steps[key]))
      report(`parameters.steps.${key}`, `got ${steps[key]}; takes an integer`);
  }
  if (megapixels !== undefined && megapixels.minimum <= 0) {
    report('parameters.megapixels.minimum', `got ${megapixels.minimum}; takes a number above 0`);
  }

  const names = manifest.extraParameters.map(({ name }) => name);
  const inTemplates = new Set(manifest.templates.flatMap(({ value }) => placeholdersOf(value)));
  manifest.extraParameters.forEach((parameter, index) => {
    const field = `extraParameters.${index}`;
    if (names.indexOf(parameter.name) !== index) {
      report(`${field}.name`, `got "${parameter.name}" again; takes a unique name`);
    }
    checkRule(parameter, field, report);
    checkOptions(manifest, parameter, field, report);
    if (parameter.target === undefined && !inTemplates.has(parameter.name)) {
      report(`${field}.target`, 'is missing; takes an input, unless a template uses the parameter');
    }
    if (isFreeText(parameter) && opensFiles(parameter, graph)) {
      report(`${field}.options`, 'is missing; a string that names a file takes a list of the allowed names');
    }
  });
  manifest.templates.forEach(({ value }, index) => {
    const field = `templates.${index}.value`;
    for (const name of placeholdersOf(value)) {
      const parameter = manifest.extraParameters.find(entry => entry.name === name);
      if (parameter === undefined) {
        report(
          field,
          `got {${name}}; takes the names of extra parameters: ${names.join(', ')}${didYouMean(name, names)}`,
        );
      } else if (isFreeText(parameter)) {
        report(
          field,
          `got {${name}}, a string without options; takes parameters with options, numbers, and true or false`,
        );
      }
    }
  });
}

type Rule = Omit<ExtraParameter, 'name' | 'description' | 'target'>;

/** Reports a range that is empty or does not suit the type, or a default that does not fit. */
function checkRule(rule: Rule, field: string, report: Report): void {
  const { minimum, maximum, maximumLength, type } = rule;
  if (minimum !== undefined && maximum !== undefined && minimum > maximum) {
    report(`${field}.maximum`, `got ${maximum}; takes a number of at least the minimum, ${minimum}`);
    return;
  }
  const isNumber = type === 'integer' || type === 'number';
  for (const [key, value] of Object.entries({ minimum, maximum })) {
    if (value !== undefined && !isNumber)
      report(`${field}.${key}`, `got ${value}; only numbers have a ${key}, and the type is ${type}`);
  }
  if (maximumLength !== undefined && type !== 'string')
    report(`${field}.maximumLength`, `got ${maximumLength}; only strings have one, and the type is ${type}`);
  if (!fits(rule, rule.default))
    report(`${field}.default`, `got ${show(rule.default)}; takes ${takesOf(rule)}`);
}

function checkOptions(manifest: Manifest, parameter: ExtraParameter, field: string, report: Report): void {
  const { options = [], ...free } = parameter;
  const values = optionValues(parameter) ?? [];
  values.forEach((value, index) => {
    if (!fits(free, value)) report(`${field}.options.${index}`, `got ${show(value)}; takes ${takesOf(free)}`);
    if (values.indexOf(value) !== index) report(`${field}.options.${index}`, `got ${show(value)} again`);
    const option = options[index];
    if (typeof option !== 'object') return;
    for (const name of SETTINGS) {
      const given = option.defaults?.[name];
      const rule = settingRule(manifest, name);
      if (given === undefined) continue;
      if (rule === null)
        report(`${field}.options.${index}.defaults.${name}`, `got ${given}; the graph decides its own size`);
      else if (!fits(rule, given))
        report(`${field}.options.${index}.defaults.${name}`, `got ${given}; takes ${takesOf(rule)}`);
    }
  });
}

function isFreeText(parameter: ExtraParameter): boolean {
  return parameter.type === 'string' && parameter.options === undefined;
}

/**
 * Whether a parameter names a file. A caller must never choose one freely: LoadImage opens paths outside ComfyUI's
 * folders (folder_paths.py).
 */
function opensFiles(parameter: ExtraParameter, graph: Graph): boolean {
  return listTargets(parameter.target).some(({ node, input }) => {
    const found = resolveNode(graph, node);
    const classType = found.ok ? nodeOf(graph, found.id)?.class_type : undefined;
    return input === 'filename_prefix' || /^(Load|Save)|Loader/.test(classType ?? '');
  });
}
