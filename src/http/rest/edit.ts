import type { FastifyInstance } from 'fastify';
import { type EditInput, firstIssue, withField } from '../../jobs/request.ts';
import type { SubmitFailure } from '../../jobs/submit.ts';
import type { ExtraParameter } from '../../workflows/manifest.ts';
import { sendError } from '../errors.ts';
import { goneSignal } from '../limits/lifetime.ts';
import { type Body, parseBody } from './body.ts';
import type { RestOptions } from './context.ts';
import { sourceOf } from './contract/image-source.ts';
import { asNumber } from './contract/numbers.ts';
import { type EditBody, editBody, editHeaders } from './contract/requests.ts';
import type { EditResponse } from './contract/responses.ts';
import { POLL_SECONDS } from './status.ts';
import { restStatus } from './status-fields.ts';
import { unknownFieldWarnings } from './unknown-fields.ts';

/**
 * POST `/edit-image`. Accepts only bodies with a JSON content type: a page of another origin cannot send one without a
 * preflight, so it cannot use the GPU of a visitor.
 */
export function editRoutes(app: FastifyInstance, options: RestOptions): void {
  const { jobs, workflows } = options.services;

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, bytes: Buffer, done) =>
    done(null, parseBody(bytes)),
  );

  /** The fields that only the chosen workflow declares. */
  function extraParameters({ workflow, mask_url = '' }: EditBody): readonly ExtraParameter[] {
    const chosen = workflows.choose(workflow ?? null, Boolean(mask_url));
    return chosen.ok ? chosen.workflow.manifest.extraParameters : [];
  }

  const route = { bodyLimit: options.maxBodyBytes };
  app.post<{ Body: Body | undefined }>('/edit-image', route, async (request, reply) => {
    const read = request.body ?? parseBody(new Uint8Array());
    if (!read.ok) return sendError(reply, 400, read.fault);
    const body = read.value;
    if (isMissing(body.image1_url) || isMissing(body.prompt)) {
      return sendError(reply, 400, 'Both image1_url and prompt are required');
    }
    const parsed = editBody.safeParse(body);
    if (!parsed.success) return sendError(reply, 400, firstIssue(parsed.error).message);
    const headers = editHeaders.safeParse(request.headers);
    if (!headers.success) {
      return sendError(reply, 400, firstIssue(headers.error).message.replace(/^\S+/, 'Idempotency-Key'));
    }

    const extra = extraParameters(parsed.data);
    const edit = {
      ...toEditInput(parsed.data, valuesOf(extra, body), headers.data['idempotency-key'] ?? null),
      warnings: unknownFieldWarnings(Object.keys(body), [...FIELDS, ...extra.map(({ name }) => name)]),
    };
    const scope = { signal: goneSignal(reply), traceparent: request.headers.traceparent };
    const outcome = await jobs.submit(edit, options.callerOf(request), scope);
    if (!outcome.ok) {
      const { status, detail } = describeFailure(outcome.failure);
      const { retryAfterSeconds } = outcome.failure;
      if (retryAfterSeconds !== null) reply.header('retry-after', Math.ceil(retryAfterSeconds));
      return sendError(reply, status, detail);
    }
    const { job } = outcome;
    const { warnings = [] } = job.request;
    reply.header('location', `/status/${job.id}`);
    reply.header('retry-after', POLL_SECONDS);
    return {
      job_id: job.id,
      status: restStatus(job),
      message: 'Image editing started',
      ...(warnings.length === 0 ? {} : { warnings: [...warnings] }),
    } satisfies EditResponse;
  });
}

const FIELDS = Object.keys(editBody.shape);

/** The values that a body has for the parameters of a workflow; a text is taken as the number that it spells. */
function valuesOf(
  parameters: readonly ExtraParameter[],
  body: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    parameters
      .filter(({ name }) => Object.hasOwn(body, name))
      .map(({ name, type }) => [name, asNumber(type, body[name])]),
  );
}

/** Whether a required field is missing: null and blank strings count as missing. */
function isMissing(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'string' && value.trim() === '');
}

const IMAGE_FIELDS = [
  { slot: 1, field: 'image1_url' },
  { slot: 2, field: 'image2_url' },
  { slot: 3, field: 'image3_url' },
] as const;

/** The edit that a body requests. Images keep their slots, gaps included. */
function toEditInput(
  body: EditBody,
  parameters: Readonly<Record<string, unknown>>,
  idempotencyKey: string | null,
): EditInput {
  return {
    images: IMAGE_FIELDS.flatMap(({ slot, field }) => {
      const url = body[field] ?? '';
      return url === '' ? [] : [{ slot, field, source: sourceOf(url) }];
    }),
    ...(body.mask_url ? { mask: sourceOf(body.mask_url) } : {}),
    prompt: body.prompt,
    negativePrompt: body.negative_prompt ?? '',
    seed: body.seed ?? null,
    steps: body.steps ?? null,
    cfg: body.cfg ?? null,
    megapixels: body.megapixels ?? null,
    workflow: body.workflow ?? null,
    priority: body.priority ?? 'NORMAL',
    parameters,
    webhook: body.webhook ?? null,
    label: body.label ?? null,
    metadata: body.metadata ?? {},
    idempotencyKey,
  };
}

/** The response to a submit that failed: its status and detail. */
function describeFailure({ code, message, field }: SubmitFailure): { status: number; detail: string } {
  switch (code) {
    case 'INPUT_UNREACHABLE':
    case 'INPUT_BLOCKED':
    case 'INPUT_TOO_LARGE':
    case 'INPUT_NOT_AN_IMAGE':
      return { status: 500, detail: `Failed to download file from URL: ${message}` };
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
  if (field === 'idempotencyKey') return 'Idempotency-Key';
  if (field === 'mask') return 'mask_url';
  // A workflow's parameters are fields of the body, with the same names.
  if (field.startsWith('parameters.')) return field.slice('parameters.'.length);
  return field.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
}
