import { type Graph, nodeOf } from '../execution/graph.ts';
import type { EngineFiles } from '../files.ts';
import type { InputConfig, NodeClass, NodeClasses } from '../nodes/object-info.ts';
import { isObject, type JsonObject } from '../wire/json.ts';
import { coerce, pythonNumber, pythonText } from './python.ts';

export interface ValidationContext {
  readonly classes: NodeClasses;
  readonly files: EngineFiles;
  /** Whether the combos of V3 nodes are validated: not in 0.3.64. */
  readonly checksV3Combos: boolean;
}

/** An error as ComfyUI reports it, about a node or about the whole prompt. */
export interface ValidationError {
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly extra_info: JsonObject;
}

/** The result for a node; invalid without errors when the error is upstream. */
export interface Verdict {
  readonly valid: boolean;
  readonly errors: ValidationError[];
}

/** Options beyond this many are not listed in an error (`execution.py`). */
const LONG_LIST = 20;

/** An exception that Python raises during validation; `name` is its class. */
class PythonError extends Error {
  constructor(name: string, message: string) {
    super(message);
    this.name = name;
  }
}

/**
 * Validates a node and its ancestors, and coerces their values in place (`execution.py`, validate_inputs). Throws an
 * Error named like Python's exception for a link to a missing node or output.
 */
export function validateInputs(
  id: string,
  graph: Graph,
  verdicts: Map<string, Verdict>,
  context: ValidationContext,
  path: ReadonlySet<string> = new Set(),
): Verdict {
  const known = verdicts.get(id);
  if (known !== undefined) return known;
  // ComfyUI recurses until Python's limit, and then reports no error.
  if (path.has(id)) return { valid: false, errors: [] };
  const node = nodeOf(graph, id);
  if (node === undefined) throw new PythonError('KeyError', `'${id}'`);
  const { required = {}, optional } = context.classes[node.class_type]?.input ?? {};
  const errors: ValidationError[] = [];
  let valid = true;
  const below = new Set(path).add(id);

  for (const [name, config] of Object.entries({ ...required, ...optional })) {
    if (!Object.hasOwn(node.inputs, name)) {
      if (!Object.hasOwn(required, name)) continue;
      errors.push(problem('required_input_missing', 'Required input is missing', name, { input_name: name }));
      continue;
    }
    const value = node.inputs[name];
    if (Array.isArray(value)) {
      const error = checkLink(name, config, value);
      if (error === 'invalid upstream') valid = false;
      else if (error !== null) errors.push(error);
      continue;
    }
    const checked = checkValue(name, config, value, node.class_type, context);
    if (checked.error !== null) errors.push(checked.error);
    else node.inputs[name] = checked.value;
  }
  const verdict = { valid: valid && errors.length === 0, errors };
  verdicts.set(id, verdict);
  return verdict;

  function checkLink(
    name: string,
    config: InputConfig,
    link: unknown[],
  ): ValidationError | 'invalid upstream' | null {
    const [source, slot] = link;
    const about = { input_name: name, input_config: [config[0], config[1] ?? {}] };
    if (link.length !== 2) {
      const message = 'Bad linked input, must be a length-2 list of [node_id, slot_index]';
      return problem('bad_linked_input', message, name, { ...about, received_value: link });
    }
    const upstream = nodeOf(graph, String(source));
    if (upstream === undefined) throw new PythonError('KeyError', `'${String(source)}'`);
    const received = outputType(context.classes[upstream.class_type], slot);
    const wanted = config[0];
    if (typeof wanted !== 'string' || !accepts(wanted, received)) {
      const message = 'Return type mismatch between linked nodes';
      const details = `${name}, received_type(${received}) mismatch input_type(${pythonText(wanted)})`;
      const extra = { ...about, received_type: received, linked_node: link };
      return problem('return_type_mismatch', message, details, extra);
    }
    try {
      const { valid } = validateInputs(String(source), graph, verdicts, context, below);
      return valid ? null : 'invalid upstream';
    } catch (error) {
      if (!(error instanceof PythonError)) throw error;
      const message = 'Exception when validating inner node';
      const reason = problem('exception_during_inner_validation', message, error.message, {
        ...about,
        exception_message: error.message,
        exception_type: error.name,
        traceback: ['  File "/sandbox/execution.py", line 1, in validate_inputs\n'],
        linked_node: link,
      });
      verdicts.set(String(source), { valid: false, errors: [reason] });
      return 'invalid upstream';
    }
  }
}

function outputType(info: NodeClass | undefined, slot: unknown): string {
  const type = typeof slot === 'number' && Number.isInteger(slot) ? info?.output.at(slot) : undefined;
  if (type === undefined) throw new PythonError('IndexError', 'tuple index out of range');
  return type;
}

function accepts(wanted: string, received: string): boolean {
  if (wanted === received || wanted === '*' || received === '*') return true;
  const options = new Set(wanted.split(','));
  return received.split(',').every(type => options.has(type));
}

function checkValue(
  name: string,
  config: InputConfig,
  given: unknown,
  classType: string,
  context: ValidationContext,
): { error: ValidationError } | { error: null; value: unknown } {
  const [type, constraints = {}] = config;
  const about = { input_name: name, input_config: [type, constraints] };
  const unwrapped = isObject(given) && '__value__' in given ? given.__value__ : given;
  const coerced = coerce(typeof type === 'string' ? type : 'COMBO', unwrapped);
  if (!coerced.ok) {
    const details = `${name}, ${pythonText(unwrapped)}, ${coerced.message}`;
    const message = `Failed to convert an input value to a ${String(type)} value`;
    const extra = { ...about, received_value: unwrapped, exception_message: coerced.message };
    return { error: problem('invalid_input_type', message, details, extra) };
  }
  const { value } = coerced;
  if (/^LoadImage(Mask)?$/.test(classType) && name === 'image') {
    // The node's own validation replaces the usual one (`nodes.py`, VALIDATE_INPUTS).
    if (typeof value === 'string' && context.files.inputExists(value)) return { error: null, value };
    const details = `image - Invalid image file: ${pythonText(value)}`;
    const message = 'Custom validation failed for node';
    return { error: problem('custom_validation_failed', message, details, { input_name: name }) };
  }
  const { min, max } = constraints;
  const extra = { ...about, received_value: value };
  const float = type === 'FLOAT';
  if (isNumber(min) && isNumber(value) && value < min) {
    const message = `Value ${pythonNumber(value, float)} smaller than min of ${pythonNumber(min, float)}`;
    return { error: problem('value_smaller_than_min', message, name, extra) };
  }
  if (isNumber(max) && isNumber(value) && value > max) {
    const message = `Value ${pythonNumber(value, float)} bigger than max of ${pythonNumber(max, float)}`;
    return { error: problem('value_bigger_than_max', message, name, extra) };
  }
  const options = optionsOf(config, context);
  if (options === null || options.includes(value)) return { error: null, value };
  const long = options.length > LONG_LIST;
  const list = long ? `(list of length ${options.length})` : pythonText(options);
  const details = `${name}: '${pythonText(value)}' not in ${list}`;
  const listed = long ? { ...extra, input_config: null } : extra;
  return { error: problem('value_not_in_list', 'Value not in list', details, listed) };
}

function optionsOf([type, constraints]: InputConfig, context: ValidationContext): readonly unknown[] | null {
  if (typeof type !== 'string') return type;
  const options = constraints?.options;
  return type === 'COMBO' && context.checksV3Combos && Array.isArray(options) ? options : null;
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

/** Creates an error. */
export function problem(
  type: string,
  message: string,
  details: string,
  extra_info: JsonObject = {},
): ValidationError {
  return { type, message, details, extra_info };
}
