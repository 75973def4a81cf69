import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { createEngineClient, EngineUnreachable } from '../../comfyui/client.ts';
import { checkAgainstEngine } from '../../workflows/check/engine.ts';
import { type ObjectInfo, parseObjectInfo } from '../../workflows/check/object-info.ts';
import { didYouMean } from '../../workflows/messages.ts';
import type { Workflow } from '../../workflows/workflow.ts';
import { CommandFailure, type Done, EXIT_CODES, say } from '../outcome.ts';
import {
  checkAgainstKnowledge,
  explainProblem,
  type Findings,
  filesOf,
  shippedKnowledge,
  source,
} from './knowledge.ts';
import { dirOption, readWorkflows } from './list.ts';

const ENGINE_TIMEOUT_MS = 60_000;

interface CheckOptions {
  dir: string;
  engine?: string;
}

/** Adds `workflows check`. */
export function addCheck(workflows: Command, done: Done): void {
  workflows
    .command('check')
    .description(
      'Print what is wrong with workflows, and where. With an engine they are checked against its nodes and model files, without one against the nodes that this program knows.',
    )
    .argument('[names...]', 'check only these workflows')
    .option('--engine <url>', 'a ComfyUI to check against', engineUrl)
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
      done((await check(names, options)) ? 0 : 1);
    });
}

function engineUrl(text: string): string {
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return text;
  throw new InvalidArgumentError('It takes a URL such as http://127.0.0.1:8188.');
}

/** Prints the findings; resolves with whether there are no problems. */
async function check(names: readonly string[], { dir, engine }: CheckOptions): Promise<boolean> {
  const { workflows, broken } = await readWorkflows(dir);
  const present = [...workflows, ...broken].map(({ name }) => name);
  if (present.length === 0) throw new CommandFailure(`There is no workflow in ${dir}`);
  const unknown = names.find(name => !present.includes(name));
  if (unknown !== undefined) {
    throw new CommandFailure(`There is no workflow "${unknown}" in ${dir}${didYouMean(unknown, present)}`, 2);
  }
  const findingsOf = engine === undefined ? await offlineCheck() : engineCheck(await objectInfoOf(engine));
  const all = [
    ...broken.map(({ name, problems }) => ({ name, check: () => ({ problems, notes: [] }) })),
    ...workflows.map(workflow => ({ name: workflow.name, check: () => findingsOf(workflow) })),
  ].filter(({ name }) => names.length === 0 || names.includes(name));
  let ok = true;
  for (const { name, check } of all) {
    const findings = check();
    ok &&= findings.problems.length === 0;
    print(name, findings);
  }
  return ok;
}

async function offlineCheck(): Promise<(workflow: Workflow) => Findings> {
  const known = await shippedKnowledge();
  return workflow => checkAgainstKnowledge(workflow, known);
}

function engineCheck(info: ObjectInfo): (workflow: Workflow) => Findings {
  const files = filesOf(info);
  return workflow => {
    const problems = checkAgainstEngine(workflow, info);
    const reported = problems.flatMap(problem => (problem.kind === 'model-missing' ? problem.file : []));
    const lacksClass = problems.some(problem => problem.kind === 'node-missing');
    // The files of options that are not the default, and those of a missing loader, which lists none.
    const others = workflow.manifest.requires.models.filter(
      ({ file }) => !files.has(file) && !reported.includes(file),
    );
    return {
      problems: problems.map(problem => explainProblem(problem, workflow, info)),
      notes: others.map(
        ({ file, folder, from }) =>
          `the file ${file} was not found in models/${folder}${source(from)}${lacksClass ? '' : '; only some parameters need it'}`,
      ),
    };
  };
}

async function objectInfoOf(url: string): Promise<ObjectInfo> {
  const client = createEngineClient({ url, timeoutMs: ENGINE_TIMEOUT_MS });
  try {
    return parseObjectInfo(await client.objectInfo());
  } catch (error) {
    if (!(error instanceof EngineUnreachable || error instanceof z.ZodError)) throw error;
    throw new CommandFailure(`--engine: ${client.url} does not respond like ComfyUI: ${error.message}`);
  } finally {
    await client.close();
  }
}

function print(name: string, { problems, notes }: Findings): void {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  say(`${name}: ${problems.length === 0 ? 'ok' : count}`);
  for (const text of problems) say(`  ${text}`);
  for (const text of notes) say(`  note: ${text}`);
}
