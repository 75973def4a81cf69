import { ask } from './support/ipc.ts';
import { startLoad } from './support/load.ts';
import { atMost, type Bench, judged, overRuns, rowOf } from './support/measurement.ts';
import { type ServerProcess, startChangesGateway, startServer } from './support/processes.ts';

const SOCKETS = 2_000;
/** Of the guard. */
const FEW_SOCKETS = 1_000;
/** Sockets opened and closed first, so that one-time costs of the server (code, heap, its cache of 500 jobs) do not count. */
const WARM_UP = 600;

/** Bytes for each socket, in KiB. */
interface Held {
  readonly heap: number;
  readonly rss: number;
}

export const bench: Bench = {
  title: 'Memory of an idle subscription',
  about:
    `${SOCKETS} sockets with one subscription each, on one job and on ${SOCKETS} jobs, beside ${SOCKETS} idle raw ws ` +
    'connections: what the heap and the resident set have grown by, after a collection. Server and watchers are ' +
    'processes of their own.',
  runs: 3,
  async measure(context) {
    const runs = await overRuns(context, async () => ({
      raw: await heldByRaw(SOCKETS),
      same: await heldByGateway(1, SOCKETS),
      own: await heldByGateway(SOCKETS, SOCKETS),
    }));
    const rawHeap = rowOf(runs, 'raw ws, heap', 'KiB', run => run.raw.heap);
    const sameHeap = rowOf(runs, 'gateway, all watch one job, heap', 'KiB', run => run.same.heap);
    const ownHeap = rowOf(runs, 'gateway, each watches its own, heap', 'KiB', run => run.own.heap);
    return {
      rows: [
        rawHeap,
        sameHeap,
        ownHeap,
        rowOf(runs, 'raw ws, resident', 'KiB', run => run.raw.rss),
        rowOf(runs, 'gateway, all watch one job, resident', 'KiB', run => run.same.rss),
        rowOf(runs, 'gateway, each watches its own, resident', 'KiB', run => run.own.rss),
      ],
      ratios: [
        judged('heap / raw ws, all watch one job', sameHeap.median / rawHeap.median, atMost(1.6)),
        judged('heap / raw ws, each watches its own', ownHeap.median / rawHeap.median, atMost(2.2)),
      ],
    };
  },
  guard: {
    async measure() {
      const raw = await heldByRaw(FEW_SOCKETS);
      const same = await heldByGateway(1, FEW_SOCKETS);
      const own = await heldByGateway(FEW_SOCKETS, FEW_SOCKETS);
      return {
        rows: [],
        ratios: [
          judged('heap / raw ws, all watch one job', same.heap / raw.heap),
          judged('heap / raw ws, each watches its own', own.heap / raw.heap),
        ],
      };
    },
    figures: [
      { name: 'heap / raw ws, all watch one job', better: 'lower', noise: 0.15 },
      { name: 'heap / raw ws, each watches its own', better: 'lower', noise: 0.15 },
    ],
  },
};

async function heldByRaw(sockets: number): Promise<Held> {
  return held(await startServer(new URL('support/raw-server.ts', import.meta.url)), null, sockets);
}

async function heldByGateway(jobs: number, sockets: number): Promise<Held> {
  const server = await startChangesGateway('announce');
  const { ids } = await ask<{ ids: string[] }>(server.child, { jobs }, 'ids');
  return held(server, ids, sockets);
}

async function held(server: ServerProcess, jobIds: readonly string[] | null, sockets: number): Promise<Held> {
  const url = jobIds === null ? server.url : `${server.url.replace('http', 'ws')}/graphql`;
  try {
    const first = await startLoad({ url, count: WARM_UP, jobIds });
    await first.stop();
    const before = await settled(server);
    const load = await startLoad({ url, count: sockets, jobIds });
    try {
      const after = await settled(server);
      const each = (bytes: number): number => bytes / sockets / 1024;
      return { heap: each(after.heapUsed - before.heapUsed), rss: each(after.rss - before.rss) };
    } finally {
      await load.stop();
    }
  } finally {
    await server.stop();
  }
}

/** The memory once it stops falling: closed sockets are freed over several turns of the event loop. */
async function settled(server: ServerProcess): Promise<NodeJS.MemoryUsage> {
  let present = await server.memory();
  for (;;) {
    await new Promise(resolve => setTimeout(resolve, 200));
    const next = await server.memory();
    if (next.heapUsed > present.heapUsed - 50_000) return next;
    present = next;
  }
}
