import { type ChildProcess, fork } from 'node:child_process';
import { loadavg } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { connectRedis } from '../src/adapters/redis/connect.ts';
import type { Ledger } from '../src/jobs/ports.ts';
import { createLog } from '../src/log.ts';
import { aJob } from '../test/support/jobs.ts';
import { startRedis, withClient } from '../test/support/stores/redis.ts';
import type { FleetReport, FleetShare } from './support/fleet-gateway.ts';
import { ask } from './support/ipc.ts';
import { atMost, type Bench, judged, overRuns, rowOf } from './support/measurement.ts';
import { percentile } from './support/statistics.ts';

const GATEWAYS = 4;
const ENGINES = 1_000;
const LANES = 2;
const RUN_MS = 2_000;
const IDLE_MS = 10_000;
const BURSTS = 5;
const BURST = 1_000;
const BURST_PER_SECOND = 500;
const BACKLOG = 3_000;
const STEADY = 2_000;
const STEADY_PER_SECOND = 50;
/** Submits at the same time. */
const CALLERS = 8;

export const bench: Bench = {
  title: 'A thousand engines on one Redis',
  about:
    `${GATEWAYS} gateways with ${ENGINES} engines and ${LANES} lanes for each, in processes of their own, and Redis. The engines are ` +
    `stand-ins: a run takes ${RUN_MS / 1000} s, and does with the ledger what every run does, without progress, previews and ` +
    `images. ${BURSTS} bursts of ${BURST} jobs at ${BURST_PER_SECOND} a second, ${BACKLOG} jobs at once, and ${STEADY} at ${STEADY_PER_SECOND} a second. Calls are those that clients ` +
    'send, the submit included; commands within scripts are not.',
  runs: 1,
  async measure(context) {
    const runs = await overRuns(context, () => measureOnce(context.note));
    const worst = (pick: (run: Run) => number): number => Math.max(...runs.map(pick));
    return {
      rows: [
        rowOf(runs, 'idle: calls per lane and 10 s', '', run => run.idlePerLane),
        rowOf(runs, 'bursts: calls a job', '', run => run.bursts.callsPerJob),
        rowOf(runs, 'bursts: claims a job, of the calls', '', run => run.bursts.claimsPerJob),
        rowOf(runs, 'bursts: submit to claim, p50', 'ms', run => percentile(run.bursts.waits, 0.5)),
        rowOf(runs, 'bursts: submit to claim, p99', 'ms', run => percentile(run.bursts.waits, 0.99)),
        rowOf(runs, 'all lanes busy: calls a job', '', run => run.backlog.callsPerJob),
        rowOf(runs, 'steady: calls a job', '', run => run.steady.callsPerJob),
        rowOf(runs, 'steady: submit to claim, p50', 'ms', run => percentile(run.steady.waits, 0.5)),
        rowOf(runs, 'steady: submit to claim, p99', 'ms', run => percentile(run.steady.waits, 0.99)),
        rowOf(runs, 'CPU of Redis a job', 'µs', run => run.redisMicroseconds),
        rowOf(runs, 'CPU of the gateways a job', 'µs', run => run.gatewayMicroseconds),
        rowOf(runs, 'load of the machine at the end, beside 2 cores', '', run => run.load),
      ],
      ratios: [
        judged(
          'calls per lane and 10 s, idle',
          worst(run => run.idlePerLane),
          atMost(1),
        ),
        judged(
          'calls a job',
          worst(run => Math.max(run.bursts.callsPerJob, run.backlog.callsPerJob, run.steady.callsPerJob)),
          atMost(12),
        ),
        judged(
          'submit to claim in bursts, p99, ms',
          worst(run => percentile(run.bursts.waits, 0.99)),
          atMost(25),
        ),
        judged(
          'submit to claim, steady, p99, ms',
          worst(run => percentile(run.steady.waits, 0.99)),
          atMost(25),
        ),
      ],
    };
  },
};

interface Phase {
  readonly callsPerJob: number;
  readonly claimsPerJob: number;
  readonly waits: readonly number[];
}

interface Run {
  readonly idlePerLane: number;
  readonly bursts: Phase;
  readonly backlog: Phase;
  readonly steady: Phase;
  readonly redisMicroseconds: number;
  readonly gatewayMicroseconds: number;
  readonly load: number;
}

async function measureOnce(note: (text: string) => void): Promise<Run> {
  const redis = await startRedis();
  const { ledger, close } = await connectRedis({ url: redis.url, log: createLog('error') });
  const children: ChildProcess[] = [];
  const scriptCalls = (): Promise<number> =>
    withClient(redis.url, async client => {
      const stats = await client.info('commandstats');
      return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
    });
  const redisCpu = (): Promise<number> =>
    withClient(redis.url, async client => {
      const text = await client.info('cpu');
      return [...text.matchAll(/used_cpu_(?:sys|user):([\d.]+)/g)].reduce((sum, [, s]) => sum + Number(s), 0);
    });
  const reports = (): Promise<FleetReport[]> =>
    Promise.all(
      children.map(
        async child => (await ask<{ report: FleetReport }>(child, { report: true }, 'report')).report,
      ),
    );

  /** Submits so many jobs by `submit`, and waits until they have ended. */
  async function phase(
    name: string,
    jobs: number,
    submit: () => Promise<void>,
  ): Promise<Phase & { cpu: number }> {
    await reports();
    const before = await scriptCalls();
    await submit();
    let completed = 0;
    const calls = new Map<string, number>();
    const waits: number[] = [];
    let cpu = 0;
    while (completed < jobs) {
      await delay(500);
      for (const report of await reports()) {
        completed += report.completed;
        waits.push(...report.waits);
        cpu += report.cpuSeconds;
        for (const [command, n] of Object.entries(report.calls))
          calls.set(command, (calls.get(command) ?? 0) + n);
      }
    }
    const scripts = await scriptCalls();
    const sent = [...calls.values()].reduce((sum, n) => sum + n, 0);
    note(
      `${name}: ${JSON.stringify(Object.fromEntries(calls))}, ${jobs} submits; ${scripts - before} scripts by INFO commandstats`,
    );
    const claims = waits.length === 0 ? 0 : (calls.get('evalsha') ?? 0) - 4 * jobs;
    return { callsPerJob: (sent + jobs) / jobs, claimsPerJob: claims / jobs, waits, cpu };
  }

  try {
    await Promise.all(
      Array.from({ length: GATEWAYS }, async (_, n) => {
        const child = fork(new URL('support/fleet-gateway.ts', import.meta.url));
        children.push(child);
        const engines = ENGINES / GATEWAYS;
        const share: FleetShare = { url: redis.url, name: `gpu-${n}`, engines, lanes: LANES, runMs: RUN_MS };
        await ask<{ ready: true }>(child, { share }, 'ready');
      }),
    );
    await reports();
    await delay(IDLE_MS);
    const idleCalls = (await reports()).flatMap(({ calls }) => Object.values(calls));
    const idlePerLane = idleCalls.reduce((sum, n) => sum + n, 0) / (ENGINES * LANES) / (IDLE_MS / 10_000);

    const cpuBefore = await redisCpu();
    const bursts = await phase('bursts', BURSTS * BURST, async () => {
      for (let n = 0; n < BURSTS; n += 1) {
        await submitAt(ledger, BURST, BURST_PER_SECOND);
        await delay(2 * RUN_MS);
      }
    });
    const backlog = await phase('backlog', BACKLOG, () => submitAll(ledger, BACKLOG));
    const steady = await phase('steady', STEADY, () => submitAt(ledger, STEADY, STEADY_PER_SECOND));
    const jobs = BURSTS * BURST + BACKLOG + STEADY;
    return {
      idlePerLane,
      bursts,
      backlog,
      steady,
      redisMicroseconds: (((await redisCpu()) - cpuBefore) / jobs) * 1e6,
      gatewayMicroseconds: ((bursts.cpu + backlog.cpu + steady.cpu) / jobs) * 1e6,
      load: loadavg()[0] ?? Number.NaN,
    };
  } finally {
    for (const child of children) child.kill();
    await close();
    await redis.stop();
  }
}

async function submitAt(ledger: Ledger, count: number, perSecond: number): Promise<void> {
  const begun = Date.now();
  const submits: Promise<void>[] = [];
  for (let n = 0; n < count; n += 1) {
    const early = begun + (n * 1000) / perSecond - Date.now();
    if (early > 0) await delay(early);
    submits.push(submitAll(ledger, 1));
  }
  await Promise.all(submits);
}

async function submitAll(ledger: Ledger, count: number): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: Math.min(CALLERS, count) }, async () => {
      while (left > 0) {
        left -= 1;
        await ledger.submit(aJob({ createdAt: Date.now() }), { maxQueue: 1e6, idempotency: null });
      }
    }),
  );
}
