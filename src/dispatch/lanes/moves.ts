import { canRun, type IdleLanes, lanesOf } from '../../jobs/claims.ts';
import { StoreUnavailable } from '../../jobs/errors.ts';
import { type Job, outranks } from '../../jobs/job.ts';
import type { Clock, Ledger } from '../../jobs/ports.ts';
import type { Log } from '../../log.ts';
import type { Engine } from '../engines/engine.ts';
import type { Warmth } from './warmth.ts';

type Runner = Pick<Engine, 'id' | 'canRun' | 'leaving'>;

/** Decides which jobs, next in the queue of an engine and not begun, go back to the queue of all. */
export interface Moves {
  /**
   * Why the job should leave `engine`, which has had it since `since`; null: it should not. Because the engine leaves, an idle engine
   * can take the job, or a waiting job of a higher priority its place. That other engine or job is a reason for no other job
   * meanwhile; the reason holds for a moment, and none of these follows within a minute.
   */
  reasonFor(job: Job, engine: Runner, since: number): Promise<string | null>;
}

export interface MovesOptions {
  readonly ledger: Pick<Ledger, 'inLanes' | 'idleElsewhere' | 'waiting'>;
  /** Engines of this process that have nothing to do, and found nothing in the queue. */
  readonly idle: () => readonly Runner[];
  readonly warmth: Pick<Warmth, 'of'>;
  /** How long a job waits before it moves to an engine that would have to load its models, in milliseconds. */
  readonly patienceMs: number;
  readonly now: Clock;
  readonly log: Log;
}

/** A decision about a job. */
interface Move {
  readonly from: string;
  /** The id of the engine that it may go to, or of the job that takes its place. */
  readonly cause: string | typeof ELSEWHERE;
  readonly reason: string;
  readonly at: number;
}

/** How long a job is next at least, in milliseconds: it may be about to begin. Also how often the store is asked. */
const NEXT_MS = 1_000;
/** How long a reason holds, in milliseconds. */
const HOLDS_MS = 5_000;
/** A job that did not gain by its move, because others were faster, does not move again and again. */
const AGAIN_MS = 60_000;

/** What the log of a job says that an engine gives back because it leaves. */
export function whyLeft({ id, leaving }: Pick<Engine, 'id' | 'leaving'>): string {
  return `${id} leaves: ${leaving() ?? 'it is removed'}`;
}

/** The cause of a move to an engine of another process. */
const ELSEWHERE = Symbol('elsewhere');
const IDLE = 'another engine is idle';
const OUTRANKED = 'a job of a higher priority waits';

/** Starts without having decided anything. */
export function createMoves({ ledger, idle, warmth, patienceMs, now, log }: MovesOptions): Moves {
  /** By job. */
  const moves = new Map<string, Move>();
  const firstWaiting = oncePerSecond<readonly Job[]>(() => ledger.waiting(1), []);
  const idleElsewhere = oncePerSecond<readonly IdleLanes[]>(() => ledger.idleElsewhere(), []);

  function forgetOld(at: number): void {
    for (const [job, move] of moves) if (at - move.at >= AGAIN_MS) moves.delete(job);
  }

  const isCause = (id: string, at: number): boolean =>
    [...moves.values()].some(move => move.cause === id && at - move.at < HOLDS_MS);

  /** What the store says; `otherwise` while it does not respond. */
  async function ask<T>(question: Promise<T>, otherwise: T): Promise<T> {
    try {
      return await question;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      log.debug({ err: error }, 'cannot tell whether a job should leave its engine: it stays');
      return otherwise;
    }
  }

  /** The answer to a question that the store is asked once a second at most. */
  function oncePerSecond<T>(question: () => Promise<T>, otherwise: T): (at: number) => Promise<T> {
    let last: { readonly at: number; readonly answer: Promise<T> } | null = null;
    return at => {
      if (last === null || at - last.at >= NEXT_MS) last = { at, answer: ask(question(), otherwise) };
      return last.answer;
    };
  }

  function idleEngineFor({ request }: Job, own: Runner, at: number, waited: number): Runner | undefined {
    return idle().find(
      engine =>
        engine.id !== own.id &&
        !isCause(engine.id, at) &&
        engine.canRun(request.workflow, request.workflowVersion) &&
        (waited >= patienceMs || warmth.of(engine.id).includes(request.workflow)),
    );
  }

  /** Decides that the job goes to an idle engine of this process, if one can take it. */
  async function moveHere(job: Job, own: Runner, at: number, waited: number): Promise<string | null> {
    const engine = idleEngineFor(job, own, at, waited);
    if (engine === undefined) return null;
    const reason = move(job, own, at, engine.id, IDLE);
    // Jobs in lanes of other processes are known to the store only.
    if ((await ask(ledger.inLanes(lanesOf(engine.id)), [job])).length === 0) return reason;
    moves.delete(job.id);
    return null;
  }

  /** Decides the same for idle engines of other processes, if there are more of them than jobs that are about to go to such. */
  async function moveElsewhere(job: Job, own: Runner, at: number, waited: number): Promise<string | null> {
    const { workflow, workflowVersion } = job.request;
    const able = (await idleElsewhere(at)).filter(({ cannot }) => canRun(cannot, workflow, workflowVersion));
    const counts = able.map(({ engines, warm }) =>
      waited >= patienceMs ? engines : Math.min(engines, warm[workflow] ?? 0),
    );
    const going = [...moves.values()].filter(one => one.cause === ELSEWHERE && at - one.at < HOLDS_MS);
    if (counts.reduce((sum, count) => sum + count, 0) <= going.length) return null;
    return move(job, own, at, ELSEWHERE, IDLE);
  }

  /** Decides that a waiting job takes its place, if one may. */
  async function moveOver(job: Job, own: Runner, at: number): Promise<string | null> {
    if (job.priority === 'HIGH') return null;
    const [waiting] = await firstWaiting(at);
    if (waiting === undefined || !mayTakePlace(waiting, job, own, at)) return null;
    return move(job, own, at, waiting.id, OUTRANKED);
  }

  function move({ id }: Job, own: Runner, at: number, cause: Move['cause'], why: string): string {
    const reason = `${why}, and ${own.id} has not begun it`;
    moves.set(id, { from: own.id, cause, reason, at });
    return reason;
  }

  function mayTakePlace(waiting: Job, job: Job, own: Runner, at: number): boolean {
    const { request, suspect, notBefore, lostOn } = waiting;
    return (
      outranks(waiting, job) &&
      !suspect &&
      (notBefore ?? 0) <= at &&
      lostOn !== own.id &&
      own.canRun(request.workflow, request.workflowVersion) &&
      !isCause(waiting.id, at)
    );
  }

  return {
    async reasonFor(job, own, since) {
      if (own.leaving() !== null) return whyLeft(own);
      if (job.suspect) return null;
      const at = now();
      forgetOld(at);
      const before = moves.get(job.id);
      if (before !== undefined)
        return before.from === own.id && at - before.at < HOLDS_MS ? before.reason : null;
      const waited = at - since;
      if (waited < NEXT_MS) return null;
      return (
        (await moveHere(job, own, at, waited)) ??
        (await moveElsewhere(job, own, at, waited)) ??
        (await moveOver(job, own, at))
      );
    },
  };
}
