import { setTimeout as delay } from 'node:timers/promises';
import { startLoad } from './support/load.ts';
import { atMost, type Bench, judged, overRuns, rowOf } from './support/measurement.ts';
import { untilSum } from './support/metrics.ts';
import { type ServerProcess, startGateway, startServer } from './support/processes.ts';
import { picture, submitMany } from './support/rig.ts';

const ENGINES = 200;
const STEP_MS = 700;
const STEPS = 100;
/** As many as usual node packs bring: GET /object_info has 3 MB. */
const MORE_NODES = 1_000;
/** An engine's nodes and files are read again after 60 s, so all of them within this. */
const WATCHED_MS = 65_000;

export const bench: Bench = {
  title: 'One gateway with two hundred engines that all run',
  about:
    `${ENGINES} sandboxes in one process, each with ${MORE_NODES} node classes besides, a job of ${STEPS} steps for each, one in ${STEP_MS} ms, with ` +
    `two previews a second, and a watcher for each job. Gateway, engines and watchers are processes of their own. The event loop of the ` +
    `gateway is measured from its start until all engines are READY, and for ${WATCHED_MS / 1000} s while they run.`,
  runs: 1,
  async measure(context) {
    const runs = await overRuns(context, measureOnce);
    const core = rowOf(runs, 'CPU of the gateway while all run', '% of a core', run => run.cpu * 100);
    const starting = rowOf(runs, 'start: longest delay of the event loop', 'ms', run => run.startDelay);
    const running = rowOf(runs, 'all run: longest delay of the event loop', 'ms', run => run.runDelay);
    return {
      rows: [
        rowOf(runs, 'start: until all engines are READY', 's', run => run.readySeconds),
        starting,
        core,
        running,
        rowOf(runs, 'all run: delay of the event loop, p99', 'ms', run => run.runDelayP99),
        rowOf(runs, 'messages to watchers', 'a second', run => run.messages),
        rowOf(runs, 'heap after a collection', 'MiB', run => run.heap / 2 ** 20),
        rowOf(runs, 'resident memory', 'MiB', run => run.resident / 2 ** 20),
      ],
      ratios: [
        judged('CPU of the gateway while all run, % of a core', core.median, atMost(50)),
        judged('longest delay while all run, ms', running.median, atMost(50)),
      ],
    };
  },
};

interface Found {
  readonly readySeconds: number;
  readonly startDelay: number;
  readonly cpu: number;
  readonly runDelay: number;
  readonly runDelayP99: number;
  readonly messages: number;
  readonly heap: number;
  readonly resident: number;
}

async function measureOnce(): Promise<Found> {
  const servers: { stop(): Promise<void> }[] = [];
  try {
    const engines = await startServer(new URL('support/engines.ts', import.meta.url), {
      args: [ENGINES, STEP_MS, MORE_NODES].map(String),
    });
    servers.unshift(engines);
    const begun = performance.now();
    const gateway = await startGateway({ COMFYUI_URL: engines.url, PREVIEW_RATE: '2' });
    servers.unshift(gateway);
    const scrape = async (): Promise<string> => (await fetch(`${gateway.url}/metrics`)).text();
    await gateway.health();
    await untilSum(scrape, 'qwen_edit_engine_state', 'state="READY"', ENGINES);
    const readySeconds = (performance.now() - begun) / 1000;
    const { delayMax: startDelay } = await gateway.health();

    const ids = await submitMany(gateway.url, await picture(), ENGINES, STEPS);
    await untilSum(scrape, 'qwen_edit_jobs_held', 'state="running"', ENGINES);
    const load = await startLoad({ url: socketUrl(gateway), count: ids.length, jobIds: ids });
    servers.unshift(load);
    await gateway.health();
    await load.reset();
    const [cpuBefore, since] = [await gateway.cpuSeconds(), performance.now()];
    await delay(WATCHED_MS);
    const seconds = (performance.now() - since) / 1000;
    const cpu = ((await gateway.cpuSeconds()) - cpuBefore) / seconds;
    const messages = (await load.reset()) / seconds;
    const { delayMax, delayP99, heap, resident } = await gateway.health();
    return {
      readySeconds,
      startDelay,
      cpu,
      messages,
      runDelay: delayMax,
      runDelayP99: delayP99,
      heap,
      resident,
    };
  } finally {
    for (const server of servers) await server.stop();
  }
}

const socketUrl = ({ url }: ServerProcess): string => `${url.replace('http', 'ws')}/graphql`;
