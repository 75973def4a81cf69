import type { FastifyReply } from 'fastify';
import { type EditInput, withField } from '../../jobs/request.ts';
import type { SubmitFailure } from '../../jobs/submit/outcome.ts';
import { sendError } from '../errors.ts';

/** Sends the response to a submit that failed; `edit` is the one that was submitted, unless there were several. */
export function sendSubmitFailure(
  reply: FastifyReply,
  failure: SubmitFailure,
  edit: EditInput | null = null,
): FastifyReply {
  const { status, detail } = describeFailure(failure, edit === null || imageCount(edit) > 1);
  const { retryAfterSeconds } = failure;
  if (retryAfterSeconds !== null) reply.header('retry-after', Math.ceil(retryAfterSeconds));
  return sendError(reply, status, detail);
}

function imageCount({ images, mask = null }: EditInput): number {
  return images.length + (mask === null ? 0 : 1);
}

/** The response to a submit that failed: its status and detail. That of one image is the one of the REST contract. */
function describeFailure(
  { code, message, field }: SubmitFailure,
  hasMoreImages: boolean,
): { status: number; detail: string } {
  switch (code) {
    case 'INPUT_UNREACHABLE':
    case 'INPUT_BLOCKED':
    case 'INPUT_TOO_LARGE':
    case 'INPUT_NOT_AN_IMAGE': {
      const reason = hasMoreImages && field !== null ? withField(restName(field), message) : message;
      return { status: 500, detail: `Failed to download file from URL: ${reason}` };
    }
    case 'INVALID_INPUT':
    case 'WORKFLOW_INVALID':
    case 'MODEL_MISSING':
    case 'NODE_MISSING': {
      const conflict = field === 'idempotencyKey';
      return {
        status: conflict ? 409 : 400,
        detail: field === null ? message : withField(restName(field), message),
      };
    }
    case 'UNAUTHORIZED':
      return { status: 401, detail: message };
    case 'QUEUE_FULL':
    case 'RATE_LIMITED':
    case 'LIMIT_REACHED':
      return { status: 429, detail: message };
    case 'NOT_ALLOWED':
      return { status: 403, detail: field === null ? message : withField(restName(field), message) };
    case 'EXPIRED':
    case 'JOB_NOT_FOUND':
    case 'BATCH_NOT_FOUND':
    case 'ENGINE_NOT_FOUND':
      return { status: 404, detail: message };
    case 'JOB_NOT_FINAL':
      return { status: 409, detail: message };
    case 'OUT_OF_MEMORY':
    case 'EXECUTION_FAILED':
    case 'ENGINE_LOST':
    case 'TIMED_OUT':
    case 'OUTPUT_MISSING':
    case 'CANCELED':
    case 'INTERNAL':
      return { status: 500, detail: message };
    default:
      return code satisfies never;
  }
}

/** The name that a field of the domain has in REST. */
function restName(field: string): string {
  const [, edit = '', name = field] = /^(edits\.\d+\.)(.+)$/.exec(field) ?? [];
  return edit + ownName(name);
}

function ownName(field: string): string {
  if (field === 'mask') return 'mask_url';
  if (field === 'idempotencyKey') return 'Idempotency-Key';
  // A workflow's parameters are fields of the body, with the same names.
  if (field.startsWith('parameters.')) return field.slice('parameters.'.length);
  return field.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
}
