import type { PlanNode, ProgressPlan } from '../../workflows/bind/plan.ts';
import type { Stage } from '../../workflows/manifest.ts';
import { isLoader, type RunSample } from './durations.ts';
import type { Expectation } from './expectation.ts';

/** The node that runs. Times are milliseconds since 1970. */
export interface Current {
  readonly id: string;
  readonly since: number;
  /** Whether its start was heard: else it started before `since`. */
  readonly exact: boolean;
  /** How much of its steps is done, 0 … 1, and since when. */
  readonly fraction: number;
  readonly steppedAt: number;
  /** When its first step was done, and how much that was. */
  readonly first: { readonly at: number; readonly fraction: number } | null;
}

/** How far a run is. A report makes a new state. */
export interface ProgressState {
  readonly plan: ProgressPlan;
  /** The nodes of the plan: each step of the engine goes through them. */
  readonly nodes: readonly (readonly [id: string, node: PlanNode])[];
  /** By node the loaders of the models that it uses, itself included. */
  readonly loaders: ReadonlyMap<string, readonly string[]>;
  /** The nodes of which a model is loaded in this run, see `coldOf`. */
  readonly cold: ReadonlySet<string>;
  readonly expected: Expectation;
  /** Null before the first report. */
  readonly startedAt: number | null;
  readonly done: ReadonlySet<string>;
  /** The nodes that were seen to run. */
  readonly ran: ReadonlySet<string>;
  /** Whether the engine told which nodes are cached. */
  readonly cacheKnown: boolean;
  readonly current: Current | null;
  readonly step: number | null;
  readonly totalSteps: number | null;
  /** The seconds of a sampler step in this run, and of how many steps that is the mean. */
  readonly pace: { readonly seconds: number; readonly steps: number } | null;
  readonly measured: RunSample['nodes'];
  /** The highest percentage and the last stage so far: neither goes back. */
  readonly reached: number;
  readonly stage: Stage | null;
}

/** A node that takes longer than expected counts as almost done, not as done. */
const ALMOST = 0.05;
/** How many steps of this run the steps of earlier runs weigh. */
const TRUST_IN_PAST = 2;

/** The seconds until the end of the run at a time; null while the time of some node is unknown. */
export function remainingSeconds(state: ProgressState, elapsed: number, at: number): number | null {
  const { nodes, expected } = state;
  // Of an engine that reports no nodes the whole is all that is known.
  if (!state.cacheKnown && state.ran.size === 0 && expected.whole !== null) {
    return Math.max(expected.whole - elapsed, expected.whole * ALMOST);
  }
  let seconds = 0;
  for (const [id, node] of nodes) {
    if (state.done.has(id)) continue;
    const left =
      id === state.current?.id ? leftOfCurrent(state, state.current, node, at) : whole(state, id, node);
    if (left === null) return null;
    seconds += left;
  }
  return seconds;
}

function whole(state: ProgressState, id: string, node: PlanNode): number | null {
  const besides = besidesSteps(state, id, node);
  if (node.stage !== 'SAMPLING') return besides;
  const steps = stepSeconds(state, id, node);
  return steps === null ? null : steps * state.plan.steps + (besides ?? 0);
}

/** The expected seconds of a node; of a sampler, besides its steps. */
export function besidesSteps(state: ProgressState, id: string, node: PlanNode): number | null {
  const known = state.expected.nodes[id];
  const seconds = known === undefined ? null : state.cold.has(id) ? known.cold : known.warm;
  if (seconds !== null || node.stage === 'SAMPLING') return seconds;
  const perWeight = secondsPerWeight(state);
  return perWeight === null ? null : perWeight * node.weight;
}

/** The seconds of one requested step: those of earlier runs, and more and more those of this one. */
function stepSeconds(state: ProgressState, id: string, node: PlanNode): number | null {
  const { plan, pace } = state;
  const known = state.expected.nodes[id]?.steps ?? null;
  const past = known === null ? null : known / plan.steps;
  if (pace === null) {
    if (past !== null) return past;
    const { perWeight } = state.expected;
    return perWeight === null ? null : (perWeight * node.weight) / plan.steps;
  }
  if (past === null) return pace.seconds;
  return (TRUST_IN_PAST * past + pace.steps * pace.seconds) / (TRUST_IN_PAST + pace.steps);
}

function secondsPerWeight({ plan, pace, expected }: ProgressState): number | null {
  if (expected.perWeight !== null) return expected.perWeight;
  const sampler = plan.nodes[plan.samplerNodes[0] ?? ''];
  if (pace === null || sampler === undefined || sampler.weight === 0) return null;
  return (pace.seconds * plan.steps) / sampler.weight;
}

function leftOfCurrent(
  state: ProgressState,
  { id, since, fraction, steppedAt }: Current,
  node: PlanNode,
  at: number,
): number | null {
  const idle = Math.max(0, at - steppedAt) / 1000;
  if (node.stage === 'SAMPLING') {
    const each = stepSeconds(state, id, node);
    if (each === null) return null;
    const steps = each * state.plan.steps;
    if (fraction > 0) return almost(steps * (1 - fraction), idle, each);
    const lead = besidesSteps(state, id, node) ?? 0;
    return steps - each + almost(lead + each, idle, lead + each);
  }
  if (fraction > 0) {
    const needed = Math.max(0, steppedAt - since) / 1000 / fraction;
    return almost(needed * (1 - fraction), idle, needed * (1 - fraction));
  }
  const seconds = besidesSteps(state, id, node);
  return seconds === null ? null : almost(seconds, idle, seconds);
}

/** What is left of `seconds` after `passed`; at least a little of the part that now runs. */
function almost(seconds: number, passed: number, part: number): number {
  return Math.max(seconds - passed, Math.max(0, seconds - part) + Math.min(seconds, part) * ALMOST);
}

/** Percent by the manifest's weights alone. */
export function byWeight({ nodes, done, current }: ProgressState): number {
  let total = 0;
  let reached = 0;
  for (const [id, { weight }] of nodes) {
    total += weight;
    if (done.has(id)) reached += weight;
    else if (id === current?.id) reached += weight * current.fraction;
  }
  return share(reached, total - reached) * 100;
}

/** The nodes of which a model is loaded in this run. They change only when a node begins or ends. */
export function coldOf({
  loaders,
  ran,
  done,
}: Pick<ProgressState, 'loaders' | 'ran' | 'done'>): ReadonlySet<string> {
  const isLoaded = (loader: string): boolean => ran.has(loader) || !done.has(loader);
  return new Set([...loaders.keys()].filter(id => loaders.get(id)?.some(isLoaded)));
}

/** `ProgressState.loaders` of a plan. Once a run, because every step of the engine needs them for every node. */
export function loadersOf(plan: ProgressPlan): ReadonlyMap<string, readonly string[]> {
  const isLoading = (id: string): boolean => {
    const node = plan.nodes[id];
    return node !== undefined && node.stage === 'LOADING' && isLoader(node.classType);
  };
  return new Map(Object.keys(plan.nodes).map(id => [id, [id, ...upstreamOf(plan, id)].filter(isLoading)]));
}

/** The seconds of a requested step, of `steps`. The first step may load the model: it says little about the others. */
export function paceOf({ first, steppedAt, fraction }: Current, steps: number): ProgressState['pace'] {
  if (first === null || fraction <= first.fraction) return null;
  const counted = (fraction - first.fraction) * steps;
  return { seconds: (steppedAt - first.at) / 1000 / counted, steps: counted };
}

/** Every node whose result a node takes, directly or not. */
export function upstreamOf({ nodes }: ProgressPlan, id: string): string[] {
  const found = new Set(nodes[id]?.needs);
  // Iterating over a set also visits the entries that are added meanwhile.
  for (const source of found) for (const next of nodes[source]?.needs ?? []) found.add(next);
  found.delete(id);
  return [...found].filter(source => source in nodes);
}

/** How much `part` is of both, 0 … 1. */
export function share(part: number, rest: number): number {
  return part + rest > 0 ? part / (part + rest) : 0;
}
