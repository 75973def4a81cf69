import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { startRig } from '../support/gateway.ts';
import { submit } from '../support/requests.ts';
import { findPromtool } from '../support/stores/install.ts';
import { watchOverWebSocket } from '../support/watch.ts';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('../../deploy/', import.meta.url));
const read = (file: string): string => readFileSync(join(folder, file), 'utf8');

const dashboard = z
  .object({
    panels: z.array(
      z.object({
        title: z.string(),
        gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
        targets: z.array(z.object({ expr: z.string(), legendFormat: z.string() })).min(1),
      }),
    ),
  })
  .parse(JSON.parse(read('grafana/qwen-edit.json')));
const rules = z
  .object({
    groups: z.array(z.object({ rules: z.array(z.object({ alert: z.string(), expr: z.string() })) })),
  })
  .parse(parse(read('prometheus/alerts.yml')));
const scaledObject = z
  .object({
    spec: z.object({ triggers: z.array(z.object({ metadata: z.object({ query: z.string() }) })).min(1) }),
  })
  .parse(parse(read('kubernetes/components/keda/scaled-object.yaml')));

const alerts = rules.groups.flatMap(group => group.rules);
/** What Grafana puts in for its variables. */
const inGrafana = (expr: string): string =>
  expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*');
const expressions = [
  ...dashboard.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }) => ({ where: `panel ${title}`, expr: inGrafana(expr) })),
  ),
  ...alerts.map(({ alert, expr }) => ({ where: alert, expr })),
  ...scaledObject.spec.triggers.map(({ metadata }) => ({ where: 'KEDA', expr: metadata.query })),
];

let scraped: string;
let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rules-'));
  const rig = await startRig({
    SANDBOX_STEP: '1ms',
    WEBHOOK_SECRET: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    ENGINE_WAKE_URL: 'http://127.0.0.1:9090/',
    ENGINE_WAKE_SECRET: 'whsec_QlJyWm1rOXNMdzN2VHg4cEg2ZkRhR2dOYzRYdTdlMQ==',
  });
  try {
    await watchOverWebSocket(rig.url, await submit(rig, { steps: 2 }));
    scraped = await (await fetch(`${rig.url}/metrics`)).text();
  } finally {
    await rig.close();
  }
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function promtool(...args: string[]): Promise<string> {
  const { stdout } = await run(await findPromtool(), args, { cwd: join(folder, 'prometheus') });
  return stdout;
}

/** What promtool says about the metrics of a scrape; rejects when it finds a fault. */
async function checkMetrics(text: string): Promise<string> {
  const checking = run(await findPromtool(), ['check', 'metrics']);
  checking.child.stdin?.end(text);
  const { stdout, stderr } = await checking;
  return stdout + stderr;
}

describe('the metrics of a scrape', () => {
  it('are named and described as promtool wants them', async () => {
    expect(await checkMetrics(scraped)).toBe('');
    const unlike = scraped.replaceAll('qwen_edit_jobs_ended_total', 'qwen_edit_jobs_ended');
    await expect(checkMetrics(unlike)).rejects.toThrow('counter metrics should have "_total" suffix');
  });

  it('are those of the table in docs/observability.md', () => {
    const helps = new Map(
      [...scraped.matchAll(/^# HELP (\S+) (.*)$/gm)].map(([, name, help]) => [name, help]),
    );
    const types = [...scraped.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
    const page = readFileSync(new URL('../../docs/observability.md', import.meta.url), 'utf8');
    const rows = [
      ...page.matchAll(/^\| `((?:qwen_edit|process|nodejs)_\w+)` \| (\w+) \| (.*?) \| (.*) \|$/gm),
    ].map(([, name = '', type, labels = '', help]) => ({ name, type, labels, help }));
    expect(types.length).toBeGreaterThan(20);
    expect(new Set(rows.map(({ name, type, help }) => `${name} ${type}: ${help}`))).toEqual(
      new Set(types.map(([, name = '', type]) => `${name} ${type}: ${helps.get(name)}`)),
    );
    for (const { name, labels } of rows) {
      const sample = new RegExp(`^${name}(?:_count)?(?:\\{(.*)\\})? \\S+$`, 'm').exec(scraped);
      if (sample === null) continue;
      const present = [...(sample[1] ?? '').matchAll(/(\w+)="/g)].map(([, label]) => label);
      expect(
        [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label),
        name,
      ).toEqual(present);
    }
  });
});

describe('the dashboard, alerts and KEDA', () => {
  it('name only metrics that a scrape has', () => {
    const types = [...scraped.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
    const known = new Set(
      types.flatMap(([, name = '', type]) =>
        type === 'histogram' ? ['_bucket', '_sum', '_count'].map(end => name + end) : [name],
      ),
    );
    const named = expressions.flatMap(({ where, expr }) =>
      [...expr.matchAll(/\b(?:qwen_edit|nodejs|process)_\w+/g)].map(([name]) => ({ where, name })),
    );
    expect(new Set(named.map(({ name }) => name)).size).toBeGreaterThan(15);
    expect(named.filter(({ name }) => !known.has(name))).toEqual([]);
  });

  it('select by labels and values that a scrape has', () => {
    for (const selector of ['outcome="completed"', 'state="READY"', 'state="waiting"', 'state="held"']) {
      expect(scraped).toContain(selector);
    }
    const labels = new Set([...scraped.matchAll(/[{,](\w+)="/g)].map(([, label]) => label));
    // Those that Prometheus itself sets, and that of metrics without samples here.
    for (const label of ['job', 'instance', 'alertname', 'response', 'event']) labels.add(label);
    const asked = expressions.flatMap(({ where, expr }) => [
      ...[...expr.matchAll(/[{,]\s*(\w+)(?:=|!=|=~)"/g)].map(([, label]) => ({ where, label })),
      ...[...expr.matchAll(/\b(?:by|on|ignoring) \(([^)]*)\)/g)].flatMap(([, list = '']) =>
        list.split(',').map(label => ({ where, label: label.trim() })),
      ),
    ]);
    expect(asked.length).toBeGreaterThan(40);
    expect(asked.filter(({ label = '' }) => !labels.has(label))).toEqual([]);
  });

  it('are valid PromQL', async () => {
    const file = join(scratch, 'expressions.yml');
    const recorded = expressions.map(({ expr }, n) => ({ record: `expression:${n}`, expr }));
    await writeFile(file, stringify({ groups: [{ name: 'all', rules: recorded }] }));
    expect(await promtool('check', 'rules', file)).toContain(`${expressions.length} rules found`);
  });
});

describe('deploy/prometheus', () => {
  it('has a configuration and rules that promtool accepts', async () => {
    expect(await promtool('check', 'config', 'prometheus.yml')).toContain(`${alerts.length} rules found`);
  });

  it('has rules that fire when they should, and only then', async () => {
    expect(await promtool('test', 'rules', 'alerts.test.yml')).toContain('SUCCESS');
    const tested = read('prometheus/alerts.test.yml');
    for (const { alert } of alerts) expect(tested.split(alert).length, alert).toBeGreaterThan(2);
  });
});

describe('the dashboard', () => {
  it('places its panels side by side, none over another', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    for (const { gridPos } of dashboard.panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
  });
});
