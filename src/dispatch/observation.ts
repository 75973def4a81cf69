import type { EngineEvent } from '../comfyui/events.ts';
import type { Job } from '../jobs/job.ts';
import { measure, observe, type ProgressState, remainingWeights, startProgress } from '../jobs/progress.ts';
import type { ProgressPlan } from '../workflows/bind/plan.ts';
import type { Pace } from './pace.ts';

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
  /** The job's progress now; `etaSeconds` is null until a similar job was measured. */
  progress(job: Job): {
    progress: number;
    stage: ReturnType<typeof measure>['stage'];
    step: number | null;
    totalSteps: number | null;
    etaSeconds: number | null;
  };
}

/** Follows one prompt through the events of its socket, and measures the speed of its nodes. */
export function createObserver(options: {
  promptId: string;
  plan: ProgressPlan;
  engine: string;
  pace: Pace;
  now: () => number;
  job: () => Job;
}): Observer {
  const { promptId, plan, pace, now } = options;
  let state: ProgressState = startProgress(plan);
  let started = false;
  let endedAt: number | null = null;
  let heardAt = now();
  let movedAt = now();
  let longestPause = 0;
  let preview: PreviewEvent | null = null;
  /** When the current node started, or its newest step ended. */
  let measuredFrom: { node: string; at: number; fraction: number } | null = null;

  function moved(next: ProgressState): void {
    if (next === state) return;
    const at = now();
    const node = plan.nodes[state.current ?? ''];
    if (measuredFrom !== null && node !== undefined && state.current === measuredFrom.node) {
      const reached = next.current === state.current && !next.done.has(measuredFrom.node) ? next.fraction : 1;
      const weight = node.weight * (reached - measuredFrom.fraction);
      // The first step of a sampler also loads the model: it says little about the others.
      const warmingUp = node.stage === 'SAMPLING' && measuredFrom.fraction === 0 && reached < 1;
      if (weight > 0 && !warmingUp) {
        pace.measured(options.engine, options.job(), node.stage, weight, (at - measuredFrom.at) / 1000);
      }
      if (weight > 0) measuredFrom = { node: measuredFrom.node, at, fraction: reached };
    }
    if (next.current !== null && next.current !== measuredFrom?.node) {
      measuredFrom = { node: next.current, at, fraction: next.fraction };
    }
    if (started) longestPause = Math.max(longestPause, at - movedAt);
    movedAt = at;
    state = next;
  }

  function begin(): void {
    if (started) return;
    started = true;
    movedAt = now();
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
        begin();
        moved(observe(state, { kind: 'cached', nodes: event.nodes }));
        return;
      case 'executing':
        begin();
        moved(observe(state, { kind: 'executing', node: event.node }));
        return;
      case 'stepped':
        begin();
        moved(observe(state, { kind: 'stepped', node: event.node, value: event.value, max: event.max }));
        return;
      case 'progress': {
        begin();
        let next = state;
        for (const { node, value, max, finished } of event.nodes) {
          if (finished) next = observe(next, { kind: 'finished', node });
          else if (value > 0) next = observe(next, { kind: 'stepped', node, value, max });
          else next = observe(next, { kind: 'executing', node });
        }
        moved(next);
        return;
      }
      case 'preview':
        preview = event;
        return;
      case 'executed':
        return;
      case 'idle':
      case 'succeeded':
      case 'failed':
      case 'interrupted':
        if (event.promptId === promptId) endedAt ??= now();
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
    progress(job) {
      const eta = started ? pace.remaining(options.engine, job, remainingWeights(state)) : null;
      return { ...measure(state), etaSeconds: eta === null ? null : Math.round(eta * 10) / 10 };
    },
  };
}
