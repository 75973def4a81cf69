import { readdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { Bench } from './support/measurement.ts';
import { printReport, type Report, reportOf, savePlots, saveReport } from './support/report.ts';

const available = (await readdir(new URL('.', import.meta.url)))
  .filter(file => file.endsWith('.bench.ts'))
  .map(file => file.replace('.bench.ts', ''))
  .sort();

const HELP = `npm run bench -- [name …] [options]

Measures what the names say, everything without any name. Trust the ratios: the absolute figures are of this machine.

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
  const unknown = positionals.filter(name => !available.includes(name));
  if (unknown.length > 0) throw new Error(`No measurement ${unknown.join(', ')}; there are ${available}`);
  const asked = values.runs === undefined ? null : Number(values.runs);
  if (asked !== null && !(Number.isInteger(asked) && asked > 0)) {
    throw new Error(`--runs takes a whole number above 0, not "${values.runs}"`);
  }
  const reports: Report[] = [];
  for (const name of positionals.length > 0 ? positionals : available) {
    try {
      reports.push(await run(name, asked, values.json === undefined));
    } catch (error) {
      // The others are measured all the same.
      fail(error);
    }
  }
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(reports, null, 2)}\n`);
}

async function run(name: string, asked: number | null, save: boolean): Promise<Report> {
  const { bench }: { bench: Bench } = await import(`./${name}.bench.ts`);
  const runs = asked ?? bench.runs;
  const note = (text: string): void => console.error(`${name}: ${text}`);
  const findings = await bench.measure({ runs, note });
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
