import { computed, effect, type ReadonlySignal } from '@preact/signals';
import type { Jobs } from '../jobs/jobs.ts';
import { texts } from '../texts.ts';
import type { Session } from './session.ts';

/** What the caller uses of its limits. */
export interface Limits {
  /** A text for each limit; empty where there is none. */
  readonly lines: ReadonlySignal<readonly string[]>;
  stop(): void;
}

/** Edits change together, as when a batch ends: what is used is read once for them, after this many milliseconds. */
const SETTLE_MS = 500;

/** Reads what is used again when one of the newest edits changes its status. */
export function createLimits({ session, jobs }: { readonly session: Session; readonly jobs: Jobs }): Limits {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const lines = computed(() => {
    const { limits = null, used = null } = session.caller.value ?? {};
    if (limits === null || used === null) return [];
    const { waitingJobs, runningJobs, megapixelStepsPerDay } = limits;
    return [
      ...(waitingJobs === null ? [] : [texts.limits.waiting(used.waitingJobs, waitingJobs)]),
      ...(runningJobs === null ? [] : [texts.limits.running(used.runningJobs, runningJobs)]),
      ...(megapixelStepsPerDay === null
        ? []
        : [texts.limits.work(used.megapixelSteps, megapixelStepsPerDay, used.resetsAt)]),
    ];
  });
  const statuses = computed(() =>
    jobs.list.value.map(({ id, snapshot }) => `${id} ${snapshot.value.status}`).join(),
  );
  let known = statuses.peek();
  const stopReading = effect(() => {
    const present = statuses.value;
    if (present === known) return;
    known = present;
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (lines.peek().length > 0) void session.identify();
    }, SETTLE_MS);
  });
  return {
    lines,
    stop() {
      stopReading();
      clearTimeout(timer);
    },
  };
}
