import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { ErrorCode } from '../../jobs/errors.ts';
import { isRetryable } from '../../jobs/errors.ts';
import type { Job } from '../../jobs/job.ts';
import { withField } from '../../jobs/request.ts';
import type { SubmitFailure } from '../../jobs/submit/outcome.ts';
import type { Log } from '../../log.ts';
import type { Rejection } from '../access/rejections.ts';
import { faultOf } from '../rest/errors.ts';

/** An error in the terms of OpenAI's API. */
export interface OpenAIFault {
  readonly status: number;
  readonly message: string;
  /** The parameter that is not valid. */
  readonly param?: string | null;
  readonly code?: string | null;
  /** False: OpenAI's clients do not repeat the request. Unset: they decide by the status. */
  readonly retry?: false;
  readonly retryAfterSeconds?: number | null;
}

/** The object that OpenAI's API puts under `error`. */
export function errorOf({ status, message, param = null, code = null }: OpenAIFault) {
  return { message, type: typeOf(status), param, code };
}

function typeOf(status: number): string {
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/** Sends `{ error }`. */
export function sendFault(reply: FastifyReply, fault: OpenAIFault): FastifyReply {
  const { retryAfterSeconds = null } = fault;
  if (retryAfterSeconds !== null) reply.header('retry-after', Math.ceil(retryAfterSeconds));
  // OpenAI's clients repeat a 409, a 429 and every 5xx unless this header says otherwise.
  if (fault.retry === false) reply.header('x-should-retry', 'false');
  return reply
    .code(fault.status)
    .type('application/json; charset=utf-8')
    .send({ error: errorOf(fault) });
}

/** As OpenAI's API formats the gate's rejections. */
export function rejectAsOpenAI(_request: FastifyRequest, reply: FastifyReply, rejection: Rejection): void {
  const { status, message, headers } = rejection;
  sendFault(reply.headers(headers), { status, message, code: codeOf(status) });
}

function codeOf(status: number): string | null {
  switch (status) {
    case 401:
      return 'invalid_api_key';
    case 429:
      return 'rate_limit_exceeded';
    default:
      return null;
  }
}

/** Handles what the routes throw. */
export function openaiErrorHandler(log: Log) {
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
      const got = request.headers['content-type']?.slice(0, 100) ?? 'no Content-Type';
      return sendFault(reply, { status: 415, message: `Send the edit as multipart/form-data, got ${got}` });
    }
    const { status, detail, retryAfter } = faultOf(error, request, reply, log);
    return sendFault(reply, { status, message: detail, retryAfterSeconds: retryAfter });
  };
}

/** Answers paths and methods without a route. */
export function answerUnknown(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const [path = ''] = request.url.split('?', 1);
  const message = `There is nothing at ${request.method} ${path.slice(0, 200)}: this gateway edits images, POST /v1/images/edits, and has GET /v1/models`;
  return sendFault(reply, { status: 404, message, code: 'unknown_url' });
}

/** Why a submit failed. */
export function submitFault({ code, message, field, retryAfterSeconds }: SubmitFailure): OpenAIFault {
  const param = field === null ? null : paramOf(field);
  const text = param === null ? message : withField(param, message);
  const fault = { message: text, param, code: code.toLowerCase(), retryAfterSeconds };
  switch (code) {
    case 'WORKFLOW_INVALID':
      return { ...fault, status: 404, code: 'model_not_found', param: 'model' };
    case 'INPUT_TOO_LARGE':
      return { ...fault, status: 413 };
    case 'QUEUE_FULL':
    case 'RATE_LIMITED':
      return { ...fault, status: 429 };
    case 'LIMIT_REACHED': {
      // OpenAI's clients repeat a 429 within a minute at most, however long `Retry-After` is.
      const soon = (retryAfterSeconds ?? 0) <= 60;
      return {
        ...fault,
        status: 429,
        code: 'insufficient_quota',
        ...(soon ? {} : { retry: false as const }),
      };
    }
    case 'NOT_ALLOWED':
      return { ...fault, status: 403 };
    case 'UNAUTHORIZED':
      return { ...fault, status: 401 };
    case 'INVALID_INPUT':
      if (field === 'idempotencyKey') {
        return { ...fault, status: 409, code: 'idempotency_key_in_use', retry: false };
      }
      return { ...fault, status: 400 };
    case 'INPUT_UNREACHABLE':
    case 'INPUT_BLOCKED':
    case 'INPUT_NOT_AN_IMAGE':
    case 'MODEL_MISSING':
    case 'NODE_MISSING':
      return { ...fault, status: 400 };
    case 'JOB_NOT_FOUND':
    case 'BATCH_NOT_FOUND':
    case 'ENGINE_NOT_FOUND':
    case 'EXPIRED':
      return { ...fault, status: 404 };
    case 'JOB_NOT_FINAL':
      return { ...fault, status: 409 };
    case 'OUT_OF_MEMORY':
    case 'EXECUTION_FAILED':
    case 'ENGINE_LOST':
    case 'TIMED_OUT':
    case 'OUTPUT_MISSING':
    case 'CANCELED':
    case 'INTERNAL':
      return { ...fault, status: 500 };
    default:
      return code satisfies never;
  }
}

/** The name that a field of the domain has here. */
function paramOf(field: string): string {
  switch (field) {
    case 'idempotencyKey':
      return 'Idempotency-Key';
    case 'megapixels':
      return 'size';
    case 'negativePrompt':
      return 'negative_prompt';
    case 'metadata':
      return 'user';
    default:
      return field;
  }
}

/**
 * Why a job has no image. Not to be repeated: the gateway has repeated what may help, and with an `Idempotency-Key` the
 * response would be the same.
 */
export function jobFault(job: Job): OpenAIFault {
  if (job.status === 'CANCELED') {
    return { status: 409, message: `The edit was canceled (job ${job.id})`, code: 'canceled', retry: false };
  }
  const code: ErrorCode = job.error?.code ?? 'OUTPUT_MISSING';
  const text = job.error?.message ?? 'The edit has no output image';
  const again = isRetryable(code) ? ', a later try may succeed' : '';
  return { status: 500, message: `${text} (job ${job.id})${again}`, code: code.toLowerCase(), retry: false };
}

/** The job was deleted while a request waited for it. */
export const DELETED: OpenAIFault = {
  status: 409,
  message: 'The edit was deleted',
  code: 'canceled',
  retry: false,
};
