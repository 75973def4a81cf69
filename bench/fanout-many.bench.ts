import { costOf } from './support/fanout.ts';
import { ask } from './support/ipc.ts';
import { startLoad } from './support/load.ts';
import { atMost, type Bench, judged, overRuns, ratio, rowOf } from './support/measurement.ts';
import { type ServerProcess, startChangesGateway, startServer } from './support/processes.ts';
import type { Ticks } from './support/ticks.ts';

const JOBS = 1_000;
const TICKS: Ticks = { times: 30, everyMs: 400 };
/** Of the guard. */
const FEW_TICKS: Ticks = { times: 6, everyMs: 400 };
/** Warm-up before the measurement: it compiles the code and grows the heap. */
const WARM_UP: Ticks = { times: 5, everyMs: 400 };

export const bench: Bench = {
  title: 'Server CPU for a delivered progress message, one watcher each of many jobs',
  about:
    `${JOBS} sockets, each watches a job of its own, and all jobs change ${TICKS.times} times, every ${TICKS.everyMs} ms. ` +
    'The raw ws server makes a text for each socket and sends it. Delivery: the change is handed to the feed, and from ' +
    'there all is ours (execution, JSON, frames). With commits: each change is stored in the embedded ledger first, ' +
    'as a lane does it. Server and watchers are processes of their own.',
  runs: 3,
  async measure(context) {
    const runs = await overRuns(context, async () => ({
      raw: await rawCost(TICKS),
      announced: await gatewayCost('announce', TICKS),
      committed: await gatewayCost('commit', TICKS),
    }));
    const raw = rowOf(runs, 'raw ws, a text each', 'µs', run => run.raw);
    const announced = rowOf(runs, 'gateway, delivery', 'µs', run => run.announced);
    const committed = rowOf(runs, 'gateway, delivery with commits', 'µs', run => run.committed);
    return {
      rows: [raw, announced, committed],
      ratios: [
        ratio('delivery / raw ws', announced, raw, atMost(1.8)),
        ratio('delivery with commits / raw ws', committed, raw),
      ],
    };
  },
  guard: {
    async measure() {
      const raw = await rawCost(FEW_TICKS);
      const announced = await gatewayCost('announce', FEW_TICKS);
      return { rows: [], ratios: [judged('delivery / raw ws', announced / raw)] };
    },
    figures: [{ name: 'delivery / raw ws', better: 'lower', noise: 0.3 }],
  },
};

async function rawCost(ticks: Ticks): Promise<number> {
  const server = await startServer(new URL('support/raw-server.ts', import.meta.url), {
    args: ['--distinct'],
  });
  return measureServer(server, null, ticks);
}

async function gatewayCost(how: 'commit' | 'announce', ticks: Ticks): Promise<number> {
  const server = await startChangesGateway(how);
  const { ids } = await ask<{ ids: string[] }>(server.child, { jobs: JOBS }, 'ids');
  return measureServer(server, ids, ticks);
}

async function measureServer(
  server: ServerProcess,
  jobIds: readonly string[] | null,
  ticks: Ticks,
): Promise<number> {
  try {
    const url = jobIds === null ? server.url : `${server.url.replace('http', 'ws')}/graphql`;
    const load = await startLoad({ url, count: JOBS, jobIds });
    try {
      const tick = async (some: Ticks): Promise<void> => {
        const all = load.reach(JOBS * some.times);
        await ask<{ ticked: true }>(server.child, { ticks: some }, 'ticked');
        await all;
      };
      await load.reset();
      await tick(WARM_UP);
      return await costOf(server, load, () => tick(ticks));
    } finally {
      await load.stop();
    }
  } finally {
    await server.stop();
  }
}
