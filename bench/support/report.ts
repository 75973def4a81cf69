import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import type { Bench, Findings } from './measurement.ts';
import { drawPlot } from './plot.ts';

/** What is kept of one bench, as `bench/results/<name>.json` has it. */
export interface Report extends Omit<Findings, 'plots'> {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly runs: number;
  readonly machine: Machine;
}

/** What the absolute figures depend on. */
export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly node: string;
  readonly platform: string;
}

const RESULTS = new URL('../results/', import.meta.url);
const PLOTS = new URL('../../docs/plots/', import.meta.url);

/** Puts the findings together with what they were found on. */
export function reportOf(name: string, { title, about }: Bench, runs: number, findings: Findings): Report {
  const { rows, ratios } = findings;
  return { name, title, about, runs, machine: thisMachine(), rows, ratios };
}

/** The machine of this process. */
export function thisMachine(): Machine {
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? 'unknown',
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
  };
}

/** The tables for a reader at a terminal. */
export function printReport({ name, title, about, rows, ratios }: Report): void {
  console.log(`\n${name}: ${title}\n${about}\n`);
  printTable([
    ['', 'unit', 'median', 'min – max', 'samples'],
    ...rows.map(({ name, unit, median, min, max, samples }) => [
      name,
      unit,
      String(median),
      `${min} – ${max}`,
      String(samples),
    ]),
  ]);
  if (ratios.length === 0) return;
  console.log('');
  printTable([
    ['', 'value', 'bar', ''],
    ...ratios.map(({ name, value, bar, met }) => [
      name,
      String(value),
      bar === null ? '–' : `${bar.relation} ${bar.value}`,
      met === null ? '' : met ? 'met' : 'NOT MET',
    ]),
  ]);
}

/** Writes `bench/results/<name>.json`. */
export async function saveReport(report: Report): Promise<void> {
  await mkdir(RESULTS, { recursive: true });
  await writeFile(new URL(`${report.name}.json`, RESULTS), `${JSON.stringify(report, null, 2)}\n`);
}

/** Reads `bench/results/<name>.json`; null when there is none. */
export async function readStored(name: string): Promise<Report | null> {
  try {
    const report: Report = JSON.parse(await readFile(new URL(`${name}.json`, RESULTS), 'utf8'));
    return report;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

/** Writes `docs/plots/<file>.svg` for each plot. */
export async function savePlots({ plots = [] }: Findings): Promise<void> {
  await mkdir(PLOTS, { recursive: true });
  for (const plot of plots) await writeFile(new URL(`${plot.file}.svg`, PLOTS), drawPlot(plot));
}

/** The cells of each column below each other. */
export function printTable(lines: readonly (readonly string[])[]): void {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map(line => (line[column] ?? '').length)),
  );
  for (const line of lines) {
    console.log(`  ${line.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
  }
}
