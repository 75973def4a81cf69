import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Batch, hasEnded, progressOf, removedOf } from '../../jobs/batches/batch.ts';
import type { BatchStream } from '../../jobs/batches/watch.ts';
import { cursorOf } from '../../jobs/cursor.ts';
import { StoreUnavailable } from '../../jobs/errors.ts';
import type { EditInput } from '../../jobs/request.ts';
import { show } from '../../workflows/messages.ts';
import { sendError } from '../errors.ts';
import { endWith, framesOf, sendEvents } from '../event-stream.ts';
import { farewell } from '../farewell.ts';
import { isOfForeignPage } from '../limits/cross-site.ts';
import { goneSignal } from '../limits/lifetime.ts';
import { type Body, type BodyObject, parseBody } from './body.ts';
import { isId, type RestOptions } from './context.ts';
import {
  type BatchAccepted,
  type BatchResponse,
  batchEventsQuery,
  batchJobsQuery,
} from './contract/batches.ts';
import { imagesIn } from './contract/image-source.ts';
import { LIST_LIMIT } from './contract/requests.ts';
import type { JobsResponse } from './contract/responses.ts';
import { readKey } from './edit.ts';
import { readEditBody } from './edit-input.ts';
import { addJsonParser } from './json-body.ts';
import { readQuery } from './query.ts';
import { POLL_SECONDS } from './status.ts';
import { jobStatuses, listedJob } from './status-fields.ts';
import { sendSubmitFailure } from './submit-failure.ts';

type BatchRequest = FastifyRequest<{ Params: { batch_id: string } }>;

/** The id of the event after which a stream has nothing more. */
const END = 'end';

/** POST `/edit-images`. As for `/edit-image`, a page of another origin cannot send the body without a preflight. */
export function editsRoute(app: FastifyInstance, options: RestOptions): void {
  const { jobs, workflows } = options.services;
  addJsonParser(app, imagesIn);

  /** The edits of a body, or what is wrong with it. */
  function readEdits({
    value: { edits: given },
    images,
  }: BodyObject): { ok: true; edits: readonly EditInput[] } | { ok: false; detail: string } {
    if (!Array.isArray(given))
      return { ok: false, detail: `edits takes a list of edits, got ${show(given)}` };
    const edits: EditInput[] = [];
    for (const [index, edit] of given.entries()) {
      const place = `edits.${index}`;
      if (typeof edit !== 'object' || edit === null || Array.isArray(edit)) {
        return { ok: false, detail: `${place} takes an object, got ${show(edit)}` };
      }
      const read = readEditBody({ value: edit, images }, workflows, null);
      if (!read.ok) {
        const { detail } = read;
        return {
          ok: false,
          detail: detail.startsWith('Both ') ? `${place}: ${detail}` : `${place}.${detail}`,
        };
      }
      edits.push(read.edit);
    }
    return { ok: true, edits };
  }

  const route = { bodyLimit: options.maxBodyBytes };
  app.post<{ Body: Body | undefined }>('/edit-images', route, async (request, reply) => {
    const body = request.body ?? parseBody(new Uint8Array());
    if (!body.ok) return sendError(reply, 400, body.fault);
    const key = readKey(request);
    if (!key.ok) return sendError(reply, 400, key.detail);
    const read = readEdits(body);
    if (!read.ok) return sendError(reply, 400, read.detail);
    const { edits } = read;
    const scope = { signal: goneSignal(reply), traceparent: request.headers.traceparent };
    const outcome = await jobs.batches.submit(edits, key.value, options.callerOf(request), scope);
    if (!outcome.ok) return sendSubmitFailure(reply, outcome.failure);
    const warnings = edits.flatMap((edit, index) =>
      (edit.warnings ?? []).map(text => `edits.${index}: ${text}`),
    );
    return accepted(reply, outcome.batch, warnings);
  });
}

/** The routes of `/batches/{batch_id}`. */
export function batchRoutes(app: FastifyInstance, options: RestOptions): void {
  const { jobs } = options.services;

  async function find(request: BatchRequest): Promise<Batch | null> {
    const { batch_id: id } = request.params;
    return isId(id) ? jobs.batches.get(id, options.callerOf(request)) : null;
  }

  const fieldsOf = (batch: Batch): BatchResponse => {
    const eta = jobs.batches.etaOf(batch);
    return {
      batch_id: batch.id,
      total: batch.total,
      queued: batch.counts.QUEUED,
      processing: batch.counts.PROCESSING,
      completed: batch.counts.COMPLETED,
      failed: batch.counts.ERROR,
      canceled: batch.counts.CANCELED,
      removed: removedOf(batch),
      ended: hasEnded(batch),
      progress: progressOf(batch),
      ...(eta === null ? {} : { eta_seconds: eta }),
      created_at: new Date(batch.createdAt).toISOString(),
    };
  };

  app.get('/batches/:batch_id', async (request: BatchRequest, reply) => {
    const batch = await find(request);
    if (batch === null) return sendBatchNotFound(reply);
    if (!hasEnded(batch)) reply.header('retry-after', POLL_SECONDS);
    return fieldsOf(batch);
  });

  app.get('/batches/:batch_id/jobs', async (request: BatchRequest, reply) => {
    const query = readQuery(batchJobsQuery, request.query);
    if (!query.ok) return sendError(reply, 400, query.fault);
    const batch = await find(request);
    if (batch === null) return sendBatchNotFound(reply);
    const { limit = LIST_LIMIT, after = null, status } = query.value;
    const page = await jobs.batches.jobs({
      batch: batch.id,
      statuses: jobStatuses(status),
      first: limit,
      after,
    });
    const last = page.jobs.at(-1);
    const listed = Object.fromEntries(page.jobs.map(job => [job.id, listedJob(job)]));
    if (!page.hasMore || last === undefined) return { jobs: listed } satisfies JobsResponse;
    const names = status === undefined ? {} : { status: status.join(',') };
    const parameters = new URLSearchParams({ limit: String(limit), ...names, after: cursorOf(last) });
    const next = `/batches/${batch.id}/jobs?${parameters}`;
    reply.header('link', `<${next}>; rel="next"`);
    return { jobs: listed, next } satisfies JobsResponse;
  });

  const stream = { exposeHeadRoute: false, config: { lifetime: 'stream' } } as const;
  app.get('/batches/:batch_id/events', stream, async (request: BatchRequest, reply) => {
    const query = readQuery(batchEventsQuery, request.query);
    if (!query.ok) return sendError(reply, 400, query.fault);
    const { batch_id: id } = request.params;
    const caller = options.callerOf(request);
    const batches = isId(id) ? await jobs.batches.watch(id, caller, query.value.max_per_second) : null;
    if (batches === null) return sendBatchNotFound(reply);
    if (request.headers['last-event-id'] === END) {
      await batches.return();
      return reply.code(204).send();
    }
    const frame = async (batch: Batch): Promise<string> =>
      `${hasEnded(batch) ? `id: ${END}\n` : ''}data: ${JSON.stringify(fieldsOf(batch))}\n\n`;
    return sendEvents(reply, frames(batches, frame, endWith(reply, batches, options)));
  });

  app.post('/batches/:batch_id/cancel', async (request: BatchRequest, reply) => {
    // A form needs no preflight, so a page of another origin could send one.
    if (isOfForeignPage(request.headers, options.origins)) return sendForeign(reply);
    const { batch_id: id } = request.params;
    const outcome = isId(id) ? await jobs.batches.cancel(id, options.callerOf(request)) : null;
    if (outcome === null || outcome.kind === 'not-found') return sendBatchNotFound(reply);
    if (outcome.kind === 'pending') reply.code(202).header('retry-after', POLL_SECONDS);
    return fieldsOf(outcome.batch);
  });

  app.post('/batches/:batch_id/retry', async (request: BatchRequest, reply) => {
    if (isOfForeignPage(request.headers, options.origins)) return sendForeign(reply);
    const { batch_id: id } = request.params;
    if (!isId(id)) return sendBatchNotFound(reply);
    const scope = { traceparent: request.headers.traceparent };
    const outcome = await jobs.batches.retryFailed(id, options.callerOf(request), scope);
    if (outcome.ok) return accepted(reply, outcome.batch, []);
    if (outcome.failure !== null) return sendSubmitFailure(reply, outcome.failure);
    return outcome.reason === 'not-found'
      ? sendBatchNotFound(reply)
      : sendError(reply, 409, 'No job of the batch has failed');
  });
}

async function* frames(
  batches: BatchStream,
  frameOf: (batch: Batch) => Promise<string>,
  ending: AbortSignal,
): AsyncGenerator<string, void> {
  try {
    // A comment, so that the headers are sent at once.
    yield ': watching\n\n';
    yield* framesOf(batches, frameOf, ending);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    yield farewell();
  } finally {
    await batches.return();
  }
}

function accepted(reply: FastifyReply, batch: Batch, warnings: readonly string[]): BatchAccepted {
  reply.header('location', `/batches/${batch.id}`).header('retry-after', POLL_SECONDS);
  return {
    batch_id: batch.id,
    total: batch.total,
    message: 'Image editing started',
    ...(warnings.length === 0 ? {} : { warnings: [...warnings] }),
  };
}

function sendBatchNotFound(reply: FastifyReply): FastifyReply {
  return sendError(reply, 404, 'Batch not found');
}

function sendForeign(reply: FastifyReply): FastifyReply {
  return sendError(reply, 403, 'Requests of other sites are not accepted, except those in CORS_ORIGINS');
}
