import type { Plot } from './plot.ts';
import { percentile, rounded } from './statistics.ts';

/** What a file `bench/<name>.bench.ts` exports as `bench`. */
export interface Bench {
  readonly title: string;
  /** What is measured, against what, and in which processes; a sentence or two. */
  readonly about: string;
  /** How often it measures when the command line does not say. */
  readonly runs: number;
  /** Starts what it needs and stops it again, also when it fails. */
  measure(context: BenchContext): Promise<Findings>;
  /** What the guard compares with the stored results; unset where a short run says nothing. */
  readonly guard?: Guard;
}

/** A run of a few seconds, for `npm run bench -- guard`. */
export interface Guard {
  /** Like `Bench.measure`, with less of everything. Only what `figures` names is read. */
  measure(context: BenchContext): Promise<Findings>;
  readonly figures: readonly GuardedFigure[];
}

/** One figure of a guard. */
export interface GuardedFigure {
  /** The name of a ratio or of a row, the same in the findings of the short run and of the full one. */
  readonly name: string;
  readonly better: 'lower' | 'higher';
  /** How far a short run may be from the stored figure by chance, as a share of that: 0.2 is a fifth. */
  readonly noise: number;
}

export interface BenchContext {
  /** How often to measure; 1 or more. */
  readonly runs: number;
  /** Says on stderr what is going on. */
  note(text: string): void;
}

export interface Findings {
  readonly rows: readonly Row[];
  readonly ratios: readonly Ratio[];
  /** Written to `docs/plots`. */
  readonly plots?: readonly Plot[];
}

/** One figure, as it was over the runs. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** How many figures the median is of. */
  readonly samples: number;
}

/** A figure that is judged: mostly ours over the peer's. */
export interface Ratio {
  readonly name: string;
  readonly value: number;
  /** Null when it has no bar. */
  readonly bar: Bar | null;
  /** Null without a bar. */
  readonly met: boolean | null;
}

export interface Bar {
  readonly relation: '<=' | '>=';
  readonly value: number;
}

export const atMost = (value: number): Bar => ({ relation: '<=', value });
export const atLeast = (value: number): Bar => ({ relation: '>=', value });

/** The row of these samples, rounded for reading; NaN of none. */
export function row(name: string, unit: string, samples: readonly number[]): Row {
  return {
    name,
    unit,
    median: rounded(percentile(samples, 0.5)),
    min: rounded(Math.min(...samples)),
    max: rounded(Math.max(...samples)),
    samples: samples.length,
  };
}

/** A row of the values that `pick` returns for each run. */
export function rowOf<Run>(
  runs: readonly Run[],
  name: string,
  unit: string,
  pick: (run: Run) => number,
): Row {
  return row(name, unit, runs.map(pick));
}

/** A value against its bar. A value that is no number meets none. */
export function judged(name: string, value: number, bar: Bar | null = null): Ratio {
  const met = bar === null ? null : bar.relation === '<=' ? value <= bar.value : value >= bar.value;
  return { name, value: rounded(value), bar, met };
}

/** Median over median, against its bar. */
export function ratio(name: string, ours: Row, theirs: Row, bar: Bar | null = null): Ratio {
  return judged(name, ours.median / theirs.median, bar);
}

/**
 * Calls `once` for each run, one after another, and gives what each found. What a run measures in turn (first the peer,
 * then ours) meets the same machine, however busy it is.
 */
export async function overRuns<T>(context: BenchContext, once: () => Promise<T>): Promise<T[]> {
  const found: T[] = [];
  for (let run = 1; run <= context.runs; run += 1) {
    context.note(`run ${run} of ${context.runs}`);
    found.push(await once());
  }
  return found;
}
