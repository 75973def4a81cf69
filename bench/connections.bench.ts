import { ask } from './support/ipc.ts';
import { startLoad } from './support/load.ts';
import { type Bench, overRuns, rowOf } from './support/measurement.ts';
import { startChangesGateway } from './support/processes.ts';
import { percentile } from './support/statistics.ts';

const SOCKETS = 10_000;
const CHANGES = 5;

interface Held {
  /** Memory of the gateway with all its watchers, in MiB. */
  readonly rss: number;
  /** Memory of the gateway without watchers. */
  readonly alone: number;
  /** Seconds to open all sockets and start to watch. */
  readonly opened: number;
  /** Milliseconds from a change to the last watcher's message; the median of several. */
  readonly last: number;
  /** CPU time of the gateway for one change, in milliseconds. */
  readonly cpu: number;
}

export const bench: Bench = {
  title: `${SOCKETS} watchers on one gateway`,
  about:
    `${SOCKETS} sockets that watch one job, idle, and then a change for all of them: until the last has it, by the ` +
    "watchers' process, which shares the machine's cores. Gateway and watchers are processes of their own.",
  runs: 3,
  async measure(context) {
    const runs = await overRuns(context, measureOnce);
    return {
      rows: [
        rowOf(runs, 'resident set of the gateway alone', 'MiB', run => run.alone),
        rowOf(runs, `resident set with ${SOCKETS} watchers`, 'MiB', run => run.rss),
        rowOf(runs, 'until all watch', 's', run => run.opened),
        rowOf(runs, 'a change, until the last watcher has it', 'ms', run => run.last),
        rowOf(runs, 'CPU of the gateway for it', 'ms', run => run.cpu),
      ],
      ratios: [],
    };
  },
};

async function measureOnce(): Promise<Held> {
  const gateway = await startChangesGateway('commit');
  try {
    const { ids } = await ask<{ ids: string[] }>(gateway.child, { jobs: 1 }, 'ids');
    const alone = await gateway.memory();
    const begun = performance.now();
    const url = `${gateway.url.replace('http', 'ws')}/graphql`;
    const load = await startLoad({ url, count: SOCKETS, jobIds: ids });
    try {
      const opened = (performance.now() - begun) / 1000;
      const { rss } = await gateway.memory();
      const times: number[] = [];
      const spent: number[] = [];
      for (let change = 0; change < CHANGES; change += 1) {
        await load.reset();
        const all = load.reach(SOCKETS);
        const before = await gateway.cpuSeconds();
        const changed = Number(process.hrtime.bigint()) / 1e6;
        await ask<{ ticked: true }>(gateway.child, { ticks: { times: 1, everyMs: 0 } }, 'ticked');
        times.push((await all) - changed);
        spent.push(((await gateway.cpuSeconds()) - before) * 1000);
      }
      return {
        alone: alone.rss / 1024 ** 2,
        rss: rss / 1024 ** 2,
        opened,
        last: percentile(times, 0.5),
        cpu: percentile(spent, 0.5),
      };
    } finally {
      await load.stop();
    }
  } finally {
    await gateway.stop();
  }
}
