import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { loadWorkflow, SHIPPED_WORKFLOWS } from '../../workflows/files/load.ts';
import { type Graph, nodeLabel } from '../../workflows/graph.ts';
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
      'Create a workflow from a graph that ComfyUI exported by "Export (API)": a folder with the graph and a draft of its manifest, for you to review.',
    )
    .requiredOption('--from <graph.json>', 'the exported graph')
    .option(
      '--name <name>',
      'lowercase letters, digits, dots, dashes and underscores (default: from the name of the file)',
    )
    .option('--force', 'overwrite a workflow of that name', false)
    .option('--keep-graph', 'do not change the nodes of the graph', false)
    .addOption(dirOption())
    .addHelpText(
      'after',
      `
A graph without inputs for the size of each job gets them: the node that scales the image becomes an ImageScale, or
one is added. Nodes that the result does not need are removed. Each such change is printed.

Examples:
  qwen-edit workflows new --from ~/Downloads/my_edit_api.json
  qwen-edit workflows new --from exported.json --name my-edit --dir ./my-workflows --force

${EXIT_CODES}`,
    )
    .action(async (options: NewOptions) => {
      done((await create(options)) ? 0 : 1);
    });
}

/** Writes the workflow; resolves with whether the check without an engine finds no problems. */
async function create(options: NewOptions): Promise<boolean> {
  const name = nameOf(options);
  const given = await readGraph(options.from);
  const { graph, changes } = options.keepGraph ? { graph: given, changes: [] } : adaptGraph(given);
  const drafted = scaffoldManifest(name, graph);
  if (!drafted.ok) {
    throw new CommandFailure(
      `${options.from}: cannot draft a manifest; the graph lacks: ${drafted.missing.join('; ')}. Write workflow.json by hand if it has them under other names.`,
    );
  }
  const folder = join(resolve(options.dir), name);
  if (!options.force && existsSync(folder)) {
    throw new CommandFailure(`${folder} already exists: choose another --name, or --force to overwrite it`);
  }
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'graph.json'), json(graph));
  await writeFile(join(folder, 'workflow.json'), json(written(drafted.manifest, options.dir)));
  say(`Wrote ${folder}`);
  for (const change of changes) say(`  changed: ${change}`);
  printChoices(drafted.manifest, graph);
  return printFindings(folder, name);
}

function nameOf({ name, from }: NewOptions): string {
  const valid = /^[a-z0-9][a-z0-9._-]{0,63}$/;
  if (name !== undefined) {
    if (valid.test(name)) return name;
    throw new CommandFailure(
      `--name takes lowercase letters, digits, dots, dashes and underscores, got "${name}"`,
      2,
    );
  }
  // For a file with a common name, the name of its folder says more.
  const stem = basename(from).replace(/\.json$/i, '');
  const word = /^(graph|api|workflow|workflow_api)$/i.test(stem) ? basename(dirname(resolve(from))) : stem;
  const made = word
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[._-]+|[._-]+$/g, '')
    .slice(0, 64);
  if (valid.test(made)) return made;
  throw new CommandFailure(`--name is needed: ${from} has no letters or digits to use as a name`, 2);
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

/** Without `$schema`, unless the folder is that of the shipped workflows: its relative path is wrong elsewhere. */
function written(manifest: Manifest, dir: string): Manifest {
  if (resolve(dir) === resolve(SHIPPED_WORKFLOWS)) return manifest;
  const { $schema: _, ...rest } = manifest;
  return rest;
}

function printChoices({ inputs, images, output, parameters }: Manifest, graph: Graph): void {
  const label = (node: string) => nodeLabel(graph, node);
  say('Guessed from the graph; review it in workflow.json:');
  for (const { slot, target } of images) say(`  image ${slot}: ${label(target.node)}`);
  for (const [field, target] of Object.entries(inputs)) {
    for (const { node, input } of listTargets(target)) say(`  ${field}: ${label(node)}, input ${input}`);
  }
  say(`  output: ${label(output.node)}`);
  say(`  defaults: ${parameters.steps.default} steps, cfg ${parameters.cfg.default}`);
}

async function printFindings(folder: string, name: string): Promise<boolean> {
  const workflow = await loadWorkflow(folder, name);
  const findings =
    'manifest' in workflow
      ? checkAgainstKnowledge(workflow, await shippedKnowledge())
      : { problems: workflow.problems, notes: [] };
  for (const text of findings.problems) say(`  problem: ${text}`);
  for (const text of findings.notes) say(`  note: ${text}`);
  return findings.problems.length === 0;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
