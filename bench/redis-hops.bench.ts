import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { scriptsFor } from '../src/adapters/redis/scripts/index.ts';
import { type Hops, type Passed, takeHops } from './support/hops.ts';
import { ask } from './support/ipc.ts';
import { type HeardStep, hearSteps, withLiveStage } from './support/live.ts';
import { type Bench, type BenchContext, type Findings, overRuns, row } from './support/measurement.ts';
import type { ServerProcess } from './support/processes.ts';
import { mean, percentile } from './support/statistics.ts';

const JOBS = 16;
const HOPS_MODULE = new URL('support/hops.ts', import.meta.url).href;
/** The share of the steps that count as the slowest. */
const SLOWEST = 0.02;
/** All commands of a run. */
const COMMANDS_KEPT = 100_000;

export const bench: Bench = {
  title: 'Where the time goes from the engine to a subscriber of another gateway',
  about:
    `As redis-live: ${JOBS} jobs submitted on gateway A, run by B, watched on C. Each process notes when a step is read from or ` +
    'written to its sockets, by one clock. A hop ends where the next begins, so the hops of a step sum up to its latency; ' +
    'percentiles do not. Beside ours, in turn, the same hops without gateways (see redis-live). The time of the script is what Redis itself logs.',
  runs: 3,
  measure,
};

const HOPS = [
  'engine → B: its event on the wire until it is read',
  'B: read, decide, until the commit is written',
  'Redis: commit written by B until its message is read by C',
  'C: read, execute, until the result is written',
  'C → watcher: written until it is read',
  'watcher: read until its iterator has the result',
] as const;

interface Run {
  readonly ours: readonly Step[];
  /** Over the same hops without gateways. */
  readonly bare: readonly Step[];
  /** Steps of ours of which one hop contains a collection of the gateway that it runs in. */
  readonly collected: number;
  readonly pausesMs: readonly number[];
  /** Milliseconds of the script in Redis, for each commit. */
  readonly commitsMs: readonly number[];
}

/** For a step the milliseconds of each hop, in the order of HOPS. */
type Step = readonly number[];

async function measure(context: BenchContext): Promise<Findings> {
  const runs = await overRuns(context, measureOnce);
  const rowsOf = (name: string, pick: (run: Run) => readonly number[]) =>
    [0.5, 0.99].map(share =>
      row(
        `${name}, p${share * 100}`,
        'ms',
        runs.map(run => percentile(pick(run), share)),
      ),
    );
  const total = (hops: Step): number => hops.reduce((sum, ms) => sum + ms, 0);
  const both = (name: string, pick: (hops: Step) => number) => [
    ...rowsOf(name, ({ ours }) => ours.map(pick)),
    ...rowsOf(`${name} (without gateways)`, ({ bare }) => bare.map(pick)),
  ];
  const slowest = (name: string, pick: (hops: Step) => number) =>
    row(
      `${name}, mean of the slowest ${SLOWEST * 100} %`,
      'ms',
      runs.map(({ ours }) => {
        const sorted = ours.toSorted((a, b) => total(b) - total(a));
        return mean(sorted.slice(0, Math.ceil(sorted.length * SLOWEST)).map(pick));
      }),
    );
  return {
    rows: [
      ...HOPS.flatMap((name, hop) => both(name, hops => hops[hop] ?? Number.NaN)),
      ...both('all hops', total),
      ...HOPS.map((name, hop) => slowest(name, hops => hops[hop] ?? Number.NaN)),
      slowest('all hops', total),
      ...rowsOf('a garbage collection of B or C', ({ pausesMs }) => pausesMs),
      row(
        'steps with one in B or C',
        '%',
        runs.map(({ collected, ours }) => (100 * collected) / ours.length),
      ),
      ...rowsOf('the script of a commit, in Redis', ({ commitsMs }) => commitsMs),
    ],
    ratios: [],
  };
}

function measureOnce(): Promise<Run> {
  return withLiveStage(
    async ({ redisUrl, ours, bare, tap }) => {
      const redis = new Redis(redisUrl);
      try {
        await redis.config('SET', 'slowlog-max-len', COMMANDS_KEPT);
        await redis.config('SET', 'slowlog-log-slower-than', 0);
        takeHops();
        const heard = await hearSteps(tap, { ours, bare }, JOBS);
        const watcher = takeHops();
        const [b, c] = [await hopsOf(ours.runner), await hopsOf(ours.watched)];
        const oursTimes = timesOf(heard.ours, b, c, watcher);
        const bareTimes = timesOf(heard.bare, await hopsOf(bare.runner), await hopsOf(bare.watched), watcher);
        const isPaused = ({ pauses }: Hops, from = 0, to = 0): boolean =>
          pauses.some(pause => pause.at < to && pause.at + pause.ms > from);
        const collected = oursTimes.filter(
          times => isPaused(b, times[0], times[2]) || isPaused(c, times[2], times[4]),
        );
        return {
          ours: oursTimes.map(between),
          bare: bareTimes.map(between),
          collected: collected.length,
          pausesMs: [...b.pauses, ...c.pauses].map(({ ms }) => ms),
          commitsMs: await commitsIn(redis),
        };
      } finally {
        redis.disconnect();
      }
    },
    ['--import', HOPS_MODULE],
  );
}

/** For each step when its hops begin, and when the last one ends. */
function timesOf(heard: readonly HeardStep[], runner: Hops, watched: Hops, watcher: Hops): number[][] {
  const offset = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  return heard.flatMap(({ step, said, heard: at }) => {
    const begun = said + offset;
    const written = passing(watched, 'written', step, begun);
    const times = [
      begun,
      passing(runner, 'read', step, begun),
      passing(runner, 'written', step, begun),
      passing(watched, 'read', step, begun),
      written,
      // The tap has read the same step from the engine, in this process.
      passing(watcher, 'read', step, written),
      at + offset,
    ];
    // One that a newer step replaced on its way has no moment of its own there.
    return between(times).every(ms => ms >= 0) ? [times] : [];
  });
}

function between(times: readonly number[]): Step {
  return times.slice(1).map((time, n) => time - (times[n] ?? Number.NaN));
}

async function hopsOf({ child }: ServerProcess): Promise<Hops> {
  return (await ask<{ hops: Hops }>(child, { probe: 'hops' }, 'hops')).hops;
}

/** When the step passed that way for the first time since a moment; NaN when it did not. */
function passing({ passed }: Hops, way: Passed['way'], step: number, since: number): number {
  return passed.find(one => one.way === way && one.step === step && one.at >= since)?.at ?? Number.NaN;
}

const COMMIT = createHash('sha1')
  .update(scriptsFor(false).qeCommit?.lua ?? '')
  .digest('hex');

/** Milliseconds of each commit, from the log of commands, which has the time that each took (redis.io/commands/slowlog-get). */
async function commitsIn(redis: Redis): Promise<number[]> {
  const entries: unknown = await redis.slowlog('GET', COMMANDS_KEPT);
  if (!Array.isArray(entries)) throw new Error('Redis has no log of commands');
  return entries.flatMap(([, , micros, command]) =>
    Array.isArray(command) && command[1] === COMMIT ? [Number(micros) / 1_000] : [],
  );
}
