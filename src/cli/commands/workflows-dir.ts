import { resolve } from 'node:path';
import { Option } from 'commander';
import { type LoadedWorkflows, loadWorkflows } from '../../workflows/load.ts';
import { SHIPPED_WORKFLOWS } from '../../workflows/shipped.ts';
import { CommandFailure } from '../outcome.ts';

/** `--dir`, as every command about workflows has it. */
export function dirOption(): Option {
  return new Option('--dir <folder>', 'the folder of workflows')
    .env('WORKFLOWS_DIR')
    .default(SHIPPED_WORKFLOWS, 'those that come with the project');
}

/** Reads the folder; a CommandFailure when it cannot be read. */
export async function readWorkflows(dir: string): Promise<LoadedWorkflows> {
  try {
    return await loadWorkflows(resolve(dir));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(`--dir: ${dir} cannot be read: ${reason}`);
  }
}
