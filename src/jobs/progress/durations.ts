import { z } from 'zod';
import type { PlanNode, RunShape } from '../../workflows/bind/plan.ts';

/** The last measurements of one quantity in seconds, the newest last. Their median stands for them: an outlier counts little. */
const measured = z.array(z.number().min(0)).max(5);

const nodeDurations = z.object({
  /** With the models that it uses in place, and in runs that loaded them. For samplers: besides the steps. */
  warm: measured,
  cold: measured,
  /** Samplers: of one requested step. */
  step: measured.optional(),
});

const shapeDurations = z.object({
  workflow: z.string(),
  images: z.number(),
  pixels: z.number(),
  tokens: z.number(),
  passes: z.union([z.literal(1), z.literal(2)]),
  /** By `nodeKey`. */
  nodes: z.record(z.string(), nodeDurations),
  /** Whole jobs, as requested steps and seconds. */
  jobs: z.array(z.tuple([z.number().min(1), z.number().min(0)])).max(5),
});

const engineDurations = z.object({
  engine: z.string(),
  /** As the engine names it: `cpu`, `cuda:0 …`; null when unknown. */
  device: z.string().nullable(),
  /** The shapes that ran last, the newest first. */
  shapes: z.array(shapeDurations),
});

export type NodeDurations = z.infer<typeof nodeDurations>;
export type ShapeDurations = z.infer<typeof shapeDurations>;
/** What runs took on one engine. */
export type EngineDurations = z.infer<typeof engineDurations>;

/** What one run showed. */
export interface RunSample {
  readonly workflow: string;
  readonly shape: RunShape;
  /** Only nodes that ran to their end. */
  readonly nodes: readonly {
    readonly key: string;
    /** Whether a model that it uses was loaded in this run. */
    readonly cold: boolean;
    /** For samplers: besides the steps. */
    readonly seconds: number;
    /** Samplers: of one requested step; null when too few were seen. */
    readonly step: number | null;
  }[];
  /** The whole job, from its start to its stored images; null if it did not complete. */
  readonly job: { readonly steps: number; readonly seconds: number } | null;
}

const KEPT = 5;
/** Shapes kept per engine; the one that ran longest ago is dropped. One takes about a kilobyte. */
const SHAPES_PER_ENGINE = 32;
/** Areas that differ by less are one shape: the aspect of an image changes the area a little. */
const SAME_AREA = 0.03;

/** The name of a node in the records: an edited graph may use its id for another class. */
export function nodeKey(id: string, { classType }: Pick<PlanNode, 'classType'>): string {
  return `${id} ${classType}`;
}

/** An engine of which nothing is known yet. */
export function noDurations(engine: string, device: string | null): EngineDurations {
  return { engine, device, shapes: [] };
}

/** Reads stored durations; null when they are not in this version's form. */
export function readDurations(text: string): EngineDurations | null {
  try {
    return engineDurations.parse(JSON.parse(text));
  } catch {
    // Written by another version: they are learned again.
    return null;
  }
}

/** Adds a run to what is known of its engine. */
export function learn(known: EngineDurations, sample: RunSample): EngineDurations {
  const before = known.shapes.find(
    shape => shape.workflow === sample.workflow && isSameShape(shape, sample.shape),
  );
  const nodes = { ...before?.nodes };
  for (const { key, cold, seconds, step } of sample.nodes) {
    const old = nodes[key] ?? { warm: [], cold: [] };
    const steps = step === null ? old.step : add(old.step ?? [], step);
    nodes[key] = {
      warm: cold ? old.warm : add(old.warm, seconds),
      cold: cold ? add(old.cold, seconds) : old.cold,
      ...(steps === undefined ? {} : { step: steps }),
    };
  }
  const jobs = [...(before?.jobs ?? [])];
  if (sample.job !== null) jobs.push([sample.job.steps, round(sample.job.seconds)]);
  const shape: ShapeDurations = {
    ...(before ?? { workflow: sample.workflow, ...sample.shape }),
    nodes,
    jobs: jobs.slice(-KEPT),
  };
  const others = known.shapes.filter(other => other !== before);
  return { ...known, shapes: [shape, ...others].slice(0, SHAPES_PER_ENGINE) };
}

/** Whether runs of both take the same time, steps aside. */
export function isSameShape(one: RunShape, other: RunShape): boolean {
  return (
    one.images === other.images &&
    one.passes === other.passes &&
    Math.abs(Math.log(one.pixels / other.pixels)) < SAME_AREA &&
    Math.abs(Math.log(one.tokens / other.tokens)) < SAME_AREA
  );
}

/** How unlike two shapes are; 0 for the same. */
export function distance(one: RunShape, other: RunShape): number {
  return (
    Math.abs(Math.log(one.tokens / other.tokens)) +
    Math.abs(Math.log(one.pixels / other.pixels)) +
    Math.abs(one.images - other.images) / 2 +
    Math.abs(one.passes - other.passes)
  );
}

/** Null of none. */
export function median(values: readonly number[] | undefined): number | null {
  if (values === undefined || values.length === 0) return null;
  const sorted = values.toSorted((left, right) => left - right);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}

/** The seconds of a whole job of this shape, from jobs with other numbers of steps too; null when none was measured. */
export function wholeJob(shape: ShapeDurations, steps: number): number | null {
  const perStep = Object.values(shape.nodes)
    .map(node => median(node.step))
    .filter(step => step !== null)
    .reduce((sum, step) => sum + step, 0);
  // Without steps that were seen, all of the time counts as steps.
  return median(
    shape.jobs.map(([counted, seconds]) =>
      perStep > 0 ? Math.max(0, seconds + (steps - counted) * perStep) : (seconds / counted) * steps,
    ),
  );
}

/** The seconds that the nodes of a run took because models were loaded: all of a loader, and what others took more. */
export function loadingSeconds({ nodes }: Pick<ShapeDurations, 'nodes'>): number {
  return Object.entries(nodes)
    .map(([key, { warm, cold }]) => {
      // A loader whose model is in place does not run.
      const usual = median(warm) ?? (isLoader(key) ? 0 : null);
      const loading = median(cold);
      return usual === null || loading === null ? 0 : Math.max(0, loading - usual);
    })
    .reduce((sum, seconds) => sum + seconds, 0);
}

/** Of the name of a node's class, or the `nodeKey` of a node. */
export function isLoader(name: string): boolean {
  return name.includes('Loader');
}

function add(values: readonly number[], value: number): number[] {
  return [...values, round(value)].slice(-KEPT);
}

function round(seconds: number): number {
  return Math.round(Math.max(0, seconds) * 1000) / 1000;
}
