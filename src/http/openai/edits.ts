import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Job } from '../../jobs/job.ts';
import { onceClosed } from '../closed.ts';
import { sendEvents } from '../event-stream.ts';
import { isOfForeignPage } from '../limits/cross-site.ts';
import type { OpenAIOptions } from './context.ts';
import { type Departures, RETURN_MS } from './departures.ts';
import { DELETED, jobFault, type OpenAIFault, rejectAsOpenAI, sendFault } from './errors.ts';
import { type Attendance, eventsOf } from './events.ts';
import { followAll } from './follow.ts';
import { factsOf, NO_USAGE, needsEncoding, type Result, resultOf, withBase64 } from './images.ts';
import { encodingOf, type Parameters } from './parameters.ts';
import { type Preference, preferenceOf } from './prefer.ts';
import { submitForm } from './submit.ts';

/** Characters of the header with warnings. Proxies buffer all headers of a response in 4 KiB. */
const LONGEST_WARNINGS = 1_500;

/** How often the system asks whether the peer of a silent connection is still there. */
const PROBE_MS = 30_000;

/**
 * POST `/images/edits`: submits the edits of a form and responds when they have ended. A client that leaves cancels them,
 * unless it sent `Prefer: respond-async`; one with an `Idempotency-Key` has a while to come back.
 */
export function editRoute(app: FastifyInstance, options: OpenAIOptions, departures: Departures): void {
  const config = { lifetime: 'stream', body: 'streamed', reject: rejectAsOpenAI } as const;
  app.post('/images/edits', { config }, async (request, reply) => {
    // Forms need no preflight, so a page of another origin could use the GPU of a visitor.
    if (isOfForeignPage(request.headers, options.origins)) return sendFault(reply, FOREIGN_PAGE);
    if (!request.isMultipart()) {
      const got = request.headers['content-type']?.slice(0, 100) ?? 'no Content-Type';
      return refuse(request, reply, {
        status: 415,
        message: `Send the edit as multipart/form-data, got ${got}`,
      });
    }
    const submitted = await submitForm(request, reply, options).catch((error: unknown) => {
      if (!request.raw.destroyed || request.raw.complete) throw error;
      return { ok: false, fault: CLIENT_LEFT } as const;
    });
    if (!submitted.ok) return refuse(request, reply, submitted.fault);
    const { jobs, parameters, hasKey } = submitted;
    const ids = jobs.map(({ id }) => id);
    reply.header('x-job-id', ids.join(','));
    const warnings = warningsOf(jobs);
    if (warnings !== null) reply.header('x-warnings', warnings);
    const preference = preferenceOf(request.headers.prefer);
    if (preference.async) reply.header('preference-applied', 'respond-async');
    const streams = parameters.stream === 'true';
    // Events are sent as they come: there is no other response to send before the end.
    const waitMs = streams ? null : preference.waitMs;
    const attendance = attend({
      request,
      reply,
      ids,
      hasKey,
      preference: { ...preference, waitMs },
      options,
      departures,
    });
    if (streams) {
      return sendEvents(reply, eventsOf(options, request, jobs, parameters, attendance));
    }
    const ended = await waitFor(options, request, ids, attendance.stop);
    if (ended === null) {
      if (attendance.ending.aborted) return sendFault(reply, interrupted(ids));
      return preference.async ? sendAccepted(reply, jobs) : sendFault(reply, CLIENT_LEFT);
    }
    if (ended.ok) return sendImages(options, request, reply, inOrder(ended.jobs, ids), parameters);
    attendance.failed();
    return sendFault(reply, ended.fault);
  });
}

/**
 * What was ignored of the form, as a JSON list: the responses of this API have no field for it. In ASCII, as headers are;
 * null: nothing was ignored.
 */
function warningsOf([job]: readonly Job[]): string | null {
  const warnings = [...(job?.request.warnings ?? [])];
  const text = (): string =>
    JSON.stringify(warnings).replace(
      /[^ -~]/g,
      unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
  while (text().length > LONGEST_WARNINGS) warnings.pop();
  return warnings.length === 0 ? null : text();
}

/** Does not wait for the rest of a body that is rejected. */
function refuse({ raw }: FastifyRequest, reply: FastifyReply, fault: OpenAIFault): FastifyReply {
  if (!raw.complete) reply.header('connection', 'close');
  return sendFault(reply, fault);
}

const FOREIGN_PAGE: OpenAIFault = {
  status: 403,
  message: 'Forms of other sites are not accepted, except those in CORS_ORIGINS',
};

const CLIENT_LEFT: OpenAIFault = { status: 499, message: 'The client closed the connection' };

function interrupted(ids: readonly string[]): OpenAIFault {
  const message = `The response ends before the edit: repeat the request with the same Idempotency-Key, or see GET /status/${ids[0]} (jobs ${ids.join(', ')})`;
  return { status: 503, message, code: 'interrupted', retryAfterSeconds: 2 };
}

/** Sees to what becomes of the jobs of a request when its client leaves. */
function attend(given: {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly ids: readonly string[];
  readonly hasKey: boolean;
  readonly preference: Preference;
  readonly options: OpenAIOptions;
  readonly departures: Departures;
}): Attendance {
  const { request, reply, ids, hasKey, preference, options, departures } = given;
  const { socket } = request.raw;
  // The response may take longer than the server lets connections be silent; Node sets its timeout again afterwards.
  socket.setTimeout(0);
  socket.setKeepAlive(true, PROBE_MS);
  const caller = options.callerOf(request);
  const stop = new AbortController();
  const ending = options.endingOf(reply.raw);
  const abort = (): void => stop.abort();
  ending.addEventListener('abort', abort);
  if (ending.aborted) abort();
  departures.arrive(ids);
  let useless = false;
  const timer = preference.async && preference.waitMs !== null ? setTimeout(abort, preference.waitMs) : null;
  const closed = (): void => {
    if (timer !== null) clearTimeout(timer);
    ending.removeEventListener('abort', abort);
    const left = !reply.raw.writableFinished && !ending.aborted;
    if (preference.async || !(left || useless)) departures.finish(ids);
    else departures.leave(ids, caller, left && hasKey ? RETURN_MS : 0);
    abort();
  };
  onceClosed(reply.raw, closed);
  return {
    stop: stop.signal,
    ending,
    failed() {
      useless = true;
    },
  };
}

type Ended = { ok: true; jobs: readonly Job[] } | { ok: false; fault: OpenAIFault };

/** Waits until all are completed or one of them is not to be; null: `stop` aborted before. */
async function waitFor(
  options: OpenAIOptions,
  request: FastifyRequest,
  ids: readonly string[],
  stop: AbortSignal,
): Promise<Ended | null> {
  const caller = options.callerOf(request);
  const jobs: Job[] = [];
  for await (const happening of followAll(options, ids, caller, 0, stop)) {
    if (happening.kind === 'partial') continue;
    const { job } = happening;
    if (job === null) return { ok: false, fault: DELETED };
    if (job.status !== 'COMPLETED') return { ok: false, fault: jobFault(job) };
    jobs.push(job);
  }
  return jobs.length === ids.length ? { ok: true, jobs } : null;
}

function inOrder(jobs: readonly Job[], ids: readonly string[]): readonly Job[] {
  return ids.flatMap(id => jobs.filter(job => job.id === id));
}

/** 202: the jobs go on, and REST and GraphQL have them. */
function sendAccepted(reply: FastifyReply, jobs: readonly Job[]): FastifyReply {
  const [first] = jobs;
  if (first !== undefined) reply.header('location', `/status/${first.id}`);
  return reply.code(202).send({
    created: seconds(first?.createdAt),
    data: [],
    jobs: jobs.map(({ id }) => ({ id, status_url: `/status/${id}` })),
  });
}

async function sendImages(
  options: OpenAIOptions,
  request: FastifyRequest,
  reply: FastifyReply,
  jobs: readonly Job[],
  parameters: Parameters,
): Promise<FastifyReply> {
  const { artifacts, log } = options;
  const encoding = encodingOf(parameters);
  const results: Result[] = [];
  for (const job of jobs) {
    const result = await resultOf(artifacts, job, encoding, log);
    if (result === null) return sendFault(reply, jobFault(job));
    results.push(result);
  }
  const [first] = results;
  const facts = first === undefined ? {} : factsOf(parameters, first.output);
  const fields = { created: seconds(first?.job.finishedAt), ...facts, usage: NO_USAGE };
  if (parameters.response_format === 'url') {
    const data = results.map(result => ({ url: urlOf(options, request, result, parameters) }));
    return reply.send({ ...fields, data });
  }
  return reply
    .type('application/json; charset=utf-8')
    .send(Readable.from(bodyOf(fields, results), { objectMode: false }));
}

async function* bodyOf(fields: object, results: readonly Result[]): AsyncGenerator<string, void> {
  yield `${JSON.stringify(fields).slice(0, -1)},"data":[`;
  for (const [index, result] of results.entries()) {
    if (index > 0) yield ',';
    yield* withBase64({}, result);
  }
  yield ']}';
}

/** The URL of an image; signed where callers are identified. */
function urlOf(
  { baseUrlOf, services }: OpenAIOptions,
  request: FastifyRequest,
  { job, output }: Result,
  parameters: Parameters,
): string {
  const url = new URL(`${baseUrlOf(request.raw)}${services.imageUrls.output(job.id, 0)}`);
  const encoding = encodingOf(parameters);
  if (needsEncoding(output, encoding)) {
    url.searchParams.set('format', parameters.output_format);
    url.searchParams.set('quality', String(encoding.quality));
  }
  return url.href;
}

function seconds(at: number | null | undefined): number {
  return Math.floor((at ?? Date.now()) / 1000);
}
