import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { loadWorkflow } from '../../workflows/files/load.ts';
import { SHIPPED_WORKFLOWS } from '../../workflows/files/shipped.ts';
import { nodeLabel } from '../../workflows/graph.ts';
import { listTargets, type Manifest } from '../../workflows/manifest.ts';
import { CommandFailure, say } from '../outcome.ts';
import { expertise, type Made, makeFirst } from './make.ts';
import { readSource } from './source.ts';

/** The options of `workflows new`. */
export interface NewOptions {
  from: string;
  name?: string;
  output?: string;
  engine?: string;
  dir: string;
  force: boolean;
  keepGraph: boolean;
}

/** Writes the workflow; resolves with whether the check finds no problems. */
export async function create(options: NewOptions): Promise<boolean> {
  const name = nameOf(options);
  const sources = await readSource(options.from);
  const expert = await expertise(options.engine ?? null);
  const made = makeFirst(name, sources, expert, options);
  if (!made.ok) throw new CommandFailure(`--from: ${options.from}: ${made.message}`);
  const folder = join(resolve(options.dir), name);
  if (!options.force && existsSync(folder)) {
    throw new CommandFailure(`${folder} already exists: choose another --name, or --force to overwrite it`);
  }
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'graph.json'), json(made.graph));
  await writeFile(join(folder, 'workflow.json'), json(written(made.manifest, options.dir)));
  say(`Wrote ${folder}`);
  for (const change of made.changes) say(`  changed: ${change}`);
  printChoices(made);
  const workflow = await loadWorkflow(folder, name);
  const findings =
    'manifest' in workflow ? expert.findings(workflow) : { problems: workflow.problems, notes: [] };
  for (const text of findings.problems) say(`  problem: ${text}`);
  for (const text of [...made.notes, ...findings.notes]) say(`  note: ${text}`);
  return findings.problems.length === 0;
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
  const stem = basename(from).replace(/\.(json|png|webp|jpe?g)$/i, '');
  const word = /^(graph|api|workflow|workflow_api)$/i.test(stem) ? basename(dirname(resolve(from))) : stem;
  const made = word
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[._-]+|[._-]+$/g, '')
    .slice(0, 64);
  if (valid.test(made)) return made;
  throw new CommandFailure(`--name is needed: ${from} has no letters or digits to use as a name`, 2);
}

/** Without `$schema`, unless the folder is that of the shipped workflows: its relative path is wrong elsewhere. */
function written(manifest: Manifest, dir: string): Manifest {
  if (resolve(dir) === resolve(SHIPPED_WORKFLOWS)) return manifest;
  const { $schema: _, ...rest } = manifest;
  return rest;
}

function printChoices({ manifest, graph, published, others }: Made): void {
  const { inputs, images, output, parameters } = manifest;
  const label = (node: string) => nodeLabel(graph, node);
  say('Guessed from the graph; review it in workflow.json:');
  for (const { slot, required, target } of images) {
    say(`  image ${slot}: ${label(target.node)}${required && slot > 1 ? ', required' : ''}`);
  }
  for (const [field, target] of Object.entries(inputs)) {
    for (const { node, input } of listTargets(target)) say(`  ${field}: ${label(node)}, input ${input}`);
  }
  if (inputs.width === undefined && inputs.megapixels === undefined) {
    say('  size: the graph decides it, so edits cannot set megapixels');
  }
  const choice = others.map(({ id }) => nodeLabel(published, id)).join(', ');
  say(`  output: ${label(output.node)}${choice === '' ? '' : `; --output chooses another: ${choice}`}`);
  say(`  defaults: ${parameters.steps.default} steps, cfg ${parameters.cfg.default}`);
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
