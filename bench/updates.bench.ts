import { costOf } from './support/fanout.ts';
import { ask } from './support/ipc.ts';
import { startLoad } from './support/load.ts';
import { atMost, type Bench, judged, overRuns, ratio, rowOf } from './support/measurement.ts';
import { type ServerProcess, startChangesGateway, startServer } from './support/processes.ts';
import type { Ticks } from './support/ticks.ts';

const WATCHERS = 1_000;
const JOBS = 1_000;
/** A gateway sends so many jobs in a message. */
const MESSAGES = JOBS / 100;
const TICKS: Ticks = { times: 15, everyMs: 1_000 };
/** Of the guard. */
const FEW_TICKS: Ticks = { times: 3, everyMs: 500 };
/** Warm-up before the measurement: it compiles the code and grows the heap. */
const WARM_UP: Ticks = { times: 3, everyMs: 500 };

export const bench: Bench = {
  title: 'Server CPU for a message of jobUpdates, many watchers of many jobs',
  about:
    `${WATCHERS} sockets, each watches all of ${JOBS} jobs, which all change ${TICKS.times} times, every ${TICKS.everyMs} ms; ` +
    `each change is stored in the embedded ledger. A socket gets each of them, ${JOBS / MESSAGES} in a message. The raw ws server ` +
    'sends one text for each tick to each socket, with the snapshot of one job. Server and watchers are processes of their own.',
  runs: 3,
  async measure(context) {
    const runs = await overRuns(context, async () => ({
      raw: await cost(await rawServer(), null, 1, TICKS),
      message: await gatewayCost(TICKS),
    }));
    const raw = rowOf(runs, 'raw ws, a message', 'µs', run => run.raw);
    const message = rowOf(runs, 'gateway, a message with its commits', 'µs', run => run.message);
    return { rows: [raw, message], ratios: [ratio('message / raw ws', message, raw, atMost(3))] };
  },
  guard: {
    async measure() {
      const raw = await cost(await rawServer(), null, 1, FEW_TICKS);
      const message = await gatewayCost(FEW_TICKS);
      return { rows: [], ratios: [judged('message / raw ws', message / raw)] };
    },
    figures: [{ name: 'message / raw ws', better: 'lower', noise: 0.4 }],
  },
};

function rawServer(): Promise<ServerProcess> {
  return startServer(new URL('support/raw-server.ts', import.meta.url), { args: [] });
}

async function gatewayCost(ticks: Ticks): Promise<number> {
  const server = await startChangesGateway('commit');
  await ask<{ ids: string[] }>(server.child, { jobs: JOBS }, 'ids');
  return cost(server, 'all', MESSAGES, ticks);
}

async function cost(
  server: ServerProcess,
  jobIds: 'all' | null,
  messages: number,
  ticks: Ticks,
): Promise<number> {
  try {
    const url = jobIds === null ? server.url : `${server.url.replace('http', 'ws')}/graphql`;
    const load = await startLoad({ url, count: WATCHERS, jobIds });
    try {
      const tick = async (some: Ticks): Promise<void> => {
        const all = load.reach(WATCHERS * messages * some.times);
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
