import { type Graph, isGraphNode, nodeOf } from '../execution/graph.ts';
import type { EngineFiles } from '../files.ts';
import type { NodeClasses } from '../nodes/object-info.ts';
import { isObject, type JsonObject } from '../wire/json.ts';
import { type NodeError, type Verdict, validateNode } from './inputs.ts';

export interface PromptError {
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly extra_info: JsonObject;
}

export interface NodeErrors {
  [node: string]: { errors: NodeError[]; dependent_outputs: string[]; class_type: string };
}

export type Validation =
  | {
      readonly kind: 'accepted';
      readonly graph: Graph;
      readonly outputs: string[];
      readonly nodeErrors: NodeErrors;
    }
  | { readonly kind: 'refused'; readonly error: PromptError; readonly nodeErrors: NodeErrors }
  /** The server itself fails (500): something is not an object where Python takes it for one. */
  | { readonly kind: 'broken' };

export interface ValidationContext {
  readonly classes: NodeClasses;
  readonly files: EngineFiles;
  /** Whether combos of V3 nodes are checked: not in 0.3.64. */
  readonly checksV3Combos: boolean;
}

function refusal(type: string, message: string, details = ''): Validation {
  return { kind: 'refused', error: promptError(type, message, details), nodeErrors: {} };
}

function promptError(type: string, message: string, details: string): PromptError {
  return { type, message, details, extra_info: {} };
}

/** The 400 of a body without a graph. */
export function missingPrompt(): PromptError {
  return promptError('no_prompt', 'No prompt provided', 'No prompt provided');
}

/**
 * Checks a submitted graph and coerces its values in place, as ComfyUI does (`execution.py`, validate_prompt).
 * `targets` are the outputs that the caller wants, or null for all. Outputs that fail are dropped; only when none is
 * left is the prompt refused.
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
      return refusal('invalid_prompt', message, `Node ID '#${id}'`);
    }
    const info = findClass(context.classes, node.class_type);
    if (info === null) {
      const message = `Cannot execute because node ${String(node.class_type)} does not exist.`;
      return refusal('invalid_prompt', message, `Node ID '#${id}'`);
    }
    if (!isGraphNode(node)) return { kind: 'broken' };
    graph[id] = node;
    if (info.output_node && (targets === null || targets.includes(id))) outputs.push(id);
  }
  if (outputs.length === 0) return refusal('prompt_no_outputs', 'Prompt has no outputs');
  return validateOutputs(graph, outputs, context);
}

function findClass(classes: NodeClasses, name: unknown): NodeClasses[string] | null {
  return typeof name === 'string' && Object.hasOwn(classes, name) ? (classes[name] ?? null) : null;
}

function validateOutputs(graph: Graph, outputs: readonly string[], context: ValidationContext): Validation {
  const verdicts = new Map<string, Verdict>();
  const good: string[] = [];
  const nodeErrors: NodeErrors = {};
  const details: string[] = [];
  for (const output of outputs) {
    const verdict = judge(output);
    if (verdict.valid) {
      good.push(output);
      continue;
    }
    details.push(...verdict.errors.map(error => `${error.message}: ${error.details}`));
    for (const [id, { valid, errors }] of verdicts) {
      // What is merely downstream of a fault has no errors of its own.
      if (valid || errors.length === 0) continue;
      const class_type = nodeOf(graph, id)?.class_type ?? '';
      const entry = nodeErrors[id] ?? { errors, dependent_outputs: [], class_type };
      entry.dependent_outputs.push(output);
      nodeErrors[id] = entry;
    }
  }
  if (good.length > 0) return { kind: 'accepted', graph, outputs: good, nodeErrors };
  const error = promptError(
    'prompt_outputs_failed_validation',
    'Prompt outputs failed validation',
    details.join('\n'),
  );
  return { kind: 'refused', error, nodeErrors };

  function judge(output: string): Verdict {
    try {
      return validateNode(output, graph, verdicts, context);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const exception_type = error instanceof Error ? error.name : 'Exception';
      const reason: NodeError = {
        type: 'exception_during_validation',
        message: 'Exception when validating node',
        details: message,
        extra_info: { exception_type, traceback: [] },
      };
      const verdict = { valid: false, errors: [reason] };
      verdicts.set(output, verdict);
      return verdict;
    }
  }
}
