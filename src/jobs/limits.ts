import type { RunningLimits } from './claims.ts';
import type { EditRequest, JobPriority, Policy } from './job.ts';

/** Why a policy rejects a submit, which keeps nothing of it. */
export interface PolicyFailure {
  readonly code: 'LIMIT_REACHED' | 'NOT_ALLOWED';
  readonly message: string;
  /** The field that is not allowed. */
  readonly field: string | null;
  readonly retryAfterSeconds: number | null;
  readonly limit?: LimitReached;
}

/** What a submit is checked against in the store, together with its write. */
export interface SubmitLimits {
  readonly waiting: number | null;
  /** In thousandths of megapixel-steps. */
  readonly workPerDay: number | null;
}

/** What a caller uses of its limits. */
export interface Usage {
  /** Jobs that have not started. */
  readonly waiting: number;
  /** Jobs in lanes: those that run, and those that are next on their engine. */
  readonly running: number;
  /** Submitted since 00:00 UTC, in thousandths of megapixel-steps. */
  readonly work: number;
}

export const LIMITS = ['WAITING_JOBS', 'MEGAPIXEL_STEPS_PER_DAY'] as const;
export type LimitName = (typeof LIMITS)[number];

/** A limit that a submit would exceed. */
export interface LimitReached {
  readonly limit: LimitName;
  readonly allowed: number;
  readonly used: number;
  /** When a submit may succeed again, in milliseconds since 1970: an estimate for jobs, exact for work. */
  readonly freeAt: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const PIXELS_PER_MEGAPIXEL = 1024 ** 2;

/** The number of the day in UTC, which counters are kept by. */
export function dayOf(time: number): number {
  return Math.floor(time / DAY_MS);
}

/** When the counters of the day begin again. */
export function nextDay(time: number): number {
  return (dayOf(time) + 1) * DAY_MS;
}

/**
 * What an edit takes of a day's work, in thousandths of megapixel-steps, rounded up: the size of the result, or of image 1
 * where the graph decides it, in units of 1024 × 1024 pixels, times the steps.
 */
export function workOf({ megapixels, steps, images }: EditRequest): number {
  const [first] = images;
  const size = megapixels ?? (first === undefined ? 0 : (first.width * first.height) / PIXELS_PER_MEGAPIXEL);
  return Math.ceil(Math.round(size * steps * 1e6) / 1e3);
}

/** Thousandths in the unit that callers know. */
export function inMegapixelSteps(work: number): number {
  return work / 1000;
}

export function submitLimits(policy: Policy | null | undefined): SubmitLimits | null {
  if (policy == null || (policy.waiting === null && policy.megapixelStepsPerDay === null)) return null;
  const { waiting, megapixelStepsPerDay } = policy;
  return { waiting, workPerDay: megapixelStepsPerDay === null ? null : megapixelStepsPerDay * 1000 };
}

/** What these policies allow to run, for claims. */
export function runningLimits(policies: Iterable<Policy>): RunningLimits {
  // Not by assignment, which would lose the name `__proto__`.
  return Object.fromEntries(
    [...policies].flatMap(({ name, running }) => (running === null ? [] : [[name, running]])),
  );
}

const RANK: Readonly<Record<JobPriority, number>> = { LOW: 0, NORMAL: 1, HIGH: 2 };

/** The priority of an edit under a policy: NORMAL, the default, is as much as the caller may have. */
export function priorityUnder(policy: Policy | null | undefined, wanted: JobPriority): JobPriority {
  const highest = policy?.highestPriority ?? null;
  return wanted === 'NORMAL' && highest === 'LOW' ? 'LOW' : wanted;
}

/** Why a policy does not allow an edit, whatever is used; null when it does. */
export function forbidden(
  policy: Policy | null | undefined,
  { workflow, priority, work }: { workflow: string; priority: JobPriority; work?: number },
): PolicyFailure | null {
  if (policy == null) return null;
  const { highestPriority, workflows, megapixelStepsPerDay } = policy;
  if (workflows !== null && !workflows.some(pattern => matches(pattern, workflow))) {
    return notAllowed(`${workflow} is not allowed for you: ${workflows.join(', ')} are`, 'workflow');
  }
  if (highestPriority !== null && RANK[priorityUnder(policy, priority)] > RANK[highestPriority]) {
    return notAllowed(`takes at most ${highestPriority} from you, got ${priority}`, 'priority');
  }
  if (work !== undefined && megapixelStepsPerDay !== null && work > megapixelStepsPerDay * 1000) {
    return notAllowed(tooMuchWork(work, megapixelStepsPerDay), null);
  }
  return null;
}

/** The patterns of policies that none of these workflows matches, with their policies. */
export function unmatchedPatterns(
  policies: Iterable<Policy>,
  names: readonly string[],
): { readonly policy: string; readonly pattern: string }[] {
  return [...policies].flatMap(({ name: policy, workflows }) =>
    (workflows ?? [])
      .filter(pattern => !names.some(name => matches(pattern, name)))
      .map(pattern => ({ policy, pattern })),
  );
}

/**
 * The limit that more jobs with this work would exceed; null: none. What is used has to be read and written in one
 * transaction, so that two submits cannot both have the last place.
 */
export function exceeded(
  { waiting, workPerDay }: SubmitLimits,
  used: Pick<Usage, 'waiting' | 'work'>,
  more: { readonly jobs: number; readonly work: number },
): LimitName | null {
  if (waiting !== null && used.waiting + more.jobs > waiting) return 'WAITING_JOBS';
  if (workPerDay !== null && used.work + more.work > workPerDay) return 'MEGAPIXEL_STEPS_PER_DAY';
  return null;
}

/**
 * The failure of a submit that exceeds a limit: of `more` than the whole limit it never succeeds. `secondsToRoom`: when a waiting
 * job starts, about.
 */
export function limitFailure(
  limit: LimitName,
  limits: SubmitLimits,
  used: number,
  { jobs, work }: { readonly jobs: number; readonly work: number },
  { now, secondsToRoom }: { readonly now: number; readonly secondsToRoom: number },
): PolicyFailure {
  switch (limit) {
    case 'WAITING_JOBS': {
      const allowed = limits.waiting ?? 0;
      if (jobs > allowed) {
        const these = jobs === 1 ? 'This is 1 job' : `These are ${jobs} jobs`;
        return notAllowed(`${these}, and you may have ${allowed} waiting at the same time`, null);
      }
      return {
        code: 'LIMIT_REACHED',
        message: `You may have ${allowed === 1 ? '1 waiting job' : `${allowed} waiting jobs`}, and ${used} wait`,
        field: null,
        retryAfterSeconds: secondsToRoom,
        limit: { limit, allowed, used, freeAt: now + secondsToRoom * 1000 },
      };
    }
    case 'MEGAPIXEL_STEPS_PER_DAY': {
      const allowed = inMegapixelSteps(limits.workPerDay ?? 0);
      if (inMegapixelSteps(work) > allowed) return notAllowed(tooMuchWork(work, allowed), null);
      const freeAt = nextDay(now);
      const at = new Date(freeAt).toISOString().replace('T00:00:00.000Z', ' 00:00 UTC');
      return {
        code: 'LIMIT_REACHED',
        message: `You may submit ${allowed} megapixel-steps a day, have submitted ${inMegapixelSteps(used)}, and this takes ${inMegapixelSteps(work)}: the next day begins at ${at}`,
        field: null,
        retryAfterSeconds: Math.ceil((freeAt - now) / 1000),
        limit: { limit, allowed, used: inMegapixelSteps(used), freeAt },
      };
    }
    default:
      return limit satisfies never;
  }
}

function tooMuchWork(work: number, allowed: number): string {
  return `This takes ${inMegapixelSteps(work)} megapixel-steps, and you may submit ${allowed} a day`;
}

function notAllowed(message: string, field: string | null): PolicyFailure {
  return { code: 'NOT_ALLOWED', message, field, retryAfterSeconds: null };
}

/** Whether a name matches a pattern in which `*` stands for any characters. */
function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map(part => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}
