import { fits, placeholdersOf, takesOf } from '../bind/parameters.ts';
import { type Graph, nodeOf, resolveNode } from '../graph.ts';
import { type ExtraParameter, listTargets, type Manifest, optionValues } from '../manifest.ts';
import { didYouMean, show } from '../messages.ts';

/** What is wrong with the parameters of a manifest: their ranges, defaults, options and templates. */
export function checkParameters(manifest: Manifest, graph: Graph): string[] {
  const problems: string[] = [];
  const fault = (field: string, message: string) => problems.push(`${field}: ${message}`);
  for (const name of ['steps', 'cfg', 'megapixels'] as const) {
    const { default: usual, minimum, maximum } = manifest.parameters[name];
    const field = `parameters.${name}`;
    if (minimum > maximum)
      fault(`${field}.maximum`, `got ${maximum}; takes a number from the minimum, ${minimum}, on`);
    else if (usual < minimum || usual > maximum) {
      fault(`${field}.default`, `got ${usual}; takes a number from ${minimum} to ${maximum}`);
    }
  }
  for (const [key, value] of Object.entries(manifest.parameters.steps)) {
    if (!Number.isInteger(value)) fault(`parameters.steps.${key}`, `got ${value}; takes an integer`);
  }
  if (manifest.parameters.megapixels.minimum <= 0) {
    fault(
      'parameters.megapixels.minimum',
      `got ${manifest.parameters.megapixels.minimum}; takes a number above 0`,
    );
  }

  const names = manifest.extraParameters.map(({ name }) => name);
  const inTemplates = new Set(manifest.templates.flatMap(({ value }) => placeholdersOf(value)));
  manifest.extraParameters.forEach((parameter, index) => {
    const field = `extraParameters.${index}`;
    if (names.indexOf(parameter.name) !== index) {
      fault(`${field}.name`, `got "${parameter.name}" again; takes a name of its own`);
    }
    for (const [key, message] of faultsOf(parameter)) fault(`${field}.${key}`, message);
    for (const [key, message] of optionFaults(manifest, parameter)) fault(`${field}.${key}`, message);
    if (parameter.target === undefined && !inTemplates.has(parameter.name)) {
      fault(`${field}.target`, 'is missing; takes an input, unless a template uses the parameter');
    }
    if (isFreeText(parameter) && opensFiles(parameter, graph)) {
      fault(`${field}.options`, 'is missing; a text that names a file takes a list of the names allowed');
    }
  });
  manifest.templates.forEach(({ value }, index) => {
    for (const name of placeholdersOf(value)) {
      const parameter = manifest.extraParameters.find(entry => entry.name === name);
      const field = `templates.${index}.value`;
      if (parameter === undefined) {
        fault(
          field,
          `got {${name}}; takes the names of extra parameters: ${names.join(', ')}${didYouMean(name, names)}`,
        );
      } else if (isFreeText(parameter)) {
        fault(
          field,
          `got {${name}}, a text without options; takes parameters with options, numbers, or true and false`,
        );
      }
    }
  });
  return problems;
}

function faultsOf(parameter: ExtraParameter): [key: string, message: string][] {
  const { minimum, maximum, type } = parameter;
  if (minimum !== undefined && maximum !== undefined && minimum > maximum) {
    return [['maximum', `got ${maximum}; takes a number from the minimum, ${minimum}, on`]];
  }
  const found: [string, string][] = [];
  if (type === 'string' || type === 'boolean') {
    if (minimum !== undefined)
      found.push(['minimum', `got ${minimum}; only a number takes one, and this is a ${type}`]);
    if (maximum !== undefined)
      found.push(['maximum', `got ${maximum}; only a number takes one, and this is a ${type}`]);
  }
  if (type !== 'string' && parameter.maximumLength !== undefined) {
    found.push([
      'maximumLength',
      `got ${parameter.maximumLength}; only a string takes one, and this is of type ${type}`,
    ]);
  }
  if (!fits(parameter, parameter.default)) {
    found.push(['default', `got ${show(parameter.default)}; takes ${takesOf(parameter)}`]);
  }
  return found;
}

function optionFaults(manifest: Manifest, parameter: ExtraParameter): [key: string, message: string][] {
  const values = optionValues(parameter) ?? [];
  const { options: _, ...free } = parameter;
  const found: [string, string][] = [];
  values.forEach((value, index) => {
    if (!fits(free, value)) found.push([`options.${index}`, `got ${show(value)}; takes ${takesOf(free)}`]);
    if (values.indexOf(value) !== index) found.push([`options.${index}`, `got ${show(value)} again`]);
  });
  parameter.options?.forEach((entry, index) => {
    if (typeof entry !== 'object') return;
    for (const name of ['steps', 'cfg', 'megapixels'] as const) {
      const value = entry.defaults?.[name];
      const { minimum, maximum } = manifest.parameters[name];
      const whole = name !== 'steps' || value === undefined || Number.isInteger(value);
      if (value === undefined || (value >= minimum && value <= maximum && whole)) continue;
      const kind = name === 'steps' ? 'an integer' : 'a number';
      found.push([
        `options.${index}.defaults.${name}`,
        `got ${value}; takes ${kind} from ${minimum} to ${maximum}`,
      ]);
    }
  });
  return found;
}

function isFreeText(parameter: ExtraParameter): boolean {
  return parameter.type === 'string' && parameter.options === undefined;
}

/** A caller's text must never choose a file: LoadImage opens paths outside ComfyUI's folders (folder_paths.py). */
function opensFiles(parameter: ExtraParameter, graph: Graph): boolean {
  return listTargets(parameter.target).some(({ node, input }) => {
    const found = resolveNode(graph, node);
    const classType = found.ok ? nodeOf(graph, found.id)?.class_type : undefined;
    return input === 'filename_prefix' || /^(Load|Save)|Loader/.test(classType ?? '');
  });
}
