import { readdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type Comparison, compare, tableOf } from './support/guard.ts';
import type { Bench, BenchContext } from './support/measurement.ts';
import {
  type Machine,
  printReport,
  printTable,
  type Report,
  readStored,
  reportOf,
  savePlots,
  saveReport,
  thisMachine,
} from './support/report.ts';

const available = (await readdir(new URL('.', import.meta.url)))
  .filter(file => file.endsWith('.bench.ts'))
  .map(file => file.replace('.bench.ts', ''))
  .sort();

const HELP = `npm run bench -- [name …] [options]
npm run bench -- guard [name …]

Measures what the names say, everything without any name. Trust the ratios: the absolute figures are of this machine.
"guard" measures for a few seconds each and prints the figures beside the stored ones; it stores nothing, and fails only
when a measurement cannot run. It takes neither --runs nor --json.

  --runs <number>  how often each is measured; default: what each asks for
  --json <file>    write all results to one file; otherwise each goes to bench/results/<name>.json, and plots
                   to docs/plots/
  --help           this text

Names: ${available.join(', ')}
`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const guards = positionals[0] === 'guard';
  const names = guards ? positionals.slice(1) : positionals;
  const unknown = names.filter(name => !available.includes(name));
  if (unknown.length > 0) throw new Error(`No measurement ${unknown.join(', ')}; there are ${available}`);
  if (guards) {
    if (values.runs !== undefined || values.json !== undefined) {
      throw new Error('guard takes neither --runs nor --json: it measures once and writes no file');
    }
    return guard(names.length > 0 ? names : available);
  }
  const asked = values.runs === undefined ? null : Number(values.runs);
  if (asked !== null && !(Number.isInteger(asked) && asked > 0)) {
    throw new Error(`--runs takes a whole number above 0, not "${values.runs}"`);
  }
  const reports: Report[] = [];
  for (const name of names.length > 0 ? names : available) {
    try {
      reports.push(await run(name, asked, values.json === undefined));
    } catch (error) {
      // The others are measured all the same.
      fail(error);
    }
  }
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(reports, null, 2)}\n`);
}

/** Prints short runs of those that have one beside the stored results. A bench that fails sets the exit code, a figure never. */
async function guard(names: readonly string[]): Promise<void> {
  const begun = performance.now();
  const compared: (Comparison & { bench: string })[] = [];
  const machines = new Set<string>();
  for (const name of names) {
    const { guard } = await load(name);
    if (guard === undefined) continue;
    const started = performance.now();
    try {
      const stored = await readStored(name);
      const findings = await guard.measure({ runs: 1, note: noteOf(name) });
      if (stored !== null) machines.add(textOf(stored.machine));
      compared.push(...compare(guard.figures, stored, findings).map(one => ({ ...one, bench: name })));
    } catch (error) {
      fail(error);
    }
    noteOf(name)(`${secondsSince(started)} s`);
  }
  console.log(
    `\nShort runs beside the stored results, ${secondsSince(begun)} s in all. No figure fails the build.`,
  );
  console.log(`Stored: ${[...machines].join('; ')}. Now: ${textOf(thisMachine())}.\n`);
  printTable(tableOf(compared));
}

const secondsSince = (begun: number): string => ((performance.now() - begun) / 1_000).toFixed(1);

function textOf({ cores, processor, node, platform }: Machine): string {
  return `${cores} × ${processor}, Node ${node}, ${platform}`;
}

async function load(name: string): Promise<Bench> {
  const { bench }: { bench: Bench } = await import(`./${name}.bench.ts`);
  return bench;
}

function noteOf(name: string): BenchContext['note'] {
  return text => console.error(`${name}: ${text}`);
}

async function run(name: string, asked: number | null, save: boolean): Promise<Report> {
  const bench = await load(name);
  const runs = asked ?? bench.runs;
  const findings = await bench.measure({ runs, note: noteOf(name) });
  const report = reportOf(name, bench, runs, findings);
  printReport(report);
  if (save) {
    await saveReport(report);
    await savePlots(findings);
  }
  return report;
}

function fail(error: unknown): void {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

main().catch(fail);
