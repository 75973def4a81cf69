import type { FastifyInstance } from 'fastify';
import { firstIssue } from '../../jobs/request.ts';
import { goneSignal } from '../limits/lifetime.ts';
import { type Body, parseBody } from './body.ts';
import type { RestOptions } from './context.ts';
import { editBody, editHeaders } from './contract/requests.ts';
import type { EditAnswer } from './contract/responses.ts';
import { isMissing, refusalOf, toEditInput } from './edit-input.ts';
import { refuse } from './errors.ts';
import { ASK_AGAIN_SECONDS } from './status.ts';
import { restStatus } from './status-fields.ts';

/**
 * POST `/edit-image`. Only a body that says it is JSON is read: a page of another origin cannot send one without
 * asking first, so it cannot use somebody's GPU from their browser.
 */
export function editRoutes(app: FastifyInstance, options: RestOptions): void {
  const { jobs, workflows } = options.services;

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, bytes: Buffer, done) =>
    done(null, parseBody(bytes)),
  );

  /** Fields that only the chosen workflow knows. */
  function extraParameters(body: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const chosen = workflows.choose(typeof body.workflow === 'string' ? body.workflow : null);
    if (!chosen.ok) return {};
    const names = chosen.workflow.manifest.extraParameters.map(({ name }) => name);
    return Object.fromEntries(
      names.flatMap(name => (Object.hasOwn(body, name) ? [[name, body[name]] as const] : [])),
    );
  }

  app.post<{ Body: Body | undefined }>(
    '/edit-image',
    { bodyLimit: options.maxBodyBytes },
    async (request, reply) => {
      const read = request.body ?? parseBody(new Uint8Array());
      if (!read.ok) return refuse(reply, 400, read.fault);
      const body = read.value;
      if (isMissing(body.image1_url) || isMissing(body.prompt)) {
        return refuse(reply, 400, 'Both image1_url and prompt are required');
      }
      const parsed = editBody.safeParse(body);
      if (!parsed.success) return refuse(reply, 400, firstIssue(parsed.error).message);
      const headers = editHeaders.safeParse(request.headers);
      if (!headers.success) {
        return refuse(reply, 400, firstIssue(headers.error).message.replace(/^\S+/, 'Idempotency-Key'));
      }

      const edit = toEditInput(parsed.data, extraParameters(body), headers.data['idempotency-key'] ?? null);
      const outcome = await jobs.submit(edit, options.callerOf(request), goneSignal(reply));
      if (!outcome.ok) {
        const { status, detail } = refusalOf(outcome.failure);
        const { retryAfterSeconds } = outcome.failure;
        if (retryAfterSeconds !== null) reply.header('retry-after', Math.ceil(retryAfterSeconds));
        return refuse(reply, status, detail);
      }
      const { job } = outcome;
      reply.header('location', `/status/${job.id}`);
      reply.header('retry-after', ASK_AGAIN_SECONDS);
      return {
        job_id: job.id,
        status: restStatus(job),
        message: 'Image editing started',
      } satisfies EditAnswer;
    },
  );
}
