import { AsyncLocalStorage } from 'node:async_hooks';
import type { RunStep } from '../dispatch/observer.ts';
import type { ImageResult } from '../images/loader.ts';
import { isLostRun } from '../jobs/advance.ts';
import { isFinal, isWaiting, type Job } from '../jobs/job.ts';
import type { Clock } from '../jobs/ports.ts';
import type { BatchOutcome, SubmitOutcome } from '../jobs/submit/outcome.ts';
import { type JobTrace, parseTraceparent, traceJob, traceparentOf } from '../jobs/trace.ts';
import type { Attributes, Span, SpanOptions, Spans } from './spans.ts';
import type { Tracing } from './tracing.ts';

/** What the present piece of work belongs to. */
interface Scope {
  readonly span: Span;
  /** Null outside of a run. */
  readonly run: RunScope | null;
}

/** A run that this process drives. Times are milliseconds since 1970. */
interface RunScope {
  readonly job: string;
  readonly span: Span;
  /** The job is no longer in the lane, and the span has ended. */
  over: boolean;
  /** Since when the engine has the prompt in its queue; null before its upload is done and after it started. */
  queuedSince: number | null;
  stage: Job['stage'];
  stageSince: number;
}

const STEPS: Record<RunStep, string> = {
  run: 'run',
  resume: 'run',
  upload: 'upload images',
  collect: 'collect images',
};

/**
 * The spans of jobs. `submit job`, with what is fetched and stored in it, is part of the caller's trace. Its child `job` lasts
 * to the job's end and is sent by the gateway that ends it; under it are `wait`, each `run` with its steps and stages, and
 * each try of a webhook, sent by the gateways where they happen: the job's record has the ids.
 */
export function traceWith(spans: Spans, now: Clock): Tracing {
  const scopes = new AsyncLocalStorage<Scope>();

  /** Does work in a span of its own. `tell` describes how it went: attributes, and a code if it failed. */
  async function within<T>(
    name: string,
    options: SpanOptions,
    work: () => Promise<T>,
    tell: (result: T) => { attributes?: Attributes; error?: string | null },
    run: RunScope | null = scopes.getStore()?.run ?? null,
  ): Promise<T> {
    const span = spans.start(name, options);
    try {
      const result = await scopes.run({ span, run }, work);
      const { attributes, error } = tell(result);
      if (attributes !== undefined) span.set(attributes);
      span.end(error);
      return result;
    } catch (error) {
      // Not its message, which may repeat what a caller or an engine sent.
      span.end(error instanceof Error ? error.name : 'unknown');
      throw error;
    }
  }

  /** As `within`, for work that is part of a submit or a run; other work has no span. */
  function part<T>(
    name: string,
    attributes: Attributes,
    work: () => Promise<T>,
    tell: (result: T) => { attributes?: Attributes; error?: string | null } = () => ({}),
  ): Promise<T> {
    const scope = scopes.getStore();
    return scope === undefined
      ? work()
      : within(name, { parent: scope.span.context, attributes }, work, tell);
  }

  /** A span of something that is over. */
  function past(
    name: string,
    options: SpanOptions & { readonly at: number },
    error: string | null = null,
  ): void {
    spans.start(name, options).end(error, now());
  }

  function submitting<T extends SubmitOutcome | { ok: false; failure: null; reason: string }>(
    traceparent: unknown,
    attributes: Attributes,
    work: () => Promise<T>,
  ): Promise<T> {
    return within(
      'submit job',
      { parent: parseTraceparent(traceparent), kind: 'server', attributes },
      work,
      outcome => {
        if (!outcome.ok) return { error: outcome.failure?.code ?? 'NOT_RETRIED' };
        const { job, repeated } = outcome;
        return {
          attributes: { 'job.id': job.id, 'job.workflow': job.request.workflow, 'job.repeated': repeated },
        };
      },
    );
  }

  function submittingBatch<T extends BatchOutcome | { ok: false; failure: null; reason: string }>(
    traceparent: unknown,
    attributes: Attributes,
    work: () => Promise<T>,
  ): Promise<T> {
    return within(
      'submit batch',
      { parent: parseTraceparent(traceparent), kind: 'server', attributes },
      work,
      outcome => {
        if (!outcome.ok) return { error: outcome.failure?.code ?? 'NOT_RETRIED' };
        const { batch, repeated } = outcome;
        return {
          attributes: { 'batch.id': batch.id, 'batch.total': batch.total, 'batch.repeated': repeated },
        };
      },
    );
  }

  function loading(name: string, load: () => Promise<ImageResult>): Promise<ImageResult> {
    return part(name, {}, load, result =>
      result.ok
        ? { attributes: { 'image.bytes': result.image.bytes.byteLength } }
        : { error: result.failure.code },
    );
  }

  async function drive<T>(
    step: 'run' | 'resume',
    job: Job,
    trace: JobTrace,
    work: () => Promise<T>,
  ): Promise<T> {
    const at = now();
    const span = spans.start(STEPS[step], {
      parent: trace,
      at,
      attributes: { ...nameOf(job), engine: job.engine, 'run.resumed': step === 'resume' },
    });
    const run: RunScope = {
      job: job.id,
      span,
      over: false,
      queuedSince: null,
      stage: job.stage,
      stageSince: at,
    };
    try {
      return await scopes.run({ span, run }, work);
    } finally {
      // It is left to the next holder of its lane.
      if (!run.over) endRun(run, { 'run.outcome': 'left' }, null);
    }
  }

  /** The run's stage is over, and another one begins. */
  function endStage(run: RunScope, next: Job['stage']): void {
    const { stage, stageSince: at, span } = run;
    if (stage !== null) past(stage.toLowerCase(), { parent: span.context, at });
    run.stage = next;
    run.stageSince = now();
  }

  function runOf(job: Job): RunScope | null {
    const run = scopes.getStore()?.run ?? null;
    return run?.job === job.id ? run : null;
  }

  function endWait(before: Job, job: Job, parent: JobTrace): void {
    past('wait', { parent, at: waitingSince(before), attributes: { ...nameOf(job), engine: job.engine } });
  }

  function endRun(run: RunScope, attributes: Attributes, error: string | null): void {
    endStage(run, null);
    run.over = true;
    run.span.set(attributes);
    run.span.end(error);
  }

  function endJob(job: Job, trace: JobTrace): void {
    const { traceId, spanId, parentSpanId, sampled } = trace;
    const { workflow, images, steps } = job.request;
    const span = spans.start('job', {
      parent: { traceId, spanId: parentSpanId, sampled },
      spanId,
      at: job.createdAt,
      attributes: {
        ...nameOf(job),
        'job.status': job.status,
        'job.workflow': workflow,
        'job.images': images.length,
        'job.steps': steps,
        'job.attempt': job.attempt,
      },
    });
    span.end(job.error?.code ?? null, job.finishedAt ?? now());
  }

  return {
    jobs: jobs => ({
      ...jobs,
      submit: (input, caller, request = {}) =>
        submitting(request.traceparent, {}, () => jobs.submit(input, caller, request)),
      retry: (id, caller, request = {}) =>
        submitting(request.traceparent, { 'job.retries': id }, () => jobs.retry(id, caller, request)),
      batches: {
        ...jobs.batches,
        submit: (edits, key, caller, request = {}) =>
          submittingBatch(request.traceparent, {}, () => jobs.batches.submit(edits, key, caller, request)),
        retryFailed: (id, caller, request = {}) =>
          submittingBatch(request.traceparent, { 'batch.retries': id }, () =>
            jobs.batches.retryFailed(id, caller, request),
          ),
      },
    }),
    images: images => ({
      ...images,
      fromUrl: (url, options) => loading('fetch image', () => images.fromUrl(url, options)),
      fromDataUri: (uri, options) => loading('read image', () => images.fromDataUri(uri, options)),
      fromReader: (read, options) => loading('read image', () => images.fromReader(read, options)),
    }),
    artifacts: artifacts => ({
      ...artifacts,
      put: (key, source) =>
        part(
          'store image',
          {},
          () => artifacts.put(key, source),
          bytes => ({
            attributes: { 'image.bytes': bytes },
          }),
        ),
    }),
    ledger: ledger => ({
      ...ledger,
      submit: (job, options) =>
        part(
          'store job',
          nameOf(job),
          () => ledger.submit(job, options),
          ({ kind }) => ({
            attributes: { 'store.result': kind },
          }),
        ),
      batches: {
        ...ledger.batches,
        submit: (batch, jobs, options) =>
          part(
            'store batch',
            { 'batch.id': batch.id },
            () => ledger.batches.submit(batch, jobs, options),
            ({ kind }) => ({
              attributes: { 'store.result': kind },
            }),
          ),
      },
    }),
    runs: observer => ({
      ...observer,
      around(step, job, work) {
        const observed = () => observer.around(step, job, work);
        if (job.trace === null) return observed();
        if (step === 'run' || step === 'resume') return drive(step, job, job.trace, observed);
        const run = runOf(job);
        if (step === 'collect' && run !== null) endStage(run, null);
        return part(STEPS[step], {}, observed).finally(() => {
          if (step === 'upload' && run !== null) run.queuedSince = now();
        });
      },
    }),
    post: post => (delivery, signal) => {
      const { trace, event, attempts, jobId } = delivery;
      if (trace === undefined) return post(delivery, signal);
      const attributes = { 'job.id': jobId, 'webhook.event': event, 'webhook.try': attempts.length + 1 };
      return within(
        'post webhook',
        { parent: trace, kind: 'client', attributes },
        () => post(delivery, signal),
        ({ kind, statusCode }) => ({
          attributes: { 'http.response.status_code': statusCode },
          error: kind === 'failed' ? String(statusCode ?? 'unreachable') : null,
        }),
      );
    },
    onChange(before, job, event) {
      // Most changes are steps within a stage.
      if (before === null || job.trace === null || event === 'previewed') return;
      const run = runOf(job);
      if (run !== null && job.status === 'PROCESSING') {
        if (event === 'started') {
          const { queuedSince: at, span } = run;
          if (at !== null) past('queue', { parent: span.context, at, attributes: { engine: job.engine } });
          run.queuedSince = null;
        }
        if (job.stage !== run.stage) endStage(run, job.stage);
      }
      if (isWaiting(before) && !isWaiting(job)) endWait(before, job, job.trace);
      if (run !== null && before.lane !== null && job.lane === null) {
        const lost = isLostRun(event) ? event : null;
        endRun(run, { 'run.outcome': event, 'job.attempt': job.attempt }, job.error?.code ?? lost);
      }
      if (isFinal(job.status)) endJob(job, job.trace);
    },
    traceOf() {
      const scope = scopes.getStore();
      return scope === undefined ? null : traceJob(scope.span.context);
    },
    traceparent() {
      const scope = scopes.getStore();
      return scope === undefined ? null : traceparentOf(scope.span.context);
    },
    stop: () => spans.stop(),
  };
}

function nameOf({ id }: Job): Attributes {
  return { 'job.id': id };
}

/** When it came into the queue the last time, in milliseconds since 1970. */
function waitingSince({ log, createdAt }: Job): number {
  const queued = log.findLast(({ event }) => QUEUED.has(event) || isLostRun(event));
  return queued?.at ?? createdAt;
}

const QUEUED = new Set(['submitted', 'handedBack']);
