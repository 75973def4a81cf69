import type { JobEvent } from './advance.ts';
import { type Job, type JobPriority, TURN_MS } from './job.ts';

/** Proves that a lane is still held: taking it over changes the token. */
export interface Lease {
  readonly lane: string;
  /** Rises each time the lane changes hands (fencing). */
  readonly token: number;
}

/** How long the engine that was lost under a job leaves the job to others that could run it, in milliseconds. */
export const PREFERENCE_MS = 30_000;
/** Waiting jobs that one claim looks at, at most. */
export const LOOK_AT = 1_000;
/** How many jobs behind those that would be next may go first because their models are loaded. */
export const LOOK_AHEAD = 32;

/** The workflows that an engine cannot run. Jobs of a workflow that no longer exists fail with the reason on any engine. */
export interface Inability {
  /** Names of workflows. */
  readonly names: readonly string[];
  /** `workflowKey` of versions for which the opposite holds. */
  readonly except: readonly string[];
}

/** Of an engine that can run them all. */
export const NO_INABILITY: Inability = { names: [], except: [] };

/** Idle lanes that can run the same workflows. */
export interface IdleLanes {
  readonly cannot: Inability;
  /** Engines that have nothing to do. */
  readonly engines: number;
  /** The other idle lanes: an engine has one job already, or would have. */
  readonly spare: number;
  /** By the name of a workflow: how many of `engines` have its models loaded. */
  readonly warm: Readonly<Record<string, number>>;
}

/** An idle lane that asks for a job. */
export interface AskingLane {
  readonly lease: Lease;
  readonly engine: string;
  /** The id to request for the prompt. */
  readonly promptId: string;
  /** The index of its `IdleLanes`. */
  readonly group: number;
  /** Whether its engine has nothing else to do. */
  readonly alone: boolean;
  /** Names of the workflows whose models the engine has loaded. */
  readonly warm: readonly string[];
  /** Names of the workflows that no other engine can run now; null: of all. */
  readonly othersCannot: readonly string[] | null;
}

/** By the name of a policy: how many jobs of each of its callers lanes may hold at the same time, from 1. */
export type RunningLimits = Readonly<Record<string, number>>;

/** Where a job waits. */
export interface Place {
  /** Jobs queued before it, without those of other callers for as long as these are at the limit of their policy; 0: it is next. */
  readonly ahead: number;
  /** Set while lanes hold as many jobs of its caller as the caller's policy allows. */
  readonly limited: {
    readonly limit: number;
    /** How many of the jobs ahead are the caller's own. */
    readonly ahead: number;
  } | null;
}

/** What the idle lanes of one process ask for, all at once. */
export interface ClaimRequest {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** At most one lane per engine. */
  readonly lanes: readonly AskingLane[];
  /** All idle lanes, those that ask included. */
  readonly idle: readonly IdleLanes[];
  /** Of how many arrivals this process was told that it has not asked for yet. */
  readonly woken: number;
  /** How long a job may be passed over by later ones whose models are loaded, in milliseconds; 0: never. */
  readonly patienceMs: number;
  /** Unset: no policy limits how many jobs of a caller run. */
  readonly running?: RunningLimits | undefined;
}

export interface ClaimResult {
  /** Before and after the claim. */
  readonly claimed: readonly { readonly lane: string; readonly before: Job; readonly job: Job }[];
  /** When to ask again for a job that must wait until then, in milliseconds since 1970; null: there is none. */
  readonly againAt: number | null;
  /** Whether jobs were left that lanes like these can run. */
  readonly more: boolean;
  /** Whether a lane got nothing because a job has its engine for itself. */
  readonly blocked: boolean;
  /** Names of lanes that got nothing because they have a job, which their process does not know of. */
  readonly occupied: readonly string[];
}

/** What the choice depends on of a waiting job. */
export interface Candidate extends Pick<Job, 'id' | 'owner' | 'share' | 'suspect' | 'lostOn' | 'notBefore'> {
  readonly priority: JobPriority;
  readonly workflow: string;
  readonly workflowVersion: string;
  readonly score: number;
  /** When another job went first although its turn was later, in milliseconds since 1970; null: none has. */
  readonly passedAt: number | null;
}

/** `passedAt`: see there. `score`: its place in the queue. */
export function candidateOf(job: Job, score: number, passedAt: number | null): Candidate {
  const { workflow, workflowVersion } = job.request;
  return { ...job, workflow, workflowVersion, score, passedAt };
}

/** What the choice depends on of a lane. */
export type ChoosingLane = Pick<AskingLane, 'engine' | 'alone' | 'warm' | 'othersCannot'> & {
  readonly cannot: Inability;
  /** What idle engines that do not ask cannot run; empty when its own engine is idle. It leaves them what they can run. */
  readonly leavesTo: readonly Inability[];
};

export interface Assignment {
  /** Pairs of indices: of the lane, and the job for it. */
  readonly chosen: readonly { readonly lane: number; readonly job: string }[];
  /** Jobs that are passed over by this for the first time. */
  readonly passed: readonly string[];
  /** See `ClaimResult`. */
  readonly againAt: number | null;
  readonly more: boolean;
}

/**
 * What `assign` needs to know of the lanes that may take a job, which are `able`, some of those that ask. A call asks with a part
 * of the idle lanes, so it says how many engines are idle: without that, jobs of a burst would queue up on busy engines.
 */
export function choosingLanes<L extends AskingLane>(
  able: readonly L[],
  { lanes, idle }: Pick<ClaimRequest, 'lanes' | 'idle'>,
): (L & ChoosingLane)[] {
  const resting = idle.flatMap(({ cannot, engines }, index) => {
    const asking = lanes.filter(({ alone, group }) => alone && group === index).length;
    return engines > asking ? [cannot] : [];
  });
  return able.map(lane => ({
    ...lane,
    cannot: idle[lane.group]?.cannot ?? NO_INABILITY,
    leavesTo: lane.alone ? [] : resting,
  }));
}

/** The change of a job that a lane takes. */
export function claimedBy(
  { lease, engine, promptId }: Pick<AskingLane, 'lease' | 'engine' | 'promptId'>,
  at: number,
): Extract<JobEvent, { type: 'claimed' }> {
  return { type: 'claimed', at, lane: lease.lane, engine, promptId };
}

/** Names a version of a workflow. */
export function workflowKey(name: string, version: string): string {
  return `${version} ${name}`;
}

export function canRun({ names, except }: Inability, name: string, version: string): boolean {
  return names.includes(name) === except.includes(workflowKey(name, version));
}

/**
 * Chooses jobs for idle lanes of different engines. `waiting` are the jobs that should run next, best first. Pure.
 *
 * A lane takes the first job that its engine may run now. A later one goes first if the engine has its models loaded, unless it
 * has a lower or higher priority, belongs to a later turn of another caller, or the other has been passed over for
 * `patienceMs`. A job whose pause has not ended waits, and one under which an engine was lost is left to other engines, though
 * not for ever. Engines that have nothing to do come first, also those that do not ask.
 *
 * `slotsOf` says how many more jobs of a caller lanes may hold. The jobs of a caller for which that is 0 are left out: they are
 * neither looked at nor passed over, and no job waits for them.
 *
 * `adapters/redis/scripts/claim.ts` does the same within Redis; the adapters' contract compares the two.
 */
export function assign(
  lanes: readonly ChoosingLane[],
  waiting: Iterable<Candidate>,
  at: number,
  patienceMs: number,
  slotsOf: (owner: string) => number = unlimited,
): Assignment {
  const { candidates, againAt, cut } = candidatesFor(lanes, waiting, at, patienceMs, slotsOf);
  const free = new Set(lanes.keys());
  const given = new Map<Candidate, number>();
  const taken = new Map<string, number>();

  const give = (job: Candidate, lane: number | undefined): void => {
    if (lane === undefined) return;
    given.set(job, lane);
    free.delete(lane);
    if (job.owner !== null) taken.set(job.owner, (taken.get(job.owner) ?? 0) + 1);
  };
  const hasSlot = ({ owner }: Candidate): boolean =>
    owner === null || (taken.get(owner) ?? 0) < slotsOf(owner);
  const isDueIn = (index: number | undefined, job: Candidate): boolean => {
    const lane = index === undefined ? undefined : lanes[index];
    return lane !== undefined && isDue(job, lane, at);
  };
  const mayTake = (index: number, job: Candidate): boolean => hasSlot(job) && isDueIn(index, job);
  const isWarm = (index: number, job: Candidate): boolean =>
    lanes[index]?.warm.includes(job.workflow) === true;
  /** The best of these lanes: one with the models, else one without any, else the first. */
  const best = (job: Candidate, among: readonly number[]): number | undefined => {
    const able = among.filter(index => mayTake(index, job));
    return (
      able.find(index => isWarm(index, job)) ?? able.find(index => lanes[index]?.warm.length === 0) ?? able[0]
    );
  };
  const freeOnes = (alone: boolean): number[] => [...free].filter(index => lanes[index]?.alone === alone);

  for (const job of candidates) {
    if (patienceMs === 0 || job.passedAt === null || at - job.passedAt < patienceMs) continue;
    give(job, best(job, freeOnes(true)) ?? best(job, freeOnes(false)));
  }
  for (const alone of [true, false]) {
    for (const [n, job] of patienceMs > 0 ? candidates.entries() : []) {
      if (given.has(job)) continue;
      const lane = freeOnes(alone).find(index => mayTake(index, job) && isWarm(index, job));
      if (lane === undefined) continue;
      const before = candidates.slice(0, n).filter(other => !given.has(other) && mayTake(lane, other));
      if (before.every(other => mayGoBefore(job, other))) give(job, lane);
    }
    for (const job of candidates) if (!given.has(job)) give(job, best(job, freeOnes(alone)));
  }

  const passed = candidates.filter(
    (job, n) =>
      !given.has(job) &&
      job.passedAt === null &&
      candidates
        .slice(n + 1)
        // A later job of another caller does not pass one that waits because of its own caller's limit.
        .some(later => (hasSlot(job) || later.owner === job.owner) && isDueIn(given.get(later), job)),
  );
  return {
    chosen: [...given].map(([{ id }, lane]) => ({ lane, job: id })),
    passed: passed.map(({ id }) => id),
    againAt,
    more:
      candidates.some(job => !given.has(job) && hasSlot(job)) ||
      // The jobs of a caller that is at its limit now may have hidden others.
      (cut && [...given.keys()].some(job => !hasSlot(job))),
  };
}

function unlimited(): number {
  return Number.POSITIVE_INFINITY;
}

/**
 * The jobs that a lane may take now, at most so many more than lanes that one may go before another, and as many again of
 * callers that have fewer slots than jobs. `cut`: LOOK_AT was reached.
 */
function candidatesFor(
  lanes: readonly ChoosingLane[],
  waiting: Iterable<Candidate>,
  at: number,
  patienceMs: number,
  slotsOf: (owner: string) => number,
): { candidates: Candidate[]; againAt: number | null; cut: boolean } {
  const candidates: Candidate[] = [];
  const ahead = patienceMs > 0 ? LOOK_AHEAD : 1;
  const room = lanes.length + ahead;
  const counts = new Map<string, number>();
  let againAt: number | null = null;
  let [seen, counted, surplus] = [0, 0, 0];
  if (lanes.length === 0) return { candidates, againAt, cut: false };
  for (const job of waiting) {
    const slots = job.owner === null ? Number.POSITIVE_INFINITY : slotsOf(job.owner);
    if (slots <= 0) continue;
    let due = false;
    for (const lane of lanes) {
      const from = claimableFrom(job, lane);
      if (from === null) continue;
      if (at >= from) due = true;
      else againAt = Math.min(againAt ?? from, from);
    }
    if (due) {
      const nth = job.owner === null ? 0 : (counts.get(job.owner) ?? 0);
      if (job.owner !== null) counts.set(job.owner, nth + 1);
      if (nth < slots) counted += 1;
      else surplus += 1;
      if (nth < slots || surplus <= ahead) candidates.push(job);
    }
    seen += 1;
    if (counted === room || seen === LOOK_AT) break;
  }
  return { candidates, againAt, cut: seen === LOOK_AT };
}

function isDue(job: Candidate, lane: ChoosingLane, at: number): boolean {
  const from = claimableFrom(job, lane);
  return from !== null && at >= from;
}

/** From when on the lane may take the job, in milliseconds since 1970; null: never. */
function claimableFrom(
  job: Candidate,
  { engine, cannot, othersCannot, leavesTo }: ChoosingLane,
): number | null {
  const able = (of: Inability): boolean => canRun(of, job.workflow, job.workflowVersion);
  if (!able(cannot) || leavesTo.some(able)) return null;
  const from = job.notBefore ?? 0;
  if (job.lostOn !== engine) return from;
  return othersCannot === null || othersCannot.includes(job.workflow) ? from : from + PREFERENCE_MS;
}

/** Whether a job whose turn is later may go first because its models are loaded. Each caller's own jobs may. */
function mayGoBefore(later: Candidate, earlier: Candidate): boolean {
  if (later.priority !== earlier.priority) return false;
  return later.share === earlier.share || later.score < earlier.score + TURN_MS;
}

/** The name of a lane; the names of an engine's lanes begin with `lanesOf`. */
export function laneName(engine: string, index: number): string {
  return `${lanesOf(engine)}${index}`;
}

/** What the names of an engine's lanes begin with. */
export function lanesOf(engine: string): string {
  return `${engine}#`;
}

/**
 * What a job may do on its engine beside `others`, the jobs in the engine's other lanes: a suspect runs alone, so it waits
 * until they have ended, and others yield to it. Of two suspects the one in the lower lane goes first.
 *
 * A claim gives no lane a job while the engine has a suspect. This is for the jobs that were there when a suspect was claimed, and
 * for gateways of version 3 of the store, which claim without that. Correct across processes because each lane claims its job
 * before it reads the others: of two lanes that claim at the same time at least one sees the other.
 */
export function besideOthers(job: Job, others: readonly Job[]): 'go' | 'wait' | 'yield' {
  const suspects = others.filter(({ suspect }) => suspect);
  if (!job.suspect) return suspects.length > 0 ? 'yield' : 'go';
  if (suspects.some(other => laneIndex(other) < laneIndex(job))) return 'yield';
  return others.length > 0 ? 'wait' : 'go';
}

/** The number of a lane on its engine; the last for a job without one. */
function laneIndex({ lane }: Job): number {
  return lane === null ? Number.POSITIVE_INFINITY : Number(lane.slice(lane.lastIndexOf('#') + 1));
}
