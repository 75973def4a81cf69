import type { Command } from 'commander';
import { type Done, EXIT_CODES, needOption } from '../outcome.ts';
import type { CheckOptions } from './check.ts';
import type { NewOptions } from './new.ts';
import { dirOption, engineOption } from './options.ts';

/** Adds `workflows` with its subcommands. Each loads what it needs when it runs: the others start without it. */
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

function addList(workflows: Command, done: Done): void {
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
      const { list } = await import('./list.ts');
      done((await list(dir)) ? 0 : 1);
    });
}

function addCheck(workflows: Command, done: Done): void {
  workflows
    .command('check')
    .description(
      'Print what is wrong with workflows, and where. With an engine they are checked against its nodes and model files, without one against the nodes that this program knows.',
    )
    .argument('[names...]', 'check only these workflows')
    .addOption(engineOption('a ComfyUI to check against'))
    .addOption(dirOption())
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit workflows check
  qwen-edit workflows check my-edit --dir ./my-workflows
  qwen-edit workflows check --engine http://user:password@gpu.example:8188

${EXIT_CODES}`,
    )
    .action(async (names: string[], options: CheckOptions) => {
      const { check } = await import('./check.ts');
      done((await check(names, options)) ? 0 : 1);
    });
}

function addNew(workflows: Command, done: Done): void {
  const command = workflows
    .command('new')
    .description(
      'Create a workflow from a graph that people published: a folder with the graph and a draft of its manifest, for you to review.',
    );
  needOption(
    command,
    '--from <file>',
    'the graph: exported by "Export (API)", saved by the editor of ComfyUI, or a PNG, WebP or JPEG that carries it',
  )
    .option(
      '--name <name>',
      'lowercase letters, digits, dots, dashes and underscores (default: from the name of the file)',
    )
    .option(
      '--output <node>',
      'the node whose images are the result: its id, title or class (default: the one nearest to the last sampler)',
    )
    .addOption(
      engineOption('a ComfyUI that tells the inputs of node classes that this program does not know'),
    )
    .option('--force', 'overwrite a workflow of that name', false)
    .option('--keep-graph', 'do not change the nodes of the graph', false)
    .addOption(dirOption())
    .addHelpText(
      'after',
      `
A graph without inputs for the size of each job gets them: the node that scales the image becomes an ImageScale, or
one is added. The node of the result becomes a SaveImage, loaders of base64 texts or URLs a LoadImage. Nodes that the
result does not need are removed. Each such change is printed.

Examples:
  qwen-edit workflows new --from ~/Downloads/my_edit_api.json
  qwen-edit workflows new --from ComfyUI_00042_.png --name my-edit --output 60
  qwen-edit workflows new --from my_edit.json --engine http://127.0.0.1:8188
  qwen-edit workflows new --from exported.json --name my-edit --dir ./my-workflows --force

${EXIT_CODES}`,
    )
    .action(async (options: NewOptions) => {
      const { create } = await import('./new.ts');
      done((await create(options)) ? 0 : 1);
    });
}
