import type { Rejection } from '../../comfyui/answers.ts';
import type { ExecutionFailure } from '../../comfyui/events.ts';
import { type JobError, jobError } from '../../jobs/errors.ts';
import type { Job } from '../../jobs/job.ts';

/** `torch.OutOfMemoryError`, in older builds `torch.cuda.OutOfMemoryError` (`comfy/model_management.py`). */
export function isOutOfMemory(failure: ExecutionFailure): boolean {
  return /OutOfMemoryError$/.test(failure.exceptionType) || /CUDA out of memory/i.test(failure.message);
}

/** The error of a failed execution: the first line of the node's message, without paths and tracebacks. */
export function nameFailure(failure: ExecutionFailure, job: Job): JobError {
  if (isOutOfMemory(failure)) {
    const size = job.size === null ? '' : ` at ${job.size.width}×${job.size.height}`;
    const images = job.request.images.length;
    return jobError(
      'OUT_OF_MEMORY',
      `The engine ran out of memory${size} with ${images} input image${images === 1 ? '' : 's'}, even after it freed memory: request fewer megapixels or fewer images`,
      failure.node,
    );
  }
  const where = failure.nodeType === null ? 'The engine' : `The node ${failure.nodeType}`;
  return jobError('EXECUTION_FAILED', `${where} failed: ${firstLine(failure.message)}`, failure.node);
}

/** The report for operators, with the traceback. */
export function reportOf(failure: ExecutionFailure): string {
  return `${failure.exceptionType}: ${failure.message}\n${failure.traceback}`.trim();
}

const MODEL_FILE = /\.(safetensors|sft|ckpt|pt|pth|bin|gguf)$/i;

/** The error of a graph that the engine rejected. */
export function nameRejection(rejection: Rejection): JobError {
  if (rejection.type === 'invalid_prompt' || rejection.type === 'missing_node_type') {
    return jobError(
      'NODE_MISSING',
      `The engine lacks a node of the workflow: ${firstLine(rejection.message)}`,
    );
  }
  const first = rejection.nodes[0];
  if (first === undefined) {
    const detail = firstLine(rejection.details);
    return jobError(
      'WORKFLOW_INVALID',
      `The engine rejected the graph: ${rejection.message}${detail === '' ? '' : ` (${detail})`}`,
    );
  }
  const where = `node ${first.node} (${first.classType})`;
  if (
    first.type === 'value_not_in_list' &&
    typeof first.received === 'string' &&
    MODEL_FILE.test(first.received)
  ) {
    return jobError(
      'MODEL_MISSING',
      `The engine lacks the model file ${first.received}, which ${where} needs`,
      first.node,
    );
  }
  const input = first.input === null ? '' : `, input ${first.input}`;
  return jobError('WORKFLOW_INVALID', `The engine rejected ${where}${input}: ${first.message}`, first.node);
}

function firstLine(text: string): string {
  const line = text.split('\n', 1)[0]?.trim() ?? '';
  // Paths on the engine's disk are not for callers.
  return line.replace(/(?:[A-Za-z]:)?(?:\/[\w.@-]+){2,}/g, '…');
}
