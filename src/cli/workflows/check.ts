import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { createEngineClient } from '../../comfyui/client.ts';
import { EngineUnreachable } from '../../comfyui/unreachable.ts';
import { checkAgainstEngine } from '../../workflows/check/engine.ts';
import { type ObjectInfo, parseObjectInfo } from '../../workflows/check/object-info.ts';
import { didYouMean } from '../../workflows/messages.ts';
import type { Workflow } from '../../workflows/workflow.ts';
import { CommandFailure, type Done, EXIT_CODES, say } from '../outcome.ts';
import {
  checkAgainstKnowledge,
  explainProblem,
  filesOf,
  type KnowledgeFindings,
  shippedKnowledge,
} from './knowledge.ts';
import { dirOption, readWorkflows } from './list.ts';

const ENGINE_ANSWER_MS = 60_000;

interface CheckOptions {
  dir: string;
  engine?: string;
}

/** Adds `workflows check`. */
export function addCheck(workflows: Command, done: Done): void {
  workflows
    .command('check')
    .description(
      'Say what is wrong with workflows, and where. Without an engine they are held against the nodes that the project knows; with one against what it has, model files included.',
    )
    .argument('[names...]', 'only these workflows')
    .option('--engine <url>', 'a ComfyUI to hold them against', engineUrl)
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

/** Whether all is well. */
async function check(names: readonly string[], { dir, engine }: CheckOptions): Promise<boolean> {
  const loaded = await readWorkflows(dir);
  const present = [...loaded.workflows, ...loaded.broken].map(({ name }) => name);
  if (present.length === 0) throw new CommandFailure(`There is no workflow in ${dir}`);
  const strange = names.find(name => !present.includes(name));
  if (strange !== undefined) {
    throw new CommandFailure(`There is no workflow "${strange}" in ${dir}${didYouMean(strange, present)}`, 2);
  }
  const wanted = ({ name }: { name: string }) => names.length === 0 || names.includes(name);
  const judge = engine === undefined ? await offline() : against(await inventoryOf(engine));
  let well = true;
  for (const { name, problems } of loaded.broken.filter(wanted)) {
    well = false;
    print(name, { problems, notes: [] });
  }
  for (const workflow of loaded.workflows.filter(wanted)) {
    const findings = judge(workflow);
    well &&= findings.problems.length === 0;
    print(workflow.name, findings);
  }
  return well;
}

type Judge = (workflow: Workflow) => KnowledgeFindings;

async function offline(): Promise<Judge> {
  const known = await shippedKnowledge();
  return workflow => checkAgainstKnowledge(workflow, known);
}

function against(info: ObjectInfo): Judge {
  const files = filesOf(info);
  return workflow => {
    const problems = checkAgainstEngine(workflow, info);
    const told = new Set(
      problems.flatMap(problem => (problem.kind === 'model-missing' ? [problem.file] : [])),
    );
    const lacksClass = problems.some(problem => problem.kind === 'node-missing');
    const others = workflow.manifest.requires.models.filter(
      ({ file }) => !files.has(file) && !told.has(file),
    );
    return {
      problems: problems.map(problem => explainProblem(problem, workflow, info)),
      // Files of choices that are not the default, or of a loader that lists nothing because it is not there.
      notes: others.map(
        ({ file, folder, from }) =>
          `the file ${file} was not found${lacksClass ? '' : ', which only some parameters need'}; it belongs in models/${folder}${from === undefined ? '' : ` (from ${from})`}`,
      ),
    };
  };
}

async function inventoryOf(url: string): Promise<ObjectInfo> {
  const client = createEngineClient({ url, timeoutMs: ENGINE_ANSWER_MS });
  try {
    return parseObjectInfo(await client.objectInfo());
  } catch (error) {
    if (!(error instanceof EngineUnreachable || error instanceof z.ZodError)) throw error;
    throw new CommandFailure(`--engine: ${client.url} does not answer as ComfyUI does: ${error.message}`);
  } finally {
    await client.close();
  }
}

function print(name: string, { problems, notes }: KnowledgeFindings): void {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  say(`${name}: ${problems.length === 0 ? 'ok' : count}`);
  for (const text of problems) say(`  ${text}`);
  for (const text of notes) say(`  note: ${text}`);
}
