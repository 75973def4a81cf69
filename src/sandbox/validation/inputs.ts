import { type Graph, nodeOf } from '../execution/graph.ts';
import type { InputConfig, NodeClass } from '../nodes/object-info.ts';
import { isObject, type JsonObject } from '../wire/json.ts';
import { coerce } from './coerce.ts';
import type { ValidationContext } from './prompt.ts';
import { pythonNumber, pythonText } from './python.ts';

export interface NodeError {
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly extra_info: JsonObject;
}

/** What was found at a node; invalid without errors when the fault is upstream. */
export interface Verdict {
  readonly valid: boolean;
  readonly errors: readonly NodeError[] & NodeError[];
}

/** Options beyond this many are not listed in an error (`execution.py`). */
const LONG_LIST = 20;

/** An exception that Python would raise during validation; `name` is its class. */
class PythonError extends Error {
  constructor(name: string, message: string) {
    super(message);
    this.name = name;
  }
}

/**
 * Checks one node and all above it, and coerces their values in place (`execution.py`, validate_inputs). Throws a
 * PythonError where Python raises: a link to a missing node or output.
 */
export function validateNode(
  id: string,
  graph: Graph,
  verdicts: Map<string, Verdict>,
  context: ValidationContext,
  path: ReadonlySet<string> = new Set(),
): Verdict {
  const known = verdicts.get(id);
  if (known !== undefined) return known;
  const node = nodeOf(graph, id);
  if (node === undefined) throw new PythonError('KeyError', `'${id}'`);
  const info = context.classes[node.class_type];
  const errors: NodeError[] = [];
  let valid = true;
  // ComfyUI recurses until Python gives up, and then says nothing about it.
  const endless = path.has(id);
  const below = new Set(path).add(id);

  const inputs = { ...info?.input.required, ...info?.input.optional };
  for (const [name, config] of endless ? [] : Object.entries(inputs)) {
    if (!Object.hasOwn(node.inputs, name)) {
      if (info?.input.required !== undefined && Object.hasOwn(info.input.required, name)) {
        errors.push(fault('required_input_missing', 'Required input is missing', name, { input_name: name }));
      }
      continue;
    }
    const value = node.inputs[name];
    if (Array.isArray(value)) {
      const linked = checkLink(name, config, value);
      if (linked === 'invalid upstream') valid = false;
      else if (linked !== null) errors.push(linked);
      continue;
    }
    const checked = checkValue(name, config, value, node.class_type, context);
    if (checked.error !== null) errors.push(checked.error);
    else node.inputs[name] = checked.value;
  }
  const verdict = { valid: valid && !endless && errors.length === 0, errors };
  if (!endless) verdicts.set(id, verdict);
  return verdict;

  function checkLink(
    name: string,
    config: InputConfig,
    link: unknown[],
  ): NodeError | 'invalid upstream' | null {
    const [source, slot] = link;
    const about = { input_name: name, input_config: [config[0], config[1] ?? {}] };
    if (link.length !== 2) {
      const message = 'Bad linked input, must be a length-2 list of [node_id, slot_index]';
      return fault('bad_linked_input', message, name, { ...about, received_value: link });
    }
    const upstream = nodeOf(graph, String(source));
    if (upstream === undefined) throw new PythonError('KeyError', `'${String(source)}'`);
    const received = outputOf(context.classes[upstream.class_type], slot);
    const wanted = config[0];
    if (typeof wanted !== 'string' || !accepts(wanted, received)) {
      const details = `${name}, received_type(${received}) mismatch input_type(${pythonText(wanted)})`;
      const message = 'Return type mismatch between linked nodes';
      return fault('return_type_mismatch', message, details, {
        ...about,
        received_type: received,
        linked_node: link,
      });
    }
    try {
      return validateNode(String(source), graph, verdicts, context, below).valid ? null : 'invalid upstream';
    } catch (error) {
      if (!(error instanceof PythonError)) throw error;
      const reason = fault(
        'exception_during_inner_validation',
        'Exception when validating inner node',
        error.message,
        {
          ...about,
          exception_message: error.message,
          exception_type: error.name,
          traceback: ['  File "/sandbox/execution.py", line 1, in validate_inputs\n'],
          linked_node: link,
        },
      );
      verdicts.set(String(source), { valid: false, errors: [reason] });
      return 'invalid upstream';
    }
  }
}

function outputOf(info: NodeClass | undefined, slot: unknown): string {
  const outputs = info?.output ?? [];
  const index = typeof slot === 'number' && slot < 0 ? outputs.length + slot : slot;
  const type = typeof index === 'number' ? outputs[index] : undefined;
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
): { error: NodeError; value?: never } | { error: null; value: unknown } {
  const [type, constraints = {}] = config;
  const about = { input_name: name, input_config: [type, constraints] };
  const unwrapped = isObject(given) && '__value__' in given ? given.__value__ : given;
  const coerced =
    typeof type === 'string' ? coerce(type, unwrapped) : { ok: true as const, value: unwrapped };
  if (!coerced.ok) {
    const details = `${name}, ${pythonText(unwrapped)}, ${coerced.message}`;
    const message = `Failed to convert an input value to a ${String(type)} value`;
    const extra = { ...about, received_value: unwrapped, exception_message: coerced.message };
    return { error: fault('invalid_input_type', message, details, extra) };
  }
  const { value } = coerced;
  if (classType === 'LoadImage' && name === 'image') {
    // Its own check stands in for the usual ones (`nodes.py`, VALIDATE_INPUTS).
    if (typeof value === 'string' && context.files.inputExists(value)) return { error: null, value };
    const details = `image - Invalid image file: ${pythonText(value)}`;
    const message = 'Custom validation failed for node';
    return { error: fault('custom_validation_failed', message, details, { input_name: name }) };
  }
  const { min, max } = constraints;
  const extra = { ...about, received_value: value };
  const float = type === 'FLOAT';
  if (isNumber(min) && isNumber(value) && value < min) {
    const message = `Value ${pythonNumber(value, float)} smaller than min of ${pythonNumber(min, float)}`;
    return { error: fault('value_smaller_than_min', message, name, extra) };
  }
  if (isNumber(max) && isNumber(value) && value > max) {
    const message = `Value ${pythonNumber(value, float)} bigger than max of ${pythonNumber(max, float)}`;
    return { error: fault('value_bigger_than_max', message, name, extra) };
  }
  const options = optionsOf(config, context);
  if (options === null || options.includes(value)) return { error: null, value };
  const long = options.length > LONG_LIST;
  const list = long ? `(list of length ${options.length})` : pythonText(options);
  const details = `${name}: '${pythonText(value)}' not in ${list}`;
  return {
    error: fault(
      'value_not_in_list',
      'Value not in list',
      details,
      long ? { ...extra, input_config: null } : extra,
    ),
  };
}

function optionsOf([type, constraints]: InputConfig, context: ValidationContext): readonly unknown[] | null {
  if (typeof type !== 'string') return type;
  const options = constraints?.options;
  return type === 'COMBO' && context.checksV3Combos && Array.isArray(options) ? options : null;
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

function fault(type: string, message: string, details: string, extra_info: JsonObject): NodeError {
  return { type, message, details, extra_info };
}
