import { resolve } from 'node:path';
import { loadWorkflows } from '../../workflows/files/load.ts';
import type { LoadedWorkflows, Workflow } from '../../workflows/workflow.ts';
import { CommandFailure, say } from '../outcome.ts';

/** Reads the folder. Throws a CommandFailure when it cannot be read. */
export async function readWorkflows(dir: string): Promise<LoadedWorkflows> {
  try {
    return await loadWorkflows(resolve(dir));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(`--dir: ${dir} cannot be read: ${reason}`);
  }
}

/** Prints the workflows of a folder; resolves with whether all of them can be used. */
export async function list(dir: string): Promise<boolean> {
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
  return broken.length === 0;
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
