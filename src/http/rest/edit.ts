import type { FastifyInstance, FastifyRequest } from 'fastify';
import { firstIssue } from '../../jobs/request.ts';
import { sendError } from '../errors.ts';
import { goneSignal } from '../limits/lifetime.ts';
import { type Body, parseBody } from './body.ts';
import type { RestOptions } from './context.ts';
import { imagesIn } from './contract/image-source.ts';
import { editHeaders } from './contract/requests.ts';
import type { EditResponse } from './contract/responses.ts';
import { readEditBody } from './edit-input.ts';
import { addJsonParser } from './json-body.ts';
import { POLL_SECONDS } from './status.ts';
import { restStatus } from './status-fields.ts';
import { sendSubmitFailure } from './submit-failure.ts';

/**
 * POST `/edit-image`. Accepts only bodies with a JSON content type: a page of another origin cannot send one without a
 * preflight, so it cannot use the GPU of a visitor.
 */
export function editRoutes(app: FastifyInstance, options: RestOptions): void {
  const { jobs, workflows } = options.services;

  addJsonParser(app, imagesIn);

  const route = { bodyLimit: options.maxBodyBytes };
  app.post<{ Body: Body | undefined }>('/edit-image', route, async (request, reply) => {
    const read = request.body ?? parseBody(new Uint8Array());
    if (!read.ok) return sendError(reply, 400, read.fault);
    const key = readKey(request);
    const body = readEditBody(read, workflows, key.ok ? key.value : null);
    if (!body.ok) return sendError(reply, 400, body.detail);
    if (!key.ok) return sendError(reply, 400, key.detail);
    const { edit } = body;
    if ((edit.variations ?? 1) !== 1) {
      const detail = `variations takes 1 in /edit-image, got ${edit.variations}: POST /edit-images answers several jobs`;
      return sendError(reply, 400, detail);
    }
    const scope = { signal: goneSignal(reply), traceparent: request.headers.traceparent };
    const outcome = await jobs.submit(edit, options.callerOf(request), scope);
    if (!outcome.ok) return sendSubmitFailure(reply, outcome.failure, edit);
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

/** The header `Idempotency-Key`; null: there is none. */
export function readKey({
  headers,
}: FastifyRequest): { ok: true; value: string | null } | { ok: false; detail: string } {
  const parsed = editHeaders.safeParse(headers);
  if (parsed.success) return { ok: true, value: parsed.data['idempotency-key'] ?? null };
  return { ok: false, detail: firstIssue(parsed.error).message.replace(/^\S+/, 'Idempotency-Key') };
}
