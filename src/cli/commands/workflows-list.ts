import type { Command } from 'commander';
import type { Workflow } from '../../workflows/load.ts';
import { type Done, EXIT_CODES } from '../outcome.ts';
import { say } from '../output.ts';
import { dirOption, readWorkflows } from './workflows-dir.ts';

/** Adds `workflows list`. */
export function addList(workflows: Command, done: Done): void {
  workflows
    .command('list')
    .description('Print the workflows of a folder, the most preferred first.')
    .addOption(dirOption())
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit workflows list
  qwen-edit workflows list --dir ./my-workflows

${EXIT_CODES}`,
    )
    .action(async ({ dir }: { dir: string }) => {
      const loaded = await readWorkflows(dir);
      const rows = loaded.workflows.map(rowOf);
      const broken = loaded.broken.map(({ name, problems }) => [
        name,
        '-',
        '-',
        '-',
        `broken: ${problems[0] ?? ''}${problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''}`,
      ]);
      printTable([['NAME', 'VERSION', 'PICTURES', 'STEPS', 'TITLE'], ...rows, ...broken]);
      done(broken.length === 0 ? 0 : 1);
    });
}

function rowOf({ name, version, manifest }: Workflow): string[] {
  const required = manifest.images.filter(image => image.required).length;
  const all = manifest.images.length;
  const pictures = required === all ? String(all) : `${Math.max(1, required)}-${all}`;
  return [name, version, pictures, String(manifest.parameters.steps.default), manifest.title];
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)));
  for (const row of rows) {
    say(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  }
}
