import { atMost, type Bench, judged, overRuns, rowOf } from './support/measurement.ts';
import { untilSum } from './support/metrics.ts';
import { startGateway, startServer } from './support/processes.ts';
import { picture, submitMany } from './support/rig.ts';
import { latency } from './support/statistics.ts';

const JOBS = 1_000;
const ENGINES = 50;
/** Of a sampling step: the runs go on during the scrapes, and send little. */
const STEP_MS = 1_000;
/** These end before the scrapes, so that the metrics of ended jobs have samples for each engine. */
const ENDED = 200;
const SCRAPES = 500;

export const bench: Bench = {
  title: 'What a scrape of the metrics costs',
  about:
    `${SCRAPES} scrapes, one after another, of a gateway with ${ENGINES} engines and ${JOBS} jobs, of which two an engine ` +
    `run or are next and the others wait; ${ENDED} have ended. Gateway, engines and scraper are processes of their own.`,
  runs: 3,
  async measure(context) {
    const runs = await overRuns(context, measureOnce);
    const cpu = rowOf(runs, 'CPU of the gateway', 'ms', run => run.cpuMs);
    return {
      rows: [
        cpu,
        rowOf(runs, 'time of a scrape, p50', 'ms', run => run.p50),
        rowOf(runs, 'time of a scrape, p99', 'ms', run => run.p99),
        rowOf(runs, 'samples', '', run => run.samples),
        rowOf(runs, 'text', 'bytes', run => run.bytes),
      ],
      ratios: [judged('CPU of the gateway for a scrape, ms', cpu.median, atMost(20))],
    };
  },
};

interface Found {
  readonly cpuMs: number;
  readonly p50: number;
  readonly p99: number;
  readonly samples: number;
  readonly bytes: number;
}

async function measureOnce(): Promise<Found> {
  const engines = await startServer(new URL('support/engines.ts', import.meta.url), {
    args: [String(ENGINES), String(STEP_MS)],
  });
  const gateway = await startGateway({ COMFYUI_URL: engines.url });
  const scrape = async (): Promise<string> => (await fetch(`${gateway.url}/metrics`)).text();
  try {
    const image = await picture();
    await untilSum(scrape, 'qwen_edit_engine_state', 'state="READY"', ENGINES);
    await submitMany(gateway.url, image, ENDED, 1);
    await untilSum(scrape, 'qwen_edit_jobs_ended_total', 'outcome="completed"', ENDED);
    await submitMany(gateway.url, image, JOBS, 100);
    await untilSum(scrape, 'qwen_edit_jobs_held', 'state="running"', ENGINES);
    const times: number[] = [];
    let text = '';
    const before = await gateway.cpuSeconds();
    for (let n = 0; n < SCRAPES; n += 1) {
      const begun = performance.now();
      text = await scrape();
      times.push(performance.now() - begun);
    }
    const cpuMs = (((await gateway.cpuSeconds()) - before) * 1000) / SCRAPES;
    const samples = text.split('\n').filter(line => line !== '' && !line.startsWith('#')).length;
    return { ...latency(times), cpuMs, samples, bytes: text.length };
  } finally {
    await gateway.stop();
    await engines.stop();
  }
}
