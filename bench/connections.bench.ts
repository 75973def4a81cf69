import { ask } from './support/ipc.ts';
import { startLoad } from './support/load.ts';
import { atMost, type Bench, judged, overRuns, rowOf } from './support/measurement.ts';
import { startChangesGateway } from './support/processes.ts';
import { percentile } from './support/statistics.ts';

/** Watchers: sockets, and subscriptions on each. */
interface Crowd {
  readonly sockets: number;
  readonly perSocket: number;
}

/** As pages that watch several jobs over one socket. */
const SHARED: Crowd = { sockets: 17_000, perSocket: 3 };
/** As many as there can be: a process has 20,000 descriptors in many places, and the gateway needs some for itself. */
const SINGLE: Crowd = { sockets: 19_000, perSocket: 1 };
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

const watchersOf = ({ sockets, perSocket }: Crowd): number => sockets * perSocket;

export const bench: Bench = {
  title: `${watchersOf(SHARED).toLocaleString('en')} watchers on one gateway`,
  about:
    `${SHARED.sockets} sockets with ${SHARED.perSocket} subscriptions each, and ${SINGLE.sockets} with one, idle, and then a ` +
    "change for all of them: until the last has it, by the watchers' process, which shares the machine's cores. They watch " +
    'one job. Gateway and watchers are processes of their own.',
  runs: 3,
  async measure(context) {
    const shared = await overRuns(context, () => measureOnce(SHARED));
    const single = await overRuns(context, () => measureOnce(SINGLE));
    const each = (crowd: Crowd, { rss, alone }: Held): number => ((rss - alone) * 1024) / watchersOf(crowd);
    const rowsOf = (crowd: Crowd, runs: readonly Held[]) => {
      const name = `${watchersOf(crowd)} on ${crowd.sockets} sockets`;
      return {
        each: rowOf(runs, `${name}, resident, each`, 'KiB', run => each(crowd, run)),
        last: rowOf(runs, `${name}, a change, until the last has it`, 'ms', run => run.last),
        others: [
          rowOf(runs, `${name}, resident set of the gateway`, 'MiB', run => run.rss),
          rowOf(runs, `${name}, the same without watchers`, 'MiB', run => run.alone),
          rowOf(runs, `${name}, until all watch`, 's', run => run.opened),
          rowOf(runs, `${name}, CPU time of a change`, 'ms', run => run.cpu),
        ],
      };
    };
    const [many, one] = [rowsOf(SHARED, shared), rowsOf(SINGLE, single)];
    return {
      rows: [many.each, many.last, ...many.others, one.each, one.last, ...one.others],
      ratios: [
        judged('KiB resident, several on a socket', many.each.median, atMost(12)),
        judged('KiB resident, one on a socket', one.each.median, atMost(12)),
        judged('ms until the last, several on a socket', many.last.median, atMost(500)),
        judged('ms until the last, one on a socket', one.last.median, atMost(500)),
      ],
    };
  },
};

async function measureOnce(crowd: Crowd): Promise<Held> {
  const gateway = await startChangesGateway('commit');
  try {
    const { ids } = await ask<{ ids: string[] }>(gateway.child, { jobs: 1 }, 'ids');
    const alone = await gateway.memory();
    const begun = performance.now();
    const url = `${gateway.url.replace('http', 'ws')}/graphql`;
    const load = await startLoad({ url, count: crowd.sockets, perSocket: crowd.perSocket, jobIds: ids });
    try {
      const opened = (performance.now() - begun) / 1000;
      const { rss } = await gateway.memory();
      const times: number[] = [];
      const spent: number[] = [];
      for (let change = 0; change < CHANGES; change += 1) {
        await load.reset();
        const all = load.reach(watchersOf(crowd));
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
