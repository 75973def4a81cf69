import type { Caller, Job } from '../jobs/job.ts';
import type { Clock } from '../jobs/ports.ts';
import type { WaitReason } from '../jobs/waiting.ts';
import { describeProblem, type WorkflowProblem } from '../workflows/check/engine.ts';
import type { EngineStatus } from './engines/engine.ts';

/** What is known around a job that waits. Times are milliseconds since 1970. */
export interface Around {
  readonly at: number;
  /** Jobs ahead of it; null when it has a lane. */
  readonly ahead: number | null;
  readonly engines: readonly EngineStatus[];
  /** Whether the reader may see the addresses of engines and what is wrong with each. */
  readonly operator: boolean;
}

/** Engines change state rarely, and each poll of a waiting job asks for the reason. Milliseconds. */
const FRESH_MS = 250;

/** Looks up why a job waits; null unless it is QUEUED. */
export function createWaiting(options: {
  readonly ahead: (job: Job) => Promise<number | null>;
  readonly engines: () => readonly EngineStatus[];
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
    return waitReason(job, { at, ahead: await options.ahead(job), engines, operator });
  };
}

/** Why a job waits; null unless it is QUEUED. Pure. */
export function waitReason(job: Job, around: Around): WaitReason | null {
  if (job.status !== 'QUEUED') return null;
  if (job.lane !== null) {
    return { code: 'ENGINE_QUEUE', message: 'Sent to an engine, which has another prompt to finish first' };
  }
  const { at, ahead, engines } = around;
  if (job.notBefore !== null && job.notBefore > at) {
    const seconds = Math.ceil((job.notBefore - at) / 1000);
    return { code: 'PAUSED', message: `Its engine was lost: it runs again in ${seconds} s` };
  }
  const { workflow } = job.request;
  if (!engines.some(engine => engine.state === 'READY' && engine.workflows.includes(workflow))) {
    return withoutEngine(workflow, around);
  }
  if (ahead !== null && ahead > 0) {
    return { code: 'JOBS_AHEAD', message: ahead === 1 ? '1 job is ahead' : `${ahead} jobs are ahead` };
  }
  return { code: 'LANES_BUSY', message: 'It is next: every engine that can run it is busy' };
}

/** No engine can take the job now. The nearest to taking it gives the reason. */
function withoutEngine(workflow: string, { engines, operator }: Around): WaitReason {
  const inState = (...states: EngineStatus['state'][]): EngineStatus[] =>
    engines.filter(({ state }) => states.includes(state));
  /** `text`, and for operators which engines and why. */
  const say = (text: string, which: readonly EngineStatus[]): string => {
    if (!operator) return text;
    const details = which.map(({ id, reason }) => (reason === null ? id : `${id}: ${reason}`));
    return `${text} (${details.join('; ')})`;
  };

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
  return { code: 'ENGINES_DOWN', message: say('No engine responds', engines) };
}

function inWords(problem: WorkflowProblem): string {
  const text = describeProblem(problem);
  return problem.kind === 'input-invalid' ? text : `an engine ${text}`;
}
