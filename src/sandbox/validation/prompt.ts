import { type Graph, isGraphNode, nodeOf } from '../execution/graph.ts';
import type { NodeClasses } from '../nodes/object-info.ts';
import { isObject } from '../wire/json.ts';
import {
  problem,
  type ValidationContext,
  type ValidationError,
  type Verdict,
  validateInputs,
} from './inputs.ts';

/** Errors by node, with the outputs that cannot run because of them. */
export type NodeErrors = Record<
  string,
  { errors: ValidationError[]; dependent_outputs: string[]; class_type: string }
>;

export type Validation =
  | {
      readonly kind: 'accepted';
      readonly graph: Graph;
      readonly outputs: string[];
      readonly nodeErrors: NodeErrors;
    }
  | { readonly kind: 'rejected'; readonly error: ValidationError; readonly nodeErrors: NodeErrors }
  /** ComfyUI's code raises (500): Python expects an object where the prompt has none. */
  | { readonly kind: 'broken' };

function reject(type: string, message: string, details = ''): Validation {
  return { kind: 'rejected', error: problem(type, message, details), nodeErrors: {} };
}

/** The error of a request body without a prompt. */
export function missingPrompt(): ValidationError {
  return problem('no_prompt', 'No prompt provided', 'No prompt provided');
}

/**
 * Validates a submitted graph and coerces its values in place (`execution.py`, validate_prompt). `targets` are the
 * outputs to run, or null for all. Invalid outputs are dropped; the prompt is rejected when none is left.
 */
export function validatePrompt(
  prompt: unknown,
  targets: readonly unknown[] | null,
  context: ValidationContext,
): Validation {
  if (typeof prompt !== 'object' || prompt === null) return { kind: 'broken' };
  const outputs: string[] = [];
  const graph: Graph = {};
  for (const [id, node] of Object.entries(prompt)) {
    if (!isObject(node)) return { kind: 'broken' };
    if (node.class_type === undefined) {
      const message = 'Cannot execute because a node is missing the class_type property.';
      return reject('invalid_prompt', message, `Node ID '#${id}'`);
    }
    const info = findClass(context.classes, node.class_type);
    if (info === null) {
      const message = `Cannot execute because node ${String(node.class_type)} does not exist.`;
      return reject('invalid_prompt', message, `Node ID '#${id}'`);
    }
    if (!isGraphNode(node)) return { kind: 'broken' };
    graph[id] = node;
    if (info.output_node && (targets === null || targets.includes(id))) outputs.push(id);
  }
  if (outputs.length === 0) return reject('prompt_no_outputs', 'Prompt has no outputs');
  return validateOutputs(graph, outputs, context);
}

function findClass(classes: NodeClasses, name: unknown): NodeClasses[string] | null {
  return typeof name === 'string' && Object.hasOwn(classes, name) ? (classes[name] ?? null) : null;
}

function validateOutputs(graph: Graph, outputs: readonly string[], context: ValidationContext): Validation {
  const verdicts = new Map<string, Verdict>();
  const accepted: string[] = [];
  const nodeErrors: NodeErrors = {};
  const details: string[] = [];
  for (const output of outputs) {
    const verdict = validateOutput(output, graph, verdicts, context);
    if (verdict.valid) {
      accepted.push(output);
      continue;
    }
    details.push(...verdict.errors.map(error => `${error.message}: ${error.details}`));
    for (const [id, { valid, errors }] of verdicts) {
      // A node that is only downstream of an error has none of its own.
      if (valid || errors.length === 0) continue;
      const class_type = nodeOf(graph, id)?.class_type ?? '';
      nodeErrors[id] ??= { errors, dependent_outputs: [], class_type };
      nodeErrors[id].dependent_outputs.push(output);
    }
  }
  if (accepted.length > 0) return { kind: 'accepted', graph, outputs: accepted, nodeErrors };
  const message = 'Prompt outputs failed validation';
  const error = problem('prompt_outputs_failed_validation', message, details.join('\n'));
  return { kind: 'rejected', error, nodeErrors };
}

function validateOutput(
  output: string,
  graph: Graph,
  verdicts: Map<string, Verdict>,
  context: ValidationContext,
): Verdict {
  try {
    return validateInputs(output, graph, verdicts, context);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const exception_type = error instanceof Error ? error.name : 'Exception';
    const extra = { exception_type, traceback: [] };
    const reason = problem('exception_during_validation', 'Exception when validating node', message, extra);
    const verdict = { valid: false, errors: [reason] };
    verdicts.set(output, verdict);
    return verdict;
  }
}
