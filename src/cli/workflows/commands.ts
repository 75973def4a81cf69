import type { Command } from 'commander';
import { type Done, EXIT_CODES } from '../outcome.ts';
import { addCheck } from './check.ts';
import { addList } from './list.ts';
import { addNew } from './new.ts';

/** Adds `workflows` with its subcommands. */
export function addWorkflows(program: Command, done: Done): void {
  const workflows = program
    .command('workflows')
    .description('List, check and create workflows: folders of graph.json and workflow.json.')
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit workflows list
  qwen-edit workflows check --engine http://127.0.0.1:8188
  qwen-edit workflows new --from exported.json --name my-edit

${EXIT_CODES}`,
    );
  addList(workflows, done);
  addCheck(workflows, done);
  addNew(workflows, done);
}
