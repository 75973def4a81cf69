import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { isLostRun } from '../jobs/advance.ts';
import type { Job } from '../jobs/job.ts';
import type { Clock, OnJobChange } from '../jobs/ports.ts';

/** From a sandbox's tenth of a second to an hour on a slow engine. */
const RUN_BUCKETS = [0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600];
/** A wait may last as long as QUEUE_TIMEOUT. */
const WAIT_BUCKETS = [0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400];

/** A job that a lane of this gateway holds. Times are milliseconds since 1970. */
interface Held {
  readonly job: string;
  readonly engine: string;
  /** When its run started; null while it waits in the engine's queue. */
  readonly runSince: number | null;
  readonly stage: Job['stage'];
  readonly stageSince: number;
}

/** What an engine executed for this gateway. Times in milliseconds. */
interface Busy {
  /** Runs at this moment. */
  readonly runs: number;
  /** When the first of them started. */
  readonly since: number;
  /** Before that. */
  readonly ms: number;
}

export interface JobMetrics {
  readonly onChange: OnJobChange;
  /** Forgets jobs that the lanes no longer run: they were deleted, or another gateway took them over. */
  retain(runs: (jobId: string) => boolean): void;
  /** Forgets engines that are not in the fleet, unless its lanes hold jobs of them. */
  retainEngines(engines: ReadonlySet<string>): void;
  /** How many jobs the lanes of this gateway hold, by engine. */
  heldBy(engine: string): number;
}

/**
 * Counts and times jobs as this gateway commits their changes; all gateways of a fleet add up. Labels are names of
 * workflows, engines and codes, so their number is bounded by the configuration and the fleet.
 */
export function createJobMetrics(registry: Registry, now: Clock): JobMetrics {
  const registers = [registry];
  const submitted = new Counter({
    name: 'qwen_edit_jobs_submitted_total',
    help: 'Jobs that were accepted',
    labelNames: ['workflow', 'priority'],
    registers,
  });
  const ended = new Counter({
    name: 'qwen_edit_jobs_ended_total',
    help: 'Jobs that ended; code is empty unless the outcome is failed',
    labelNames: ['workflow', 'outcome', 'code'],
    registers,
  });
  const waited = new Histogram({
    name: 'qwen_edit_job_wait_seconds',
    help: 'Time from the submit of a job to the start of its first run',
    labelNames: ['workflow'],
    buckets: WAIT_BUCKETS,
    registers,
  });
  const ran = new Histogram({
    name: 'qwen_edit_job_run_seconds',
    help: 'Duration of the last run of a job that ended',
    labelNames: ['workflow', 'outcome'],
    buckets: RUN_BUCKETS,
    registers,
  });
  const staged = new Histogram({
    name: 'qwen_edit_job_stage_seconds',
    help: 'Time that runs spent in a stage',
    labelNames: ['workflow', 'stage'],
    buckets: RUN_BUCKETS,
    registers,
  });
  const started = new Counter({
    name: 'qwen_edit_runs_started_total',
    help: 'Runs that an engine started',
    labelNames: ['engine'],
    registers,
  });
  const lost = new Counter({
    name: 'qwen_edit_runs_lost_total',
    help: 'Runs that ended without their images and were queued again or given up; by event',
    labelNames: ['engine', 'event'],
    registers,
  });

  /** By lane, so that a job which is deleted or taken over leaves its place to the next one. */
  const held = new Map<string, Held>();
  /** By engine. A run ends when its images are here, while the engine executes the next one: that time counts once. */
  const busy = new Map<string, Busy>();

  // Computed at a scrape, so that a run counts while it lasts and not at once at its end.
  new Counter({
    name: 'qwen_edit_engine_busy_seconds_total',
    help: 'Time that an engine executed jobs of this gateway; its rate is the busy share of the GPU',
    labelNames: ['engine'],
    registers,
    collect() {
      this.reset();
      for (const [engine, { runs, since, ms }] of busy) {
        this.inc({ engine }, (ms + (runs > 0 ? Math.max(0, now() - since) : 0)) / 1000);
      }
    },
  });
  new Gauge({
    name: 'qwen_edit_jobs_held',
    help: 'Jobs that the lanes of this gateway hold, by engine: running, or waiting in the engine’s own queue',
    labelNames: ['engine', 'state'],
    registers,
    collect() {
      this.reset();
      for (const { engine, runSince } of held.values()) {
        this.inc({ engine, state: runSince === null ? 'waiting' : 'running' });
      }
    },
  });

  function leave(before: Job): void {
    const entry = before.lane === null ? undefined : held.get(before.lane);
    if (before.lane === null || entry?.job !== before.id) return;
    drop(before.lane, entry);
    if (entry.runSince !== null) leaveStage(before.request.workflow, entry, now());
  }

  /** What it ran so far stays counted, so that the counter never falls. */
  function drop(lane: string, { engine, runSince }: Held): void {
    held.delete(lane);
    if (runSince !== null) endRun(engine, now());
  }

  function startRun(engine: string, at: number): void {
    const known = busy.get(engine) ?? { runs: 0, since: at, ms: 0 };
    const since = known.runs === 0 ? at : known.since;
    busy.set(engine, { ...known, runs: known.runs + 1, since });
  }

  function endRun(engine: string, at: number): void {
    const known = busy.get(engine);
    if (known === undefined) return;
    const { runs, since, ms } = known;
    busy.set(engine, { runs: runs - 1, since, ms: runs === 1 ? ms + Math.max(0, at - since) : ms });
  }

  function leaveStage(workflow: string, { stage, stageSince }: Held, at: number): void {
    if (stage !== null) staged.observe({ workflow, stage }, Math.max(0, at - stageSince) / 1000);
  }

  function enter(job: Job, lane: string): void {
    if (job.engine === null) return;
    const at = now();
    const known = held.get(lane);
    const before = known?.job === job.id && known.engine === job.engine ? known : undefined;
    if (known !== undefined && before === undefined) drop(lane, known);
    const runSince = job.status === 'PROCESSING' ? (before?.runSince ?? at) : null;
    if (runSince !== null && (before?.runSince ?? null) === null) startRun(job.engine, at);
    if (runSince === null && before !== undefined && before.runSince !== null) endRun(job.engine, at);
    if (before !== undefined && before.stage !== job.stage) leaveStage(job.request.workflow, before, at);
    const stageSince = before !== undefined && before.stage === job.stage ? before.stageSince : at;
    held.set(lane, { job: job.id, engine: job.engine, runSince, stage: job.stage, stageSince });
  }

  function end(before: Job | null, job: Job): void {
    const { workflow } = job.request;
    const outcome = OUTCOMES[job.status];
    if (outcome === null) return;
    ended.inc({ workflow, outcome, code: job.error?.code ?? '' });
    const startedAt = before?.startedAt ?? null;
    if (startedAt === null || job.finishedAt === null) return;
    ran.observe({ workflow, outcome }, Math.max(0, job.finishedAt - startedAt) / 1000);
  }

  return {
    retain(runs) {
      for (const [lane, entry] of held) if (!runs(entry.job)) drop(lane, entry);
    },
    retainEngines(engines) {
      for (const [engine, { runs }] of busy) if (runs === 0 && !engines.has(engine)) busy.delete(engine);
    },
    heldBy: engine => [...held.values()].filter(entry => entry.engine === engine).length,
    onChange(before, job, event) {
      // Most changes are steps within a stage.
      if (event === 'progressed' && before?.stage === job.stage) return;
      if (event === 'previewed') return;
      const { workflow } = job.request;
      if (event === 'submitted') submitted.inc({ workflow, priority: job.priority });
      if (event === 'started' && job.engine !== null) {
        started.inc({ engine: job.engine });
        if (job.attempt <= 1) waited.observe({ workflow }, Math.max(0, now() - job.createdAt) / 1000);
      }
      if (isLostRun(event) && before?.engine != null) {
        lost.inc({ engine: before.engine, event });
      }
      if (job.lane !== null) enter(job, job.lane);
      else if (before !== null) leave(before);
      if (before === null || before.status !== job.status) end(before, job);
    },
  };
}

const OUTCOMES: Record<Job['status'], 'completed' | 'failed' | 'canceled' | null> = {
  QUEUED: null,
  PROCESSING: null,
  COMPLETED: 'completed',
  ERROR: 'failed',
  CANCELED: 'canceled',
};
