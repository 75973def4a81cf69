import type { PlanNode, ProgressPlan } from '../../workflows/bind/plan.ts';
import { STAGES, type Stage } from '../../workflows/manifest.ts';
import { nodeKey } from './durations.ts';
import { type Expectation, NOTHING_KNOWN } from './expectation.ts';
import {
  besidesSteps,
  byWeight,
  type Current,
  coldOf,
  loadersOf,
  type ProgressState,
  paceOf,
  remainingSeconds,
  share,
  upstreamOf,
} from './remaining.ts';

/** What an engine reports about its nodes, whichever version of the protocol it uses. */
export type NodeReport =
  /** The engine started to execute the prompt. */
  | { kind: 'started' }
  /** The results of these nodes are cached; the others that are needed will run. */
  | { kind: 'cached'; nodes: readonly string[] }
  /** This node starts, or started unheard before (`late`); the one before it is done. */
  | { kind: 'executing'; node: string; late?: boolean }
  /** `value` of `max` steps of this node are done. */
  | { kind: 'stepped'; node: string; value: number; max: number }
  | { kind: 'finished'; node: string };

export interface Progress {
  /** Percent of the run's time, 0 … 100. Rises between reports, too. */
  readonly progress: number;
  /** The stage that the time goes into; null until one takes noticeable time. */
  readonly stage: Stage | null;
  /** Sampler steps done and requested; null before the sampler. */
  readonly step: number | null;
  readonly totalSteps: number | null;
  /** Seconds until the end; null while nothing comparable was measured. */
  readonly etaSeconds: number | null;
}

/** Nodes that take less than this share of the run, and less than this time, do not change the stage. */
const NOTICEABLE_SHARE = 0.02;
const NOTICEABLE_MS = 1_000;
/** The state before the first report. */
export function startProgress(plan: ProgressPlan, expected: Expectation = NOTHING_KNOWN): ProgressState {
  const loaders = loadersOf(plan);
  const [done, ran] = [new Set<string>(), new Set<string>()];
  return {
    plan,
    nodes: Object.entries(plan.nodes),
    loaders,
    cold: coldOf({ loaders, ran, done }),
    expected,
    startedAt: null,
    done,
    ran,
    cacheKnown: false,
    current: null,
    step: null,
    totalSteps: null,
    pace: null,
    measured: [],
    reached: 0,
    stage: null,
  };
}

/**
 * Applies one report that came at `at`, in milliseconds since 1970. Late and repeated reports change nothing, nor do
 * those of nodes that are not in the plan (an engine expands some nodes into others).
 */
export function observe(before: ProgressState, report: NodeReport, at: number): ProgressState {
  const next = take(before.startedAt === null ? { ...before, startedAt: at } : before, report, at);
  if (next === before) return before;
  const { progress, stage } = measure(before, at);
  return { ...next, reached: progress, stage };
}

function take(state: ProgressState, report: NodeReport, at: number): ProgressState {
  switch (report.kind) {
    case 'started':
      return state;
    case 'cached': {
      const cached = report.nodes.filter(node => isNode(state, node));
      return { ...withDone(state, [...cached, ...unneeded(state.plan, new Set(cached))]), cacheKnown: true };
    }
    case 'finished':
      return report.node === state.current?.id ? leave(state, at) : withDone(state, [report.node]);
    case 'executing': {
      if (report.node === state.current?.id) return state;
      const left = leave(state, at, report.late);
      if (!isNode(state, report.node) || left.done.has(report.node)) return left;
      const { node: id } = report;
      const ran = new Set([...left.ran, id]);
      // What it needs is done, heard or not.
      const before = withDone(left, upstreamOf(state.plan, id));
      return {
        ...before,
        ran,
        cold: coldOf({ ...before, ran }),
        current: { id, since: at, exact: report.late !== true, fraction: 0, steppedAt: at, first: null },
      };
    }
    case 'stepped': {
      if (!isNode(state, report.node) || state.done.has(report.node)) return state;
      return step(take(state, { kind: 'executing', node: report.node }, at), report, at);
    }
    default:
      return report satisfies never;
  }
}

function step(
  state: ProgressState,
  report: Extract<NodeReport, { kind: 'stepped' }>,
  at: number,
): ProgressState {
  const { current, plan } = state;
  if (current === null) return state;
  const sampler = plan.samplerNodes.includes(report.node);
  const fraction = Math.max(current.fraction, report.max > 0 ? clamp(report.value / report.max, 0, 1) : 0);
  if (fraction === current.fraction && (!sampler || state.totalSteps === Math.trunc(report.max)))
    return state;
  const first = current.first ?? (fraction > 0 ? { at, fraction } : null);
  const steppedAt = fraction > current.fraction ? at : current.steppedAt;
  const next = { ...state, current: { ...current, fraction, steppedAt, first } };
  // Other nodes may count steps of their own, which are not those that the caller requested.
  if (!sampler) return next;
  return {
    ...next,
    step: Math.max(state.step ?? 0, Math.trunc(report.value)),
    totalSteps: Math.trunc(report.max),
    pace: paceOf(next.current, plan.steps) ?? state.pace,
  };
}

/** The current node is done; at an unknown time before `at` if `late`. */
function leave(state: ProgressState, at: number, late = false): ProgressState {
  const { current, plan } = state;
  const node = plan.nodes[current?.id ?? ''];
  if (current === null || node === undefined || state.done.has(current.id)) return state;
  const done = withDone(state, [current.id]);
  if (late || !current.exact || !state.cacheKnown) return done;
  const cold = state.cold.has(current.id);
  const key = nodeKey(current.id, node);
  const total = Math.max(0, at - current.since) / 1000;
  const pace = plan.samplerNodes.includes(current.id) ? paceOf(current, plan.steps) : null;
  const fresh = { key, cold, seconds: total, step: null };
  const sample =
    node.stage !== 'SAMPLING'
      ? fresh
      : {
          ...fresh,
          seconds: Math.max(0, total - (pace?.seconds ?? 0) * plan.steps),
          step: pace?.seconds ?? null,
        };
  // A sampler of a single step does not tell the step from the loading before it.
  const measured = node.stage === 'SAMPLING' && pace === null ? state.measured : [...state.measured, sample];
  return { ...done, measured };
}

/** How far the run is at a time in milliseconds since 1970. Never falls as time passes. */
export function measure(state: ProgressState, at: number): Progress {
  const { elapsed, remaining } = timeAt(state, at);
  const progress = remaining === null ? byWeight(state) : share(elapsed, remaining) * 100;
  return {
    progress: clamp(Math.max(state.reached, progress), 0, 100),
    stage: stageAt(state, at),
    step: state.step,
    totalSteps: state.totalSteps,
    etaSeconds: remaining,
  };
}

/** Seconds since the start and until the end at a time; null: the latter is unknown. */
function timeAt(state: ProgressState, at: number): { elapsed: number; remaining: number | null } {
  const elapsed = state.startedAt === null ? 0 : Math.max(0, at - state.startedAt) / 1000;
  return { elapsed, remaining: remainingSeconds(state, elapsed, at) };
}

function stageAt(state: ProgressState, at: number): Stage | null {
  const { current, plan, stage: shown } = state;
  const node = plan.nodes[current?.id ?? ''];
  if (current === null || node === undefined) return shown;
  if (shown !== null && STAGES.indexOf(node.stage) <= STAGES.indexOf(shown)) return shown;
  return isNoticeable(state, current, node, at) ? node.stage : shown;
}

function isNoticeable(state: ProgressState, { id, since }: Current, node: PlanNode, at: number): boolean {
  if (node.stage === 'SAMPLING' || at - since >= NOTICEABLE_MS) return true;
  const seconds = besidesSteps(state, id, node);
  // Of the run as it was expected to be when the node began: a run that takes longer would take the stage back.
  const { elapsed, remaining } = timeAt(state, since);
  if (seconds !== null && remaining !== null) return seconds >= NOTICEABLE_SHARE * (elapsed + remaining);
  const weights = Object.values(state.plan.nodes).reduce((sum, { weight }) => sum + weight, 0);
  return node.weight >= NOTICEABLE_SHARE * weights;
}

/** The nodes that will not run, as only cached ones take their results. */
function unneeded({ nodes }: ProgressPlan, cached: ReadonlySet<string>): string[] {
  const taken = new Set(Object.values(nodes).flatMap(({ needs }) => needs));
  const needed = new Set(Object.keys(nodes).filter(id => !taken.has(id) && !cached.has(id)));
  for (const id of needed)
    for (const source of nodes[id]?.needs ?? []) if (!cached.has(source)) needed.add(source);
  return Object.keys(nodes).filter(id => !needed.has(id));
}

function isNode({ plan: { nodes } }: ProgressState, id: string): boolean {
  return Object.hasOwn(nodes, id);
}

function withDone(state: ProgressState, nodes: readonly string[]): ProgressState {
  const fresh = nodes.filter(node => isNode(state, node) && !state.done.has(node));
  if (fresh.length === 0) return state;
  const sampled = fresh.some(node => state.plan.samplerNodes.includes(node));
  const done = new Set([...state.done, ...fresh]);
  return {
    ...state,
    done,
    cold: coldOf({ ...state, done }),
    step: sampled ? state.totalSteps : state.step,
  };
}

function clamp(value: number, low: number, high: number): number {
  return Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : low;
}
