import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { EngineStatus } from '../dispatch/engines/engine.ts';
import { ENGINE_STATES } from '../dispatch/engines/engine-state.ts';
import type { ImageLoader, ImageResult } from '../images/loader.ts';
import type { RunningLimits } from '../jobs/claims.ts';
import { CALLS } from '../jobs/engine-needs.ts';
import type { Clock, Ledger } from '../jobs/ports.ts';
import type { CallForEngines } from '../webhooks/engine-calls.ts';
import type { Post } from '../webhooks/post.ts';
import type { TryOutcome } from '../webhooks/retries.ts';

/** Reports the engines and lanes as this gateway sees them, at each scrape. */
export function reportEngines(
  registry: Registry,
  options: {
    readonly engines: () => readonly EngineStatus[];
    readonly lanesPerEngine: number;
    readonly heldBy: (engine: string) => number;
  },
): void {
  const registers = [registry];
  new Gauge({
    name: 'qwen_edit_engine_state',
    help: '1 for the state that an engine is in',
    labelNames: ['engine', 'state'],
    registers,
    collect() {
      this.reset();
      for (const { id, state: present } of options.engines()) {
        for (const state of ENGINE_STATES) this.set({ engine: id, state }, state === present ? 1 : 0);
      }
    },
  });
  new Gauge({
    name: 'qwen_edit_lanes',
    help: 'Lanes of this gateway that hold a job, and those that do not',
    labelNames: ['engine', 'state'],
    registers,
    collect() {
      this.reset();
      for (const { id } of options.engines()) {
        const busy = Math.min(options.heldBy(id), options.lanesPerEngine);
        this.set({ engine: id, state: 'busy' }, busy);
        this.set({ engine: id, state: 'idle' }, options.lanesPerEngine - busy);
      }
    },
  });
}

/**
 * Reports the queue at each scrape. Gateways that share a store report the same: take the maximum of them, not the sum. While
 * the store is unreachable the values are absent. `running`: as for claims.
 */
export function reportQueue(registry: Registry, ledger: Ledger, running: RunningLimits, now: Clock): void {
  const registers = [registry];
  new Gauge({
    name: 'qwen_edit_queue_jobs',
    help: 'Jobs in the whole store that wait for a lane, that wait only for the limit of their caller (limited), and that a lane holds',
    labelNames: ['state'],
    registers,
    async collect() {
      this.reset();
      const counts = await orNull(Promise.all([ledger.count(), ledger.limited(running)]));
      if (counts === null) return;
      const [{ waiting, running: held }, limited] = counts;
      // A job may have left the queue between the two.
      this.set({ state: 'waiting' }, Math.max(0, waiting - limited));
      this.set({ state: 'limited' }, limited);
      this.set({ state: 'held' }, held);
    },
  });
  new Gauge({
    name: 'qwen_edit_queue_oldest_wait_seconds',
    help: 'How long the oldest waiting job has waited; 0 when none waits',
    registers,
    async collect() {
      const at = now();
      const jobs = await orNull(ledger.overdue(at + 1, 1));
      if (jobs !== null) this.set(jobs[0] === undefined ? 0 : Math.max(0, at - jobs[0].createdAt) / 1000);
    },
  });
}

async function orNull<T>(read: Promise<T>): Promise<T | null> {
  // `timeLedger` has counted the failure.
  return read.catch(() => null);
}

/** Times the calls of a ledger that requests and lanes wait for. */
export function timeLedger(registry: Registry, ledger: Ledger): Ledger {
  const duration = new Histogram({
    name: 'qwen_edit_store_operation_seconds',
    help: 'Duration of operations of the job store',
    labelNames: ['operation', 'outcome'],
    buckets: [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5],
    registers: [registry],
  });
  function timed<A extends unknown[], R>(
    operation: string,
    call: (...args: A) => Promise<R>,
  ): (...args: A) => Promise<R> {
    const ok = duration.labels({ operation, outcome: 'ok' });
    const failed = duration.labels({ operation, outcome: 'failed' });
    return async (...args) => {
      const startedAt = performance.now();
      try {
        const result = await call(...args);
        ok.observe((performance.now() - startedAt) / 1000);
        return result;
      } catch (error) {
        failed.observe((performance.now() - startedAt) / 1000);
        throw error;
      }
    };
  }
  return {
    ...ledger,
    submit: timed('submit', ledger.submit),
    batches: { ...ledger.batches, submit: timed('submit_batch', ledger.batches.submit) },
    commit: timed('commit', ledger.commit),
    list: timed('list', ledger.list),
    count: timed('count', ledger.count),
    overdue: timed('overdue', ledger.overdue),
    claim: timed('claim', ledger.claim),
    keepLanes: timed('keep_lanes', ledger.keepLanes),
    agreements: { ...ledger.agreements, replace: timed('agree', ledger.agreements.replace) },
  };
}

/** Counts loaded images by source, and by the code of the error where one was rejected. */
export function countImages(registry: Registry, images: ImageLoader): ImageLoader {
  const loads = new Counter({
    name: 'qwen_edit_image_loads_total',
    help: 'Input images that were loaded; code says why an image was rejected and is empty otherwise',
    labelNames: ['source', 'code'],
    registers: [registry],
  });
  const counted = async (source: string, loading: Promise<ImageResult>): Promise<ImageResult> => {
    const result = await loading;
    loads.inc({ source, code: result.ok ? '' : result.failure.code });
    return result;
  };
  return {
    ...images,
    fromUrl: (url, options) => counted('url', images.fromUrl(url, options)),
    fromDataUri: (uri, options) => counted('data_uri', images.fromDataUri(uri, options)),
    fromReader: (read, options) => counted('upload', images.fromReader(read, options)),
  };
}

/** Counts attempts to deliver webhooks by the class of the receiver's response. */
export function countWebhooks(registry: Registry, post: Post): Post {
  const attempts = new Counter({
    name: 'qwen_edit_webhook_attempts_total',
    help: 'Attempts to deliver a webhook, by response: 2xx to 5xx, or none',
    labelNames: ['response'],
    registers: [registry],
  });
  return async (delivery, signal) => {
    const outcome = await post(delivery, signal);
    attempts.inc({ response: classOf(outcome) });
    return outcome;
  };
}

/** Counts calls of ENGINE_WAKE_URL by what they are for and the class of the receiver's response; from 0, as they are rare. */
export function countEngineCalls(registry: Registry, call: CallForEngines): CallForEngines {
  const calls = new Counter({
    name: 'qwen_edit_engine_calls_total',
    help: 'Calls of ENGINE_WAKE_URL, by response: 2xx to 5xx, or none',
    labelNames: ['event', 'reason', 'response'],
    registers: [registry],
  });
  for (const labels of Object.values(CALLS)) {
    for (const response of ['2xx', 'none']) calls.inc({ ...labels, response }, 0);
  }
  return async (engineCall, signal) => {
    const outcome = await call(engineCall, signal);
    calls.inc({ ...CALLS[engineCall.kind], response: classOf(outcome) });
    return outcome;
  };
}

/** `2xx` to `5xx`, or `none` without a response. */
function classOf({ statusCode }: TryOutcome): string {
  return statusCode === null ? 'none' : `${Math.trunc(statusCode / 100)}xx`;
}
