import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { watchOverWebSocket } from '../../test/support/watch.ts';
import { ask } from './ipc.ts';
import { type Load, startLoad } from './load.ts';
import { type ServerProcess, startChangesGateway, startEngine, startServer } from './processes.ts';
import { type BenchRig, startBenchRig } from './rig.ts';
import type { Ticks } from './ticks.ts';

/** The number of watchers of one job and of its changes. */
export interface FanoutCase extends Ticks {
  readonly watchers: number;
}

/**
 * Before the measurement, of all alike: what is measured is a server that has run for a while, with its heap grown and its code
 * compiled. After a hundred changes only, with ten watchers, delivery costs a quarter more and the raw server a tenth.
 */
const WARM_UP: Ticks = { times: 600, everyMs: 5 };
const WARM_UP_WATCHERS = 10;
/** Of a job that warms up, which may have a hundred. */
const WARM_UP_STEPS = 100;

const STATE =
  'mutation ($id: ID!, $drained: Boolean!) { setEngineState(id: $id, drained: $drained) { __typename } }';
const ADD =
  'mutation ($url: String!) { addEngine(url: $url) { __typename ... on EditEngine { id } ... on EditError { message } } }';
const REMOVE = 'mutation ($id: ID!) { removeEngine(id: $id) { __typename } }';

/** CPU of a gateway for each delivered message, in microseconds; its run of the job is in it, the engine is not. */
export async function gatewayFanout({ watchers, times, everyMs }: FanoutCase): Promise<number> {
  const rig = await startBenchRig(everyMs, { ENGINE_ALLOW: '127.0.0.1' });
  try {
    const { engines } = await rig.graphql<{ engines: { id: string }[] }>('{ engines { id } }');
    const id = engines[0]?.id ?? '';
    await rig.graphql(STATE, { id, drained: true });
    await warmUp(rig);
    // No watcher is added while it runs.
    const jobId = await rig.submit('the job that is watched', times);
    const load = await startLoad({ url: socketUrl(rig), count: watchers, jobIds: [jobId] });
    try {
      return await costOf(rig.gateway, load, async () => {
        await rig.graphql(STATE, { id, drained: false });
        await watchOverWebSocket(rig.gateway.url, jobId);
      });
    } finally {
      await load.stop();
    }
  } finally {
    await rig.stop();
  }
}

const socketUrl = ({ gateway }: BenchRig): string => `${gateway.url.replace('http', 'ws')}/graphql`;

/** Jobs with watchers, on an engine that is there for them alone. */
async function warmUp(rig: BenchRig): Promise<void> {
  const engine = await startEngine(WARM_UP.everyMs);
  try {
    const { addEngine } = await rig.graphql<{ addEngine: { id?: string; message?: string } }>(ADD, {
      url: engine.url,
    });
    if (addEngine.id === undefined) throw new Error(addEngine.message);
    for (let steps = 0; steps < WARM_UP.times; steps += WARM_UP_STEPS) {
      const jobId = await rig.submit(`job ${steps} that warms up`, WARM_UP_STEPS);
      const load = await startLoad({ url: socketUrl(rig), count: WARM_UP_WATCHERS, jobIds: [jobId] });
      await watchOverWebSocket(rig.gateway.url, jobId);
      await load.stop();
    }
    await rig.graphql(REMOVE, { id: addEngine.id });
  } finally {
    await engine.stop();
  }
}

/** The same of a `ws` server that broadcasts. */
export async function rawFanout(what: FanoutCase): Promise<number> {
  return peerFanout(await startServer(new URL('raw-server.ts', import.meta.url)), what, null);
}

/**
 * The same of a `ws` client of an engine that broadcasts each step, the least that a run can cost; `stored`: it appends each to a
 * file, and flushes that, before.
 */
export async function rawRunFanout(
  { watchers, times, everyMs }: FanoutCase,
  { stored }: { readonly stored: boolean },
): Promise<number> {
  const [fast, engine] = [await startEngine(WARM_UP.everyMs), await startEngine(everyMs)];
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  const args = stored ? ['--store', folder] : [];
  const server = await startServer(new URL('raw-run-server.ts', import.meta.url), { args });
  const run = ({ url }: ServerProcess, steps: number) =>
    ask<{ ran: true }>(server.child, { run: { engine: url, steps } }, 'ran');
  try {
    const first = await startLoad({ url: server.url, count: WARM_UP_WATCHERS, jobIds: null });
    await run(fast, WARM_UP.times);
    await first.stop();
    const load = await startLoad({ url: server.url, count: watchers, jobIds: null });
    try {
      return await costOf(server, load, async () => {
        const all = load.reach(watchers * times);
        await run(engine, times);
        await all;
      });
    } finally {
      await load.stop();
    }
  } finally {
    await server.stop();
    await engine.stop();
    await fast.stop();
    await rm(folder, { recursive: true });
  }
}

/** The same of Yoga with graphql-ws. */
export async function yogaFanout(what: FanoutCase): Promise<number> {
  // Its pub/sub has Node warn of more than ten listeners.
  const server = await startServer(new URL('yoga-server.ts', import.meta.url), { flags: ['--no-warnings'] });
  return peerFanout(server, what, ['0f7c9b47-3ad5-4a52-b434-d349b3e018a3']);
}

/** The same of the gateway with a job that changes without an engine: on the feed alone, or in the ledger. */
export async function changesFanout(how: 'announce' | 'commit', what: FanoutCase): Promise<number> {
  const server = await startChangesGateway(how);
  const { ids } = await ask<{ ids: string[] }>(server.child, { jobs: 1 }, 'ids');
  return peerFanout(server, what, ids, `${server.url.replace('http', 'ws')}/graphql`);
}

async function peerFanout(
  server: ServerProcess,
  { watchers, times, everyMs }: FanoutCase,
  jobIds: readonly string[] | null,
  url = server.url,
): Promise<number> {
  try {
    const first = await startLoad({ url, count: WARM_UP_WATCHERS, jobIds });
    await ask<{ ticked: true }>(server.child, { ticks: WARM_UP }, 'ticked');
    await first.stop();
    const load = await startLoad({ url, count: watchers, jobIds });
    try {
      return await costOf(server, load, async () => {
        const all = load.reach(watchers * times);
        await ask<{ ticked: true }>(server.child, { ticks: { times, everyMs } }, 'ticked');
        await all;
      });
    } finally {
      await load.stop();
    }
  } finally {
    await server.stop();
  }
}

/** Microseconds of the server's CPU for each message that came while `work` was done. */
export async function costOf(server: ServerProcess, load: Load, work: () => Promise<void>): Promise<number> {
  await load.reset();
  const before = await server.cpuSeconds();
  await work();
  const spent = (await server.cpuSeconds()) - before;
  return (spent / (await load.reset())) * 1e6;
}
