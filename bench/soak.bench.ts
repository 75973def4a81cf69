import { setTimeout as delay } from 'node:timers/promises';
import { createRandom } from '../test/support/random.ts';
import {
  atMost,
  type Bar,
  type Bench,
  type BenchContext,
  type Findings,
  judged,
  row,
} from './support/measurement.ts';
import type { Health } from './support/probe.ts';
import { picture } from './support/rig.ts';
import { FAULTS, type Fault, type Stage, startStage } from './support/soak/stage.ts';
import { type End, receiveVisitors, type Visitors } from './support/soak/visitors.ts';
import { percentile } from './support/statistics.ts';

const JOBS = Number(process.env.SOAK_JOBS ?? 2_000);
const IN_FLIGHT = 24;
const LONG = 10_000;
/** Fewer faults in a short soak would not meet every kind. */
const FAULT_EVERY_MS = JOBS < LONG ? 3_000 : 10_000;
const SAMPLES = 60;
const NOTE_EVERY_MS = 10_000;
/** Part of each sample that is compared: the second and the last fifth. What comes first is a warm-up. */
const FIFTH = 0.2;
/** How a job may end when engines are killed under it. */
const EXPLAINED = new Set([null, 'ENGINE_LOST']);

export const bench: Bench = {
  title: 'A long run with faults',
  about:
    `${JOBS.toLocaleString('en')} sandbox jobs (SOAK_JOBS sets the number), ${IN_FLIGHT} at a time, over two gateways, a Redis ` +
    'and two engines, with watchers coming and going over WebSockets and SSE, and in turn: ' +
    `${FAULTS.join(', ')}. Measured is the gateway that is never restarted. Growth is the median of the last fifth ` +
    'of the samples over that of the second fifth.',
  runs: 1,
  measure,
};

interface Sample extends Health {
  /** Jobs that had ended. */
  readonly jobs: number;
}

async function measure(context: BenchContext): Promise<Findings> {
  if (!(Number.isInteger(JOBS) && JOBS >= 100)) throw new Error('SOAK_JOBS takes an integer of 100 or more');
  const stage = await startStage();
  const visitors = receiveVisitors(stage.urls, await picture(), createRandom(1));
  try {
    const soaked = await soak(stage, visitors, context);
    return findings(soaked);
  } finally {
    await visitors.stop();
    await stage.stop();
  }
}

interface Soaked {
  readonly ends: ReadonlyMap<string, number>;
  readonly faults: number;
  readonly lateStops: number;
  readonly seconds: number;
  readonly samples: readonly Sample[];
}

async function soak(stage: Stage, visitors: Visitors, context: BenchContext): Promise<Soaked> {
  const begun = performance.now();
  const seconds = (): number => (performance.now() - begun) / 1000;
  const ends = new Map<string, number>();
  const samples: Sample[] = [];
  const over = new AbortController();
  let submitted = 0;
  let ended = 0;
  let faults = 0;
  let sampling: Promise<void> = Promise.resolve();

  function sample(): void {
    const jobs = ended;
    sampling = sampling.then(async () => {
      samples.push({ jobs, ...(await stage.steady.health()) });
    });
  }

  async function keepVisiting(): Promise<void> {
    while (submitted < JOBS) {
      submitted += 1;
      const name = nameOf(await visitors.visit());
      ends.set(name, (ends.get(name) ?? 0) + 1);
      ended += 1;
      if (ended % Math.ceil(JOBS / SAMPLES) === 0) sample();
    }
  }

  async function keepStriking(): Promise<void> {
    const { signal } = over;
    while (await wait(FAULT_EVERY_MS, signal)) {
      await stage.strike((FAULTS[faults % FAULTS.length] satisfies Fault | undefined) ?? 'engine killed');
      faults += 1;
    }
  }

  async function keepNoting(): Promise<void> {
    while (await wait(NOTE_EVERY_MS, over.signal)) {
      const done = `${ended.toLocaleString('en')} of ${JOBS.toLocaleString('en')} jobs`;
      const left = ((JOBS - ended) / ended) * (seconds() / 60);
      const resident = ((samples.at(-1)?.resident ?? 0) / 2 ** 20).toFixed(0);
      context.note(
        `${done}, ${(ended / seconds()).toFixed(0)} a second, ${left.toFixed(0)} min left, ${faults} faults, ${resident} MiB, ${JSON.stringify(Object.fromEntries(ends))}`,
      );
    }
  }

  // The first call starts the measurement of the event loop.
  await stage.steady.health();
  const beside = Promise.all([keepStriking(), keepNoting()]);
  try {
    await Promise.all(Array.from({ length: IN_FLIGHT }, keepVisiting));
    await sampling;
  } finally {
    over.abort();
    await beside;
  }
  return { ends, faults, lateStops: stage.lateStops, seconds: seconds(), samples };
}

/** False once the signal aborted. */
async function wait(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await delay(ms, undefined, { signal });
    return true;
  } catch {
    // An aborted delay rejects with nothing else.
    return false;
  }
}

function nameOf(end: End): string {
  switch (end.kind) {
    case 'ended':
      return EXPLAINED.has(end.code) ? (end.code ?? 'completed') : `ended with ${end.code}`;
    case 'lost':
    case 'stuck':
    case 'no image':
      return end.kind;
    default:
      return end satisfies never;
  }
}

const MIB = 2 ** 20;
/** A process is warm after some thousand jobs: a shorter soak has no bars for growth. */
const flat = (bar: number): Bar | null => (JOBS < LONG ? null : atMost(bar));

function findings({ ends, faults, lateStops, seconds, samples }: Soaked): Findings {
  const count = (name: string): number => ends.get(name) ?? 0;
  const explained = count('completed') + count('ENGINE_LOST');
  const all = [...ends.values()].reduce((sum, one) => sum + one, 0);
  const growth = (pick: (sample: Sample) => number): number => {
    const part = (from: number): number =>
      percentile(
        samples
          .slice(Math.floor(samples.length * from), Math.ceil(samples.length * (from + FIFTH)))
          .map(pick),
        0.5,
      );
    return part(1 - FIFTH) / part(FIFTH);
  };
  const rowOf = (name: string, unit: string, pick: (sample: Sample) => number) =>
    row(name, unit, samples.map(pick));
  const line = (name: string, pick: (sample: Sample) => number) => ({
    name,
    points: samples.map(sample => ({ x: sample.jobs, y: pick(sample) })),
  });
  const jobs = { label: 'jobs that have ended', scale: 'linear' } as const;
  return {
    rows: [
      row('jobs', '', [all]),
      row('completed', '', [count('completed')]),
      row('failed with ENGINE_LOST, its engine killed thrice', '', [count('ENGINE_LOST')]),
      row('faults', '', [faults]),
      row('duration', 'min', [seconds / 60]),
      row('throughput', 'jobs/s', [all / seconds]),
      rowOf('resident memory', 'MiB', ({ resident }) => resident / MIB),
      rowOf('heap after a collection', 'MiB', ({ heap }) => heap / MIB),
      rowOf('descriptors', '', ({ descriptors }) => descriptors),
      rowOf('timers', '', ({ timers }) => timers),
      rowOf('handles', '', ({ handles }) => handles),
      rowOf('event-loop delay, p99', 'ms', ({ delayP99 }) => delayP99),
      rowOf('event-loop delay, maximum', 'ms', ({ delayMax }) => delayMax),
    ],
    ratios: [
      judged('lost', count('lost'), atMost(0)),
      judged('stops of a gateway that took over 20 s', lateStops, atMost(0)),
      judged('stuck', count('stuck'), atMost(0)),
      judged('other ends', all - explained - count('lost') - count('stuck'), atMost(0)),
      judged(
        'growth of resident memory',
        growth(({ resident }) => resident),
        flat(1.1),
      ),
      judged(
        'growth of the heap',
        growth(({ heap }) => heap),
        flat(1.1),
      ),
      judged(
        'growth of descriptors',
        growth(({ descriptors }) => descriptors),
        flat(1.1),
      ),
      judged(
        'growth of timers',
        growth(({ timers }) => timers),
        flat(1.1),
      ),
      judged(
        'growth of handles',
        growth(({ handles }) => handles),
        flat(1.1),
      ),
      judged(
        'growth of the event-loop delay, p99',
        growth(({ delayP99 }) => delayP99),
        flat(1.25),
      ),
    ],
    plots: [
      {
        file: 'soak-memory',
        title: 'Memory of a gateway over a long run with faults',
        x: jobs,
        y: { label: 'MiB', scale: 'linear' },
        series: [
          line('resident', ({ resident }) => resident / MIB),
          line('heap, collected', ({ heap }) => heap / MIB),
        ],
      },
      {
        file: 'soak-handles',
        title: 'What a gateway holds over a long run with faults',
        x: jobs,
        y: { label: 'number', scale: 'linear' },
        series: [
          line('descriptors', ({ descriptors }) => descriptors),
          line('handles', ({ handles }) => handles),
          line('timers', ({ timers }) => timers),
        ],
      },
      {
        file: 'soak-delay',
        title: 'Event-loop delay of a gateway over a long run with faults',
        x: jobs,
        y: { label: 'milliseconds', scale: 'linear' },
        series: [line('p99', ({ delayP99 }) => delayP99), line('maximum', ({ delayMax }) => delayMax)],
      },
    ],
  };
}
