import type { Place } from '../jobs/claims.ts';
import type { RequestedEngine } from '../jobs/engine-needs.ts';
import type { Caller, Job } from '../jobs/job.ts';
import type { Clock } from '../jobs/ports.ts';
import type { WaitReason } from '../jobs/waiting.ts';
import { describeProblem, type WorkflowProblem } from '../workflows/check/engine.ts';
import type { EngineStatus } from './engines/engine.ts';

/** What is known around a job that waits. Times are milliseconds since 1970. */
export interface Around {
  readonly at: number;
  /** Null when it has a lane. */
  readonly place: Place | null;
  readonly engines: readonly EngineStatus[];
  /** Since when the store does not respond, or accepts no changes; null while it works. */
  readonly storeAwaySince: number | null;
  /** The engine that is starting on request; null: none is. */
  readonly requested: RequestedEngine | null;
  /** Whether the reader may see the addresses of engines and what is wrong with each. */
  readonly operator: boolean;
}

/** Engines change state rarely, and each poll of a waiting job asks for the reason. Milliseconds. */
const FRESH_MS = 250;

/** Looks up why a job waits; null unless it is QUEUED. */
export function createWaiting(options: {
  readonly place: (job: Job) => Promise<Place | null>;
  readonly engines: () => readonly EngineStatus[];
  readonly storeAwaySince: () => number | null;
  readonly requested: () => RequestedEngine | null;
  readonly now: Clock;
}): (job: Job, caller: Caller) => Promise<WaitReason | null> {
  let engines: readonly EngineStatus[] = [];
  let readAt = Number.NEGATIVE_INFINITY;
  return async (job, { operator }) => {
    if (job.status !== 'QUEUED') return null;
    const at = options.now();
    if (at - readAt >= FRESH_MS || at < readAt) {
      engines = options.engines();
      readAt = at;
    }
    const storeAwaySince = options.storeAwaySince();
    const place = storeAwaySince === null ? await options.place(job) : null;
    const requested = options.requested();
    return waitReason(job, { at, place, engines, storeAwaySince, requested, operator });
  };
}

/** Why a job waits; null unless it is QUEUED. Pure. */
export function waitReason(job: Job, around: Around): WaitReason | null {
  if (job.status !== 'QUEUED') return null;
  const { at, place, engines, storeAwaySince, operator } = around;
  if (job.lane !== null) {
    const engine = (operator ? job.engine : null) ?? 'an engine';
    return { code: 'ENGINE_QUEUE', message: `Sent to ${engine}, which has not begun it` };
  }
  if (storeAwaySince !== null) {
    const message = `The store of jobs has accepted no changes since ${inUtc(storeAwaySince)}`;
    return { code: 'STORE_AWAY', message };
  }
  if (job.notBefore !== null && job.notBefore > at) {
    const seconds = Math.ceil((job.notBefore - at) / 1000);
    const where = operator && job.lostOn !== null ? ` on ${job.lostOn}` : '';
    return { code: 'PAUSED', message: `Its last run${where} was lost: it runs again in ${seconds} s` };
  }
  const { workflow } = job.request;
  if (!engines.some(engine => engine.state === 'READY' && engine.workflows.includes(workflow))) {
    return withoutEngine(workflow, around);
  }
  if (place?.limited != null) {
    const { limit } = place.limited;
    const jobs =
      limit === 1 ? '1 job of its caller has an engine' : `${limit} jobs of its caller have engines`;
    return { code: 'RUNNING_LIMIT', message: `${jobs}, as many as may at the same time` };
  }
  if (place !== null && place.ahead > 0) {
    const { ahead } = place;
    return { code: 'JOBS_AHEAD', message: ahead === 1 ? '1 job is ahead' : `${ahead} jobs are ahead` };
  }
  return { code: 'LANES_BUSY', message: 'It is next: every engine that can run it is busy' };
}

/** No engine can take the job now. The nearest to taking it gives the reason. */
function withoutEngine(workflow: string, { engines: all, requested, operator }: Around): WaitReason {
  // Those that leave take no jobs, whatever becomes of them.
  const engines = all.filter(({ leaving }) => !leaving);
  const inState = (...states: EngineStatus['state'][]): EngineStatus[] =>
    engines.filter(({ state }) => states.includes(state));
  /** `text`, and for operators which engines and why. */
  const say = (text: string, which: readonly EngineStatus[]): string => {
    if (!operator) return text;
    const details = which.map(({ id, reason }) => (reason === null ? id : `${id}: ${reason}`));
    return `${text} (${details.join('; ')})`;
  };

  if (requested?.workflows?.includes(workflow) === true) {
    const engine = `An engine that can run the workflow ${workflow}`;
    return { code: 'ENGINE_REQUESTED', message: `${engine} was requested at ${inUtc(requested.at)}` };
  }
  // Those that respond are nearer to taking it.
  if (requested?.workflows === null && inState('STARTING', 'READY', 'UNFIT').length === 0) {
    const message = `An engine was requested at ${inUtc(requested.at)} and is starting`;
    return { code: 'ENGINE_REQUESTED', message };
  }
  if (engines.length === 0) {
    return { code: 'NO_ENGINES', message: 'There is no engine: none is configured, and none has registered' };
  }
  const starting = inState('STARTING');
  if (starting.length > 0) {
    return { code: 'ENGINES_STARTING', message: say('The engines are being probed', starting) };
  }
  const lacking = inState('READY', 'UNFIT');
  if (lacking.length > 0) {
    const missing = lacking.flatMap(engine => engine.problems.get(workflow) ?? []).map(inWords);
    const what = missing.length === 0 ? '' : `: ${[...new Set(missing)].join('; ')}`;
    return { code: 'ENGINES_UNFIT', message: `No engine can run the workflow ${workflow}${what}` };
  }
  const setAside = inState('SET_ASIDE');
  if (setAside.length > 0) {
    const text = 'Every engine failed repeatedly and is tried again later';
    return { code: 'ENGINES_SET_ASIDE', message: say(text, setAside) };
  }
  const drained = inState('DRAINED');
  if (drained.length > 0) {
    return { code: 'ENGINES_DRAINED', message: say('Every engine is drained by an operator', drained) };
  }
  return {
    code: 'ENGINES_DOWN',
    message: say(`No engine has responded since ${inUtc(downSince(engines))}`, engines),
  };
}

/** When the last of these engines, which are all DOWN, stopped to respond. */
function downSince(engines: readonly EngineStatus[]): number {
  return Math.max(...engines.map(engine => engine.downSince ?? 0));
}

/** To the second: `2026-11-26 18:30:05 UTC`. */
function inUtc(time: number): string {
  return new Date(time)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
}

function inWords(problem: WorkflowProblem): string {
  const text = describeProblem(problem);
  return problem.kind === 'input-invalid' ? text : `an engine ${text}`;
}
