import { didYouMean } from '../../workflows/messages.ts';
import type { Workflow } from '../../workflows/workflow.ts';
import { CommandFailure, say } from '../outcome.ts';
import { engineFindings, objectInfoOf } from './engine.ts';
import { checkAgainstKnowledge, type Findings, shippedKnowledge } from './knowledge.ts';
import { readWorkflows } from './list.ts';

/** The options of `workflows check`. */
export interface CheckOptions {
  dir: string;
  engine?: string;
}

/** Prints the findings; resolves with whether there are no problems. */
export async function check(names: readonly string[], { dir, engine }: CheckOptions): Promise<boolean> {
  const { workflows, broken } = await readWorkflows(dir);
  const present = [...workflows, ...broken].map(({ name }) => name);
  if (present.length === 0) throw new CommandFailure(`There is no workflow in ${dir}`);
  const unknown = names.find(name => !present.includes(name));
  if (unknown !== undefined) {
    throw new CommandFailure(`There is no workflow "${unknown}" in ${dir}${didYouMean(unknown, present)}`, 2);
  }
  const findingsOf = engine === undefined ? await offlineCheck() : await engineCheck(engine);
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

async function engineCheck(url: string): Promise<(workflow: Workflow) => Findings> {
  const info = await objectInfoOf(url);
  return workflow => engineFindings(workflow, info);
}

function print(name: string, { problems, notes }: Findings): void {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  say(`${name}: ${problems.length === 0 ? 'ok' : count}`);
  for (const text of problems) say(`  ${text}`);
  for (const text of notes) say(`  note: ${text}`);
}
