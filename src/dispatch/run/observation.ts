import type { EngineEvent } from '../../comfyui/events.ts';
import type { RunSample } from '../../jobs/progress/durations.ts';
import type { Expectation } from '../../jobs/progress/expectation.ts';
import {
  measure,
  type NodeReport,
  observe,
  type Progress,
  startProgress,
} from '../../jobs/progress/progress.ts';
import type { ProgressPlan } from '../../workflows/bind/plan.ts';

type PreviewEvent = Extract<EngineEvent, { type: 'preview' }>;

/** What the events of one run have shown so far. Times are milliseconds since 1970. */
export interface Observation {
  /** The engine has started to execute it. */
  readonly started: boolean;
  /** When an event reported its end; null before. */
  readonly endedAt: number | null;
  /** When the last event of this prompt came, and when a node or step last advanced. */
  readonly heardAt: number;
  readonly movedAt: number;
  /** The longest time without progress while it ran, in milliseconds: how slow this job's steps are. */
  readonly longestPause: number;
  /** The newest preview that was not stored yet. */
  readonly preview: PreviewEvent | null;
}

export interface Observer {
  readonly seen: Observation;
  /** Takes in an event; those of other prompts are ignored. */
  take(event: EngineEvent): void;
  /** A look found the prompt running. */
  foundRunning(): void;
  takePreview(): PreviewEvent | null;
  /** The job's progress now; null while it is about what was returned the last time. */
  progress(): Progress | null;
  /** When, in milliseconds since 1970, `progress` is worth another look although no event came. */
  tickAt(): number;
  /** The run is over: what was measured is learned unless it was before. */
  over(): void;
}

/** The progress moves between events by so much of the run at a time, within these bounds. */
const TICK_SHARE = 0.02;
const TICK_MIN_MS = 250;
const TICK_MAX_MS = 1_000;
/** A change of the percentage that is worth a change of the job while stage and step stay. */
const WORTH_PERCENT = 1;

/** Follows one prompt through the events of its socket. `startedAt` is when it started if an earlier process saw that. */
export function createObserver(options: {
  promptId: string;
  plan: ProgressPlan;
  /** What earlier runs tell of this one; more may be known a moment later. */
  expect: () => Expectation;
  /** Called at most once, when the prompt has ended, with the nodes that ran to their end. */
  learn: (nodes: RunSample['nodes']) => void;
  startedAt: number | null;
  now: () => number;
}): Observer {
  const { promptId, plan, now } = options;
  let state = startProgress(plan);
  let learned = false;
  let started = false;
  let endedAt: number | null = null;
  let heardAt = now();
  let movedAt = now();
  let longestPause = 0;
  let preview: PreviewEvent | null = null;
  let returned: Progress | null = null;
  let checkedAt = 0;

  function report(...reports: readonly NodeReport[]): void {
    begin();
    const at = now();
    if (reports.some(({ kind }) => kind === 'executing')) state = { ...state, expected: options.expect() };
    const next = reports.reduce((before, one) => observe(before, one, at), state);
    if (next === state) return;
    longestPause = Math.max(longestPause, at - movedAt);
    movedAt = at;
    state = next;
  }

  function begin(): void {
    if (started) return;
    started = true;
    movedAt = now();
    state = { ...state, expected: options.expect() };
    state = observe(state, { kind: 'started' }, Math.min(now(), options.startedAt ?? now()));
  }

  function over(): void {
    if (learned || state.measured.length === 0) return;
    learned = true;
    options.learn(state.measured);
  }

  function take(event: EngineEvent): void {
    if (!('promptId' in event) || (event.promptId !== null && event.promptId !== promptId)) return;
    // A preview without an id is ours while our prompt runs: an engine runs one at a time.
    if (event.type === 'preview' && event.promptId === null && (!started || endedAt !== null)) return;
    heardAt = now();
    switch (event.type) {
      case 'started':
        begin();
        return;
      case 'cached':
        report({ kind: 'cached', nodes: event.nodes });
        return;
      case 'executing':
        // Without an id it greets a new socket: the node started before.
        report({ kind: 'executing', node: event.node, late: event.promptId === null });
        return;
      case 'stepped':
        report({ kind: 'stepped', node: event.node, value: event.value, max: event.max });
        return;
      case 'progress':
        report(
          ...event.nodes.map(({ node, value, max, finished }): NodeReport => {
            if (finished) return { kind: 'finished', node };
            return value > 0 ? { kind: 'stepped', node, value, max } : { kind: 'executing', node };
          }),
        );
        return;
      case 'preview':
        preview = event;
        return;
      case 'executed':
        return;
      case 'succeeded':
        // Old versions do not report the end of the last node.
        if (started && state.current !== null) report({ kind: 'finished', node: state.current.id });
        endedAt ??= now();
        over();
        return;
      case 'idle':
      case 'failed':
      case 'interrupted':
        if (event.promptId !== promptId) return;
        endedAt ??= now();
        over();
        return;
      default:
        event satisfies never;
    }
  }

  return {
    get seen() {
      return { started, endedAt, heardAt, movedAt, longestPause, preview };
    },
    take,
    foundRunning: begin,
    takePreview() {
      const taken = preview;
      preview = null;
      return taken;
    },
    progress() {
      checkedAt = now();
      const next = measure(state, endedAt ?? checkedAt);
      const isNews =
        returned === null ||
        next.stage !== returned.stage ||
        next.step !== returned.step ||
        next.totalSteps !== returned.totalSteps ||
        next.progress >= returned.progress + WORTH_PERCENT ||
        (next.etaSeconds === null) !== (returned.etaSeconds === null);
      if (!isNews) return null;
      returned = next;
      const { etaSeconds } = next;
      return { ...next, etaSeconds: etaSeconds === null ? null : Math.round(etaSeconds * 10) / 10 };
    },
    tickAt() {
      if (!started || endedAt !== null) return Number.POSITIVE_INFINITY;
      const { progress, etaSeconds } = returned ?? measure(state, now());
      if (etaSeconds === null) return Number.POSITIVE_INFINITY;
      const total = (etaSeconds * 1000) / Math.max(0.01, 1 - progress / 100);
      return checkedAt + Math.min(TICK_MAX_MS, Math.max(TICK_MIN_MS, total * TICK_SHARE));
    },
    over,
  };
}
