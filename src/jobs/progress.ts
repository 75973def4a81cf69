import type { ProgressPlan } from '../workflows/bind/plan.ts';
import type { Stage } from '../workflows/manifest.ts';

/** What an engine reports about its nodes, whichever version of the protocol it uses. */
export type NodeReport =
  /** The results of these nodes are cached. */
  | { kind: 'cached'; nodes: readonly string[] }
  /** This node starts; the one before it is done. */
  | { kind: 'executing'; node: string }
  /** `value` of `max` steps of this node are done. */
  | { kind: 'stepped'; node: string; value: number; max: number }
  | { kind: 'finished'; node: string };

export interface ProgressState {
  readonly plan: ProgressPlan;
  readonly done: ReadonlySet<string>;
  readonly current: string | null;
  /** How much of the current node is done, 0 … 1. */
  readonly fraction: number;
  readonly step: number | null;
  readonly totalSteps: number | null;
}

export interface Progress {
  /** Percent of the whole job, 0 … 100. */
  readonly progress: number;
  readonly stage: Stage | null;
  /** Sampler steps done and requested; null before the sampler. */
  readonly step: number | null;
  readonly totalSteps: number | null;
}

/** The state before the first report. */
export function startProgress(plan: ProgressPlan): ProgressState {
  return { plan, done: new Set(), current: null, fraction: 0, step: null, totalSteps: null };
}

/**
 * Applies one report. Late and repeated reports change nothing, nor do those of nodes that are not in the plan (an
 * engine expands some nodes into others).
 */
export function observe(state: ProgressState, report: NodeReport): ProgressState {
  switch (report.kind) {
    case 'cached':
      return withDone(state, report.nodes);
    case 'finished':
      return withDone(state, [report.node]);
    case 'executing': {
      if (report.node === state.current) return state;
      const before = state.current === null ? state : withDone(state, [state.current]);
      if (!(report.node in state.plan.nodes) || before.done.has(report.node)) return before;
      return { ...before, current: report.node, fraction: 0 };
    }
    case 'stepped': {
      if (!(report.node in state.plan.nodes) || state.done.has(report.node)) return state;
      const entered = observe(state, { kind: 'executing', node: report.node });
      const fraction = report.max > 0 ? clamp(report.value / report.max, 0, 1) : 0;
      const sampler = state.plan.samplerNodes.includes(report.node);
      return {
        ...entered,
        fraction: Math.max(entered.fraction, fraction),
        // Other nodes may count steps of their own, which are not those that the caller requested.
        step: sampler ? Math.max(entered.step ?? 0, Math.trunc(report.value)) : entered.step,
        totalSteps: sampler ? Math.trunc(report.max) : entered.totalSteps,
      };
    }
    default:
      return report satisfies never;
  }
}

export function measure(state: ProgressState): Progress {
  let total = 0;
  let reached = 0;
  for (const [node, { weight }] of Object.entries(state.plan.nodes)) {
    total += weight;
    if (state.done.has(node)) reached += weight;
    else if (node === state.current) reached += weight * state.fraction;
  }
  return {
    progress: total > 0 ? clamp((reached / total) * 100, 0, 100) : 0,
    stage: state.current === null ? null : (state.plan.nodes[state.current]?.stage ?? null),
    step: state.step,
    totalSteps: state.totalSteps,
  };
}

/** Remaining weight by stage, in the units of the plan. */
export function remainingWeights(state: ProgressState): ReadonlyMap<Stage, number> {
  const remaining = new Map<Stage, number>();
  for (const [node, { stage, weight }] of Object.entries(state.plan.nodes)) {
    if (state.done.has(node)) continue;
    const left = node === state.current ? weight * (1 - state.fraction) : weight;
    remaining.set(stage, (remaining.get(stage) ?? 0) + left);
  }
  return remaining;
}

function withDone(state: ProgressState, nodes: readonly string[]): ProgressState {
  const fresh = nodes.filter(node => node in state.plan.nodes && !state.done.has(node));
  if (fresh.length === 0) return state;
  const done = new Set(state.done);
  for (const node of fresh) done.add(node);
  const sampled = fresh.some(node => state.plan.samplerNodes.includes(node));
  return {
    ...state,
    done,
    // A finished node stays current, so that the stage stays until the next node starts.
    fraction: state.current !== null && done.has(state.current) ? 0 : state.fraction,
    step: sampled ? state.totalSteps : state.step,
  };
}

function clamp(value: number, low: number, high: number): number {
  return Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : low;
}
