import { resolve } from 'node:path';
import type { Config } from '../config.ts';
import { unmatchedPatterns } from '../jobs/limits.ts';
import { loadWorkflows } from '../workflows/files/load.ts';
import { SHIPPED_WORKFLOWS } from '../workflows/files/shipped.ts';
import { didYouMean } from '../workflows/messages.ts';
import type { Workflow } from '../workflows/workflow.ts';
import { type Check, reasonOf, reporter } from './check.ts';

/** Reads the workflows; none where the folder cannot be read. */
export async function checkWorkflows({
  WORKFLOWS_DIR,
  WORKFLOW,
  CALLER_POLICIES,
}: Config): Promise<{ workflows: readonly Workflow[]; checks: Check[] }> {
  const dir = resolve(WORKFLOWS_DIR ?? SHIPPED_WORKFLOWS);
  const report = reporter('workflows', dir);
  try {
    const { workflows, broken } = await loadWorkflows(dir);
    const names = workflows.map(({ name }) => name);
    const faults = broken.map(({ name, problems }) =>
      reporter('workflows', name).warning(
        `is broken: ${problems.join('; ')}`,
        `qwen-edit workflows check ${name} --dir ${dir}`,
      ),
    );
    if (names.length === 0) {
      faults.push(report.wrong('has no usable workflow', 'unset WORKFLOWS_DIR to use those of the package'));
    } else {
      faults.push(report.ok(names.join(', ')));
    }
    if (
      WORKFLOW !== undefined &&
      !names.includes(WORKFLOW) &&
      !broken.some(({ name }) => name === WORKFLOW)
    ) {
      const message = `there is no workflow of this name in ${dir}${didYouMean(WORKFLOW, names)}`;
      faults.push(reporter('workflows', `WORKFLOW=${WORKFLOW}`).wrong(message, `WORKFLOW=${names[0] ?? ''}`));
    }
    const all = [...names, ...broken.map(({ name }) => name)];
    for (const { policy, pattern } of unmatchedPatterns(CALLER_POLICIES?.values() ?? [], all)) {
      const message = `the policy ${policy} allows ${pattern}, which matches no workflow${didYouMean(pattern, all)}`;
      faults.push(reporter('workflows', 'CALLER_POLICIES').warning(message, 'correct or remove the pattern'));
    }
    return { workflows, checks: faults };
  } catch (error) {
    const check = report.wrong(reasonOf(error), 'WORKFLOWS_DIR=<a folder that exists and can be read>');
    return { workflows: [], checks: [check] };
  }
}

/**
 * Whether the workflow that edits get by default runs on some engine. `runs` has the names that the engines which respond
 * can run, null where none responds.
 */
export function checkDefault({ WORKFLOW }: Config, runs: ReadonlySet<string> | null): Check[] {
  if (WORKFLOW === undefined || runs === null || runs.has(WORKFLOW)) return [];
  const [other] = runs;
  const fix = 'give an engine what it lacks, see above';
  return [
    reporter('workflows', `WORKFLOW=${WORKFLOW}`).wrong(
      'no engine can run it, so edits wait',
      other === undefined ? fix : `${fix}; or WORKFLOW=${other}`,
    ),
  ];
}
