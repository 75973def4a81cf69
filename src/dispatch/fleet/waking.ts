import { randomUUID } from 'node:crypto';
import {
  afterCall,
  CALLS,
  type CallPauses,
  type EngineCall,
  type Need,
  nextNeed,
  type RequestedEngine,
  type RequiredModel,
  readNeed,
  type Sight,
} from '../../jobs/engine-needs.ts';
import type { Job } from '../../jobs/job.ts';
import type { Clock, Ledger } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import type { WorkflowCatalog } from '../../workflows/files/catalog.ts';
import type { EngineStatus } from '../engines/engine.ts';

/** The outcome of a call. `retryAfterMs`: the pause that the receiver requested. */
export type EngineCallOutcome =
  | { readonly kind: 'delivered'; readonly statusCode: number }
  | { readonly kind: 'failed'; readonly error: string; readonly retryAfterMs: number | null };

export interface WakeOptions {
  /** Calls the receiver once. Rejects only if the signal aborts. */
  readonly call: (call: EngineCall, signal: AbortSignal) => Promise<EngineCallOutcome>;
  readonly pauses: CallPauses;
  /** How long engines are idle before `engines.idle` is sent, in milliseconds. */
  readonly idleMs: number;
}

/** Tells the receiver when engines are wanted, and when they are idle. */
export interface Waking {
  /** The engine that the receiver accepted a call for, while it is wanted; null: it has not accepted one. */
  requested(): RequestedEngine | null;
  stop(): Promise<void>;
}

/** The name of what gateways agree on. */
const AGREEMENT = 'engine-need';
const LOOK_MS = 1_000;
/** Engines are wanted after this long without one, because one that does not answer a probe is often back at once. */
const WANTED_MS = 2_000;
/** The jobs whose workflows a call names. */
const NAMED_JOBS = 100;
/** How often to read which workflows those are, where no ready engine can run some workflow. */
const UNFIT_LOOK_MS = 3_000;

/**
 * Looks every second for what is needed. All gateways do, and the one that changes the agreement makes the call, so there is one
 * call whatever their number. A store that is away only delays calls.
 */
export function startWaking(
  { call, pauses, idleMs }: WakeOptions,
  around: {
    readonly ledger: Ledger;
    readonly engines: () => readonly EngineStatus[];
    readonly workflows: WorkflowCatalog;
    readonly now: Clock;
    readonly log: Log;
  },
): Waking {
  const { ledger, engines, workflows, now, log } = around;
  const { agreements } = ledger;
  const stopping = new AbortController();
  /** What was seen last, and since when. */
  let seen: { kind: Sight['kind']; since: number } = { kind: 'unknown', since: now() };
  /** The workflows of jobs that no ready engine can run, and when they were read. */
  let unfit: { names: readonly string[]; at: number } = { names: [], at: Number.NEGATIVE_INFINITY };
  /** As far as this gateway knows. */
  let need: Need | null = null;
  let looking: Promise<void> | null = null;

  function isReady(): boolean {
    return engines().some(({ state }) => state === 'READY');
  }

  async function look(): Promise<Sight> {
    const { waiting, running } = await ledger.count();
    const unfitFor = waiting > 0 && isReady() ? await readUnfit() : [];
    const kind = kindOf(waiting, running, unfitFor);
    if (kind !== seen.kind) seen = { kind, since: now() };
    if (kind === 'unknown' || kind === 'nothing') return { kind };
    const { since } = seen;
    const isLasting = now() - since >= (kind === 'idle' ? idleMs : WANTED_MS);
    return kind === 'unfit' ? { kind, since, isLasting, workflows: unfitFor } : { kind, since, isLasting };
  }

  function kindOf(waiting: number, running: number, unfitFor: readonly string[]): Sight['kind'] {
    if (isReady() && unfitFor.length === 0) return waiting + running === 0 ? 'idle' : 'nothing';
    if (engines().some(({ state }) => state === 'STARTING')) return 'unknown';
    if (isReady()) return 'unfit';
    return waiting > 0 ? 'wanted' : 'nothing';
  }

  /** Names of the workflows that jobs wait for and no ready engine can run. */
  async function readUnfit(): Promise<readonly string[]> {
    const able = new Set(engines().flatMap(engine => (engine.state === 'READY' ? engine.workflows : [])));
    const unable = workflows.all().flatMap(({ name }) => (able.has(name) ? [] : [name]));
    if (unable.length === 0) return [];
    const at = now();
    if (at - unfit.at >= UNFIT_LOOK_MS || at < unfit.at) {
      unfit = { names: workflowsOf(await ledger.waiting(NAMED_JOBS)), at };
    }
    return unfit.names.filter(name => unable.includes(name));
  }

  async function decide(): Promise<void> {
    const before = seen.kind;
    const sight = await look();
    const isNews = before !== sight.kind || sight.kind === 'wanted' || sight.kind === 'unfit';
    // What others do about it only postpones the next call.
    if (!isNews && nextNeed(need, sight, now(), '', pauses) === null) return;
    const { text, at } = await agreements.read(AGREEMENT);
    need = readNeed(text);
    const next = nextNeed(need, sight, at, `need_${randomUUID()}`, pauses);
    if (next === null) return;
    if (next.need.kind === 'idle' && next.call && (await hadJobSince(next.need.since))) {
      // It came and went between two looks, possibly at another gateway.
      seen = { kind: 'nothing', since: now() };
      if (need?.active === true) await agree(text, { ...need, active: false });
      return;
    }
    const stored = await agree(text, next.need);
    if (stored !== null && next.call) await callFor(next.need, stored);
  }

  /** Stores a need unless another gateway was faster. Returns its text. */
  async function agree(before: string | null, next: Need): Promise<string | null> {
    const after = JSON.stringify(next);
    if (!(await agreements.replace(AGREEMENT, before, after))) return null;
    need = next;
    return after;
  }

  async function hadJobSince(time: number): Promise<boolean> {
    const { jobs } = await ledger.list({ owner: null, statuses: null, first: 1 });
    return jobs.some(({ createdAt, finishedAt }) => Math.max(createdAt, finishedAt ?? 0) > time);
  }

  async function describe({ id, kind, since, calls, calledAt: at, ...of }: Need): Promise<EngineCall> {
    const known = { id, at, since, call: calls };
    if (kind === 'idle') {
      const ready = engines().filter(({ state }) => state === 'READY');
      return { ...known, kind, engines: ready.map(engine => engine.id) };
    }
    if (kind === 'unfit') {
      const next = await ledger.waiting(NAMED_JOBS);
      const theirs = next.filter(({ request }) => of.workflows.includes(request.workflow));
      const oldest = theirs.toSorted((one, other) => one.createdAt - other.createdAt);
      return {
        ...known,
        kind,
        waiting: theirs.length,
        oldestSeconds: secondsSince(oldest[0]),
        workflows: of.workflows,
        models: modelsOf(of.workflows),
      };
    }
    const [{ waiting }, next, [oldest]] = await Promise.all([
      ledger.count(),
      ledger.waiting(NAMED_JOBS),
      ledger.overdue(now() + 1, 1),
    ]);
    const names = workflowsOf(next);
    return {
      ...known,
      kind,
      waiting,
      oldestSeconds: secondsSince(oldest),
      workflows: names,
      models: modelsOf(names),
    };
  }

  function secondsSince(oldest: Job | undefined): number {
    return oldest === undefined ? 0 : Math.max(0, now() - oldest.createdAt) / 1000;
  }

  /** The files that workflows require, each once. */
  function modelsOf(names: readonly string[]): readonly RequiredModel[] {
    const found = new Map<string, RequiredModel>();
    for (const { name, manifest } of workflows.all()) {
      if (!names.includes(name)) continue;
      for (const { folder, file, alternatives } of manifest.requires.models) {
        found.set(`${folder}/${file}`, { folder, file, alternatives: alternatives.map(other => other.file) });
      }
    }
    return [...found.values()];
  }

  async function callFor(called: Need, text: string): Promise<void> {
    const outcome = await call(await describe(called), stopping.signal);
    const fields = { ...CALLS[called.kind], need: called.id, call: called.calls };
    if (outcome.kind === 'delivered')
      log.info({ ...fields, status: outcome.statusCode }, 'called for engines');
    else log.warn({ ...fields, error: outcome.error }, 'could not call for engines, will retry');
    const { at } = await agreements.read(AGREEMENT);
    const told =
      outcome.kind === 'delivered'
        ? { accepted: true as const }
        : { accepted: false as const, retryAfterMs: outcome.retryAfterMs };
    await agree(text, afterCall(called, told, at, pauses));
  }

  function tick(): void {
    looking ??= decide()
      .catch((error: unknown) => {
        if (!stopping.signal.aborted) log.debug({ err: error }, 'could not tell whether engines are needed');
      })
      .finally(() => {
        looking = null;
      });
  }

  const timer = setInterval(tick, LOOK_MS);
  return {
    requested() {
      if (need?.active !== true || need.acceptedAt === null) return null;
      const at = need.acceptedAt;
      if (need.kind === 'unfit') return { at, workflows: need.workflows };
      return need.kind === 'wanted' && !isReady() ? { at, workflows: null } : null;
    },
    async stop() {
      clearInterval(timer);
      stopping.abort();
      await looking;
    },
  };
}

/** Names of the workflows of jobs, each once. */
function workflowsOf(jobs: readonly Job[]): readonly string[] {
  return [...new Set(jobs.map(({ request }) => request.workflow))];
}
