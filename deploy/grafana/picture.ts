/**
 * Draws `docs/dashboard.svg`: a Prometheus (on the PATH) scrapes a gateway with two sandbox engines under load for some
 * minutes, and each panel of the dashboard shows what Prometheus answers to its own queries. Not Grafana's drawing.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { stringify } from 'yaml';
import { z } from 'zod';
import { startEngine, startGateway } from '../../bench/support/processes.ts';
import { picture } from '../../bench/support/rig.ts';
import { createClient } from '../../src/client/client.ts';
import { freePort } from '../../test/support/servers.ts';
import { type Drawn, drawDashboard } from './draw.ts';

const MINUTES = 5;
const SCRAPE_S = 2;
const STEP_S = 4;

const dashboard = z
  .object({
    panels: z.array(
      z.object({
        title: z.string(),
        type: z.enum(['stat', 'timeseries']),
        gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
        targets: z.array(z.object({ expr: z.string(), legendFormat: z.string() })),
        fieldConfig: z.object({ defaults: z.object({ unit: z.string() }) }),
      }),
    ),
  })
  .parse(JSON.parse(await readFile(new URL('qwen-edit.json', import.meta.url), 'utf8')));

const answer = z.object({
  data: z.object({
    result: z.array(
      z.object({
        metric: z.record(z.string(), z.string()),
        values: z.array(z.tuple([z.number(), z.string()])),
      }),
    ),
  }),
});

const folder = await mkdtemp(join(tmpdir(), 'dashboard-'));
const steady = await startEngine(40);
const port = await freePort();
let flaky = await startEngine(40, { port });
const metricsPort = await freePort();
const gateway = await startGateway({
  COMFYUI_URL: `${steady.url},${flaky.url}`,
  METRICS_PORT: String(metricsPort),
  ENGINE_GRACE: '5s',
  ENGINE_PROBE: '2s',
});
const prometheusPort = await freePort();
await writeFile(
  join(folder, 'prometheus.yml'),
  stringify({
    global: { scrape_interval: `${SCRAPE_S}s` },
    scrape_configs: [{ job_name: 'qwen-edit', static_configs: [{ targets: [`127.0.0.1:${metricsPort}`] }] }],
  }),
);
const prometheus = spawn(
  'prometheus',
  [
    '--config.file=prometheus.yml',
    '--storage.tsdb.path=data',
    `--web.listen-address=127.0.0.1:${prometheusPort}`,
    '--log.level=error',
  ],
  { cwd: folder, stdio: 'inherit' },
);
const client = createClient({ url: gateway.url });
try {
  const begun = Date.now();
  const until = begun + MINUTES * 60_000;
  await Promise.all([submitUntil(until), disturb(begun), browseUntil(until)]);
  const range = { start: begun / 1000 + 60, end: Date.now() / 1000 };
  const drawn: Drawn[] = [];
  for (const { targets, fieldConfig, ...panel } of dashboard.panels) {
    const series = (
      await Promise.all(targets.map(target => ask(target.expr, target.legendFormat, range)))
    ).flat();
    drawn.push({ ...panel, unit: fieldConfig.defaults.unit, series });
  }
  await writeFile(new URL('../../docs/dashboard.svg', import.meta.url), drawDashboard(drawn, range));
} finally {
  await client.close();
  const exited = new Promise(resolve => prometheus.once('exit', resolve));
  prometheus.kill();
  await exited;
  await gateway.stop();
  await steady.stop();
  await flaky.stop();
  await rm(folder, { recursive: true, force: true });
}

/** Bursts of jobs, each watched by several, so that the queue fills and empties. */
async function submitUntil(until: number): Promise<void> {
  const dataUri = await picture();
  const watching: Promise<unknown>[] = [];
  for (let burst = 0; Date.now() < until - 40_000; burst += 1) {
    const jobs = 6 + ((burst * 5) % 13);
    for (let n = 0; n < jobs; n += 1) {
      const steps = 8 + ((n * 7) % 20);
      const result = await client.edit({ images: [{ dataUri }], prompt: 'burst', steps, megapixels: 0.1 });
      if (result.__typename !== 'EditJob') continue;
      if (n % 6 === 5) await client.cancel(result.id);
      for (let watcher = 0; watcher <= n % 3; watcher += 1) watching.push(client.wait(result.id));
    }
    await delay(15_000);
  }
  await Promise.all(watching);
}

async function browseUntil(until: number): Promise<void> {
  while (Date.now() < until) {
    await fetch(`${gateway.url}/jobs`).then(response => response.text());
    await fetch(`${gateway.url}/status/unknown`).then(response => response.text());
    await client.jobs({ first: 10 });
    await delay(200);
  }
}

/** First an engine fails jobs for a while, then it is away for half a minute. */
async function disturb(begun: number): Promise<void> {
  const failNode = { class: 'KSampler', message: 'a fault of this picture' };
  await delay(begun + MINUTES * 20_000 - Date.now());
  await setFaults(steady.url, { failNode });
  await delay(20_000);
  await setFaults(steady.url, {});
  await delay(begun + MINUTES * 30_000 - Date.now());
  flaky.child.kill('SIGKILL');
  await flaky.stop();
  await delay(30_000);
  flaky = await startEngine(40, { port });
}

async function setFaults(url: string, faults: Record<string, unknown>): Promise<void> {
  const body = JSON.stringify(faults);
  await fetch(`${url}/sandbox/faults`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
}

async function ask(
  expr: string,
  legend: string,
  { start, end }: { readonly start: number; readonly end: number },
): Promise<Drawn['series']> {
  const query = expr.replaceAll('$__rate_interval', '20s').replaceAll('$instance', '.*');
  const url = new URL(`http://127.0.0.1:${prometheusPort}/api/v1/query_range`);
  url.search = String(
    new URLSearchParams({ query, start: String(start), end: String(end), step: String(STEP_S) }),
  );
  const { data } = answer.parse(await (await fetch(url)).json());
  return data.result.map(({ metric, values }) => ({
    name: legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? ''),
    points: values
      .map(([at, value]) => [at, Number(value)] as const)
      .filter(([, value]) => Number.isFinite(value)),
  }));
}
