import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { loadWorkflows, SHIPPED_WORKFLOWS } from '../../workflows/files/load.ts';
import type { LoadedWorkflows, Workflow } from '../../workflows/workflow.ts';
import { CommandFailure, type Done, EXIT_CODES, say } from '../outcome.ts';

/** `--dir`, an option of every `workflows` command. */
export function dirOption(): Option {
  return new Option('--dir <folder>', 'the folder of workflows')
    .env('WORKFLOWS_DIR')
    .default(SHIPPED_WORKFLOWS, 'those that come with the project');
}

/** Reads the folder. Throws a CommandFailure when it cannot be read. */
export async function readWorkflows(dir: string): Promise<LoadedWorkflows> {
  try {
    return await loadWorkflows(resolve(dir));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(`--dir: ${dir} cannot be read: ${reason}`);
  }
}

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
      printTable([['NAME', 'VERSION', 'IMAGES', 'STEPS', 'TITLE'], ...rows, ...broken]);
      done(broken.length === 0 ? 0 : 1);
    });
}

function rowOf({ name, version, manifest }: Workflow): string[] {
  const required = manifest.images.filter(image => image.required).length;
  const all = manifest.images.length;
  const count = required === all ? String(all) : `${Math.max(1, required)}-${all}`;
  const images = manifest.mask === undefined ? count : `${count}, mask`;
  return [name, version, images, String(manifest.parameters.steps.default), manifest.title];
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
