import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { scriptsFor } from '../src/adapters/redis/scripts/index.ts';
import { type Hops, type Passed, takeHops } from './support/hops.ts';
import { ask } from './support/ipc.ts';
import { hearSteps, withLiveStage } from './support/live.ts';
import { type Bench, type BenchContext, type Findings, overRuns, row } from './support/measurement.ts';
import type { ServerProcess } from './support/processes.ts';
import { percentile } from './support/statistics.ts';

const JOBS = 16;
const HOPS_MODULE = new URL('support/hops.ts', import.meta.url).href;
/** All commands of a run. */
const COMMANDS_KEPT = 100_000;

export const bench: Bench = {
  title: 'Where the time goes from the engine to a subscriber of another gateway',
  about:
    `As redis-live: ${JOBS} jobs submitted on gateway A, run by B, watched on C. Each process notes when a step is read from or ` +
    'written to its sockets, by one clock. A hop ends where the next begins, so the hops of a step sum up to its latency; ' +
    'percentiles do not. The time of the script is what Redis itself logs.',
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
  /** For each step the milliseconds of each hop, in the order of HOPS. */
  readonly steps: readonly (readonly number[])[];
  /** Steps of which one hop contains a collection of the gateway that it runs in. */
  readonly collected: number;
  readonly pausesMs: readonly number[];
  /** Milliseconds of the script in Redis, for each commit. */
  readonly commitsMs: readonly number[];
}

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
  return {
    rows: [
      ...HOPS.flatMap((name, hop) => rowsOf(name, ({ steps }) => steps.map(hops => hops[hop] ?? Number.NaN))),
      ...rowsOf('all hops', ({ steps }) => steps.map(hops => hops.reduce((sum, ms) => sum + ms, 0))),
      ...rowsOf('a garbage collection of B or C', ({ pausesMs }) => pausesMs),
      row(
        'steps with one in B or C',
        '%',
        runs.map(({ collected, steps }) => (100 * collected) / steps.length),
      ),
      ...rowsOf('the script of a commit, in Redis', ({ commitsMs }) => commitsMs),
    ],
    ratios: [],
  };
}

function measureOnce(): Promise<Run> {
  return withLiveStage(
    async stage => {
      const redis = new Redis(stage.redisUrl);
      try {
        await redis.config('SET', 'slowlog-max-len', COMMANDS_KEPT);
        await redis.config('SET', 'slowlog-log-slower-than', 0);
        takeHops();
        const heard = await hearSteps(stage, JOBS);
        const watcher = takeHops();
        const [b, c] = [await hopsOf(stage.b), await hopsOf(stage.c)];
        const commitsMs = await commitsIn(redis);
        const offset = Number(process.hrtime.bigint()) / 1e6 - performance.now();
        const steps: (readonly number[])[] = [];
        let collected = 0;
        for (const { step, said, heard: at } of heard) {
          const begun = said + offset;
          const times = [
            begun,
            passing(b, 'read', step, begun),
            passing(b, 'written', step, begun),
            passing(c, 'read', step, begun),
            passing(c, 'written', step, begun),
            // The tap has read the same step from the engine, in this process.
            passing(watcher, 'read', step, passing(c, 'written', step, begun)),
            at + offset,
          ];
          const hops = times.slice(1).map((time, n) => time - (times[n] ?? Number.NaN));
          // One that a newer step replaced on its way has no moment of its own there.
          if (!hops.every(ms => ms >= 0)) continue;
          steps.push(hops);
          const isPaused = ({ pauses }: Hops, from = 0, to = 0): boolean =>
            pauses.some(pause => pause.at < to && pause.at + pause.ms > from);
          if (isPaused(b, times[0], times[2]) || isPaused(c, times[2], times[4])) collected += 1;
        }
        const pausesMs = [...b.pauses, ...c.pauses].map(({ ms }) => ms);
        return { steps, collected, pausesMs, commitsMs };
      } finally {
        redis.disconnect();
      }
    },
    ['--import', HOPS_MODULE],
  );
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
