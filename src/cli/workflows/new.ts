import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { loadWorkflow, SHIPPED_WORKFLOWS } from '../../workflows/files/load.ts';
import type { Graph } from '../../workflows/graph.ts';
import { listTargets, type Manifest } from '../../workflows/manifest.ts';
import { CommandFailure, type Done, EXIT_CODES, say } from '../outcome.ts';
import { adaptGraph, readPublishedGraph } from './exported.ts';
import { checkAgainstKnowledge, shippedKnowledge } from './knowledge.ts';
import { dirOption } from './list.ts';
import { scaffoldManifest } from './scaffold.ts';

interface NewOptions {
  from: string;
  name?: string;
  dir: string;
  force: boolean;
  keepGraph: boolean;
}

/** Adds `workflows new`. */
export function addNew(workflows: Command, done: Done): void {
  workflows
    .command('new')
    .description(
      'Make a workflow of a graph that ComfyUI exported by "Export (API)": a folder with the graph and a first manifest, to be read over.',
    )
    .requiredOption('--from <graph.json>', 'the exported graph')
    .option('--name <name>', 'small letters, digits, dots and dashes; left out: after the file')
    .option('--force', 'write over a workflow of that name', false)
    .option('--keep-graph', 'leave the nodes of the graph as they are', false)
    .addOption(dirOption())
    .addHelpText(
      'after',
      `
A graph without a place for the size of each job gets one: the node that scales the picture becomes an ImageScale, or
one is put in. Nodes that the result does not need are left out. Each such change is printed.

Examples:
  qwen-edit workflows new --from ~/Downloads/my_edit_api.json
  qwen-edit workflows new --from exported.json --name my-edit --dir ./my-workflows --force

${EXIT_CODES}`,
    )
    .action(async (options: NewOptions) => {
      done((await make(options)) ? 0 : 1);
    });
}

/** Whether the workflow that was written has no fault that can be seen here. */
async function make(options: NewOptions): Promise<boolean> {
  const name = nameOf(options);
  const given = await readGraph(options.from);
  const { graph, changes } = options.keepGraph ? { graph: given, changes: [] } : adaptGraph(given);
  const made = scaffoldManifest(name, graph);
  if (!made.ok) {
    throw new CommandFailure(
      `${options.from}: no manifest can be made of it, for want of: ${made.missing.join('; ')}. Write workflow.json by hand if the graph has them under other names.`,
    );
  }
  const folder = join(resolve(options.dir), name);
  if (!options.force && (await exists(folder))) {
    throw new CommandFailure(
      `${folder} is there already: choose another --name, or --force to write over it`,
    );
  }
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'graph.json'), json(graph));
  await writeFile(join(folder, 'workflow.json'), json(written(made.manifest, options.dir)));
  say(`Wrote ${folder}`);
  for (const change of changes) say(`  changed: ${change}`);
  tellChoices(made.manifest, graph);
  return report(folder, name);
}

function nameOf({ name, from }: NewOptions): string {
  const valid = /^[a-z0-9][a-z0-9._-]{0,63}$/;
  if (name !== undefined) {
    if (valid.test(name)) return name;
    throw new CommandFailure(`--name takes small letters, digits, dots and dashes, got "${name}"`, 2);
  }
  // A file that is called like every other says less than its folder.
  const stem = basename(from).replace(/\.json$/i, '');
  const word = /^(graph|api|workflow|workflow_api)$/i.test(stem) ? basename(dirname(resolve(from))) : stem;
  const made = word
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[._-]+|[._-]+$/g, '')
    .slice(0, 64);
  if (valid.test(made)) return made;
  throw new CommandFailure(`--name is needed: no name can be made of ${from}`, 2);
}

async function readGraph(path: string): Promise<Graph> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(`--from: ${path} cannot be read as JSON: ${reason}`);
  }
  const found = readPublishedGraph(value);
  if (found.ok) return found.graph;
  throw new CommandFailure(`--from: ${path} ${found.message}`);
}

/** The schema's address is right only beside the workflows that come with the project. */
function written(manifest: Manifest, dir: string): Manifest {
  if (resolve(dir) === resolve(SHIPPED_WORKFLOWS)) return manifest;
  const { $schema: _, ...rest } = manifest;
  return rest;
}

function tellChoices({ inputs, images, output, parameters }: Manifest, graph: Graph): void {
  const label = (node: string) => `node ${node} (${graph[node]?.class_type ?? ''})`;
  say('Taken for what it is; read it over in workflow.json:');
  for (const { slot, target } of images) say(`  image ${slot}: ${label(target.node)}`);
  for (const [field, target] of Object.entries(inputs)) {
    for (const { node, input } of listTargets(target)) say(`  ${field}: ${label(node)}, input ${input}`);
  }
  say(`  output: ${label(output.node)}`);
  say(`  by default ${parameters.steps.default} steps at cfg ${parameters.cfg.default}`);
}

async function report(folder: string, name: string): Promise<boolean> {
  const workflow = await loadWorkflow(folder, name);
  const findings =
    'manifest' in workflow
      ? checkAgainstKnowledge(workflow, await shippedKnowledge())
      : { problems: workflow.problems, notes: [] };
  for (const text of findings.problems) say(`  problem: ${text}`);
  for (const text of findings.notes) say(`  note: ${text}`);
  return findings.problems.length === 0;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw error;
  }
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
