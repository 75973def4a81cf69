import type { PlanNode, ProgressPlan, RunShape } from '../../workflows/bind/plan.ts';
import {
  distance,
  type EngineDurations,
  isSameShape,
  median,
  type NodeDurations,
  nodeKey,
  type ShapeDurations,
  wholeJob,
} from './durations.ts';

/** The seconds that a node will take; null where nothing comparable was measured. */
export interface ExpectedNode {
  /** With the models that it uses in place, and when this run loads them. For samplers: besides the steps. */
  readonly warm: number | null;
  readonly cold: number | null;
  /** Samplers: of all steps. */
  readonly steps: number | null;
}

/** What the runs before tell of a run. */
export interface Expectation {
  /** By node id; a missing node is one of which nothing is known. */
  readonly nodes: Readonly<Record<string, ExpectedNode>>;
  /** Seconds for each unit of weight, for the nodes of which nothing is known; null when that is unknown too. */
  readonly perWeight: number | null;
  /** The whole job; null when none like it was measured. */
  readonly whole: number | null;
}

/** Nothing was measured: the manifest's weights have to do. */
export const NOTHING_KNOWN: Expectation = { nodes: {}, perWeight: null, whole: null };

/**
 * How a sampler step grows with the number of tokens while fewer than two sizes were measured: between linear, as most
 * layers, and quadratic, as attention.
 */
const STEP_GROWTH = 1.3;

/** The nearest shapes that are looked at, of each kind. */
const CANDIDATES = 8;

/** A record that may stand for the run, with what of it is comparable. */
interface Candidate {
  readonly shape: ShapeDurations;
  /** Of the same workflow: its nodes are the same by name. Of another: by class. */
  readonly sameWorkflow: boolean;
  readonly same: boolean;
}

/**
 * What to expect of a run on an engine: per node the same shape on this engine, else the nearest shape, scaled; else what
 * was measured on engines with the same device or kind of device, or with other workflows.
 */
export function expectRun(
  plan: ProgressPlan,
  workflow: string,
  own: EngineDurations,
  others: readonly EngineDurations[],
): Expectation {
  const nearby = candidatesOf(own.shapes, plan.shape, workflow, true);
  // An engine that ran this shape tells best; the others are many.
  const kin = nearby.some(({ same }) => same) ? [] : kinOf(own, others, workflow);
  const kinShapes = kin.flatMap(({ shapes }) => shapes);
  const candidates = [
    ...nearby,
    ...candidatesOf(kinShapes, plan.shape, workflow, true),
    ...candidatesOf(own.shapes, plan.shape, workflow, false),
  ];
  const growth = stepGrowth(candidates.filter(({ sameWorkflow }) => sameWorkflow).map(({ shape }) => shape));
  const nodes: Record<string, ExpectedNode> = {};
  let seconds = 0;
  let weight = 0;
  for (const [id, node] of Object.entries(plan.nodes)) {
    const expected = expectNode(id, node, plan, candidates, growth);
    if (expected === null) continue;
    nodes[id] = expected;
    const usual = node.stage === 'SAMPLING' ? expected.steps : expected.warm;
    // Loading has little to do with what the weights compare.
    if (usual === null || node.stage === 'LOADING') continue;
    seconds += usual;
    weight += node.weight;
  }
  const best = candidates.find(({ sameWorkflow, shape }) => sameWorkflow && shape.jobs.length > 0);
  return {
    nodes,
    perWeight: weight > 0 ? seconds / weight : null,
    whole: best === undefined ? null : expectJob(best.shape, plan.shape, plan.steps),
  };
}

/** The other engines that ran the workflow on the same device, else those on a device of the same kind. */
function kinOf(
  own: EngineDurations,
  others: readonly EngineDurations[],
  workflow: string,
): EngineDurations[] {
  const ran = others.filter(
    ({ engine, shapes }) => engine !== own.engine && shapes.some(shape => shape.workflow === workflow),
  );
  const alike = ran.filter(({ device }) => device === own.device);
  return alike.length > 0 ? alike : ran.filter(({ device }) => kindOf(device) === kindOf(own.device));
}

/** `cpu`, `cuda`, … */
function kindOf(device: string | null): string | null {
  return device === null ? null : (/^\w+/.exec(device)?.[0] ?? device);
}

/** The seconds of a whole job, from one of the nearest shape; null when that has none. */
export function expectJob(from: ShapeDurations, to: RunShape, steps: number): number | null {
  const seconds = wholeJob(from, steps);
  return seconds === null ? null : seconds * stepScale(from, to, STEP_GROWTH);
}

/** The shape that is most like the target; null of none. */
export function nearest(shapes: readonly ShapeDurations[], target: RunShape): ShapeDurations | null {
  let best: ShapeDurations | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const shape of shapes) {
    const far = distance(shape, target);
    if (far < least) [best, least] = [shape, far];
  }
  return best;
}

/** The nearest first; among equals the newest. */
function candidatesOf(
  shapes: readonly ShapeDurations[],
  target: RunShape,
  workflow: string,
  sameWorkflow: boolean,
): Candidate[] {
  return shapes
    .filter(shape => (shape.workflow === workflow) === sameWorkflow)
    .map(shape => ({ shape, sameWorkflow, same: sameWorkflow && isSameShape(shape, target) }))
    .sort(
      (left, right) =>
        Number(right.same) - Number(left.same) ||
        distance(left.shape, target) - distance(right.shape, target),
    )
    .slice(0, CANDIDATES);
}

function expectNode(
  id: string,
  node: PlanNode,
  plan: ProgressPlan,
  candidates: readonly Candidate[],
  growth: number,
): ExpectedNode | null {
  let warm: number | null = null;
  let cold: number | null = null;
  let steps: number | null = null;
  /** A cold time of a shape without warm ones: better than nothing. */
  let coldForWarm: number | null = null;
  for (const { shape, sameWorkflow } of candidates) {
    const known = sameWorkflow ? shape.nodes[nodeKey(id, node)] : ofClass(shape, node.classType);
    if (known === undefined) continue;
    const scale = scaling(node, shape, plan.shape);
    const coldHere = scaled(median(known.cold), scale);
    const warmHere = scaled(median(known.warm) ?? warmSibling(shape, node), scale);
    coldForWarm ??= coldHere;
    // Loading takes as long for any shape.
    if (coldHere !== null && warm !== null && warmHere !== null)
      cold ??= warm + Math.max(0, coldHere - warmHere);
    cold ??= coldHere;
    warm ??= warmHere;
    const step = median(known.step);
    if (node.stage === 'SAMPLING' && step !== null) {
      steps ??= step * plan.steps * stepScale(shape, plan.shape, growth);
    }
  }
  if (node.stage === 'SAMPLING')
    return steps === null ? null : { warm: warm ?? 0, cold: cold ?? warm ?? 0, steps };
  warm ??= coldForWarm;
  return warm === null ? null : { warm, cold: cold ?? warm, steps: null };
}

/**
 * What a node takes without loading, known from another of its class in the same runs: the first of them loads the
 * model, the others find it loaded. Null when there is no other.
 */
function warmSibling(shape: ShapeDurations, { classType, stage }: PlanNode): number | null {
  if (stage === 'LOADING' || stage === 'SAMPLING') return null;
  const siblings = Object.entries(shape.nodes)
    .filter(([key]) => key.endsWith(` ${classType}`))
    .map(([, { warm, cold }]) => median(warm) ?? median(cold))
    .filter(seconds => seconds !== null);
  return siblings.length > 1 ? Math.min(...siblings) : null;
}

function ofClass(shape: ShapeDurations, classType: string): NodeDurations | undefined {
  return Object.entries(shape.nodes).find(([key]) => key.endsWith(` ${classType}`))?.[1];
}

/** How the time of a node, a sampler's steps aside, grows from one shape to another. */
function scaling(node: PlanNode, from: RunShape, to: RunShape): number {
  switch (node.stage) {
    case 'LOADING':
    case 'SAMPLING':
      return 1;
    case 'ENCODING': {
      if (node.perImage === 0) return to.pixels / from.pixels;
      const present = node.weight;
      const before = present + node.perImage * (from.images - to.images);
      return before > 0 ? present / before : 1;
    }
    case 'DECODING':
    case 'SAVING':
      return to.pixels / from.pixels;
    default:
      return node.stage satisfies never;
  }
}

function stepScale(from: RunShape, to: RunShape, growth: number): number {
  return (to.passes / from.passes) * (to.tokens / from.tokens) ** growth;
}

/** The exponent by which a sampler step grows with the tokens: from the two most different sizes measured. */
function stepGrowth(shapes: readonly ShapeDurations[]): number {
  const measured = shapes
    .map(({ tokens, passes, nodes }) => {
      const steps = Object.values(nodes).flatMap(node => median(node.step) ?? []);
      return { tokens, perPass: steps.reduce((sum, step) => sum + step, 0) / passes };
    })
    .filter(({ perPass }) => perPass > 0)
    .sort((left, right) => left.tokens - right.tokens);
  const smallest = measured[0];
  const largest = measured.at(-1);
  if (smallest === undefined || largest === undefined || largest.tokens < 1.2 * smallest.tokens)
    return STEP_GROWTH;
  const growth = Math.log(largest.perPass / smallest.perPass) / Math.log(largest.tokens / smallest.tokens);
  return Math.min(2, Math.max(0.5, growth));
}

function scaled(seconds: number | null, scale: number): number | null {
  return seconds === null ? null : seconds * scale;
}
