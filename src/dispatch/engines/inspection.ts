import type { SystemStats } from '../../comfyui/answers.ts';
import { describeProblem, type WorkflowProblem } from '../../workflows/check/engine.ts';

/** Why an engine cannot run a workflow, by its name; an empty list where it can. */
export type Problems = ReadonlyMap<string, readonly WorkflowProblem[]>;

/** Why an engine with these problems can run no workflow; null when it can run some. */
export function whyUnfit(problems: Problems): string | null {
  if ([...problems.values()].some(list => list.length === 0)) return null;
  return problems.size === 0 ? 'there is no workflow to run' : inWords(problems);
}

/** Which workflows it runs and what it lacks for the others, to follow its name: `runs a, b; not c: lacks the node D`. */
export function sayWhatRuns(problems: Problems): string {
  const runs = [...problems].filter(([, list]) => list.length === 0).map(([name]) => name);
  const others = new Map([...problems].filter(([, list]) => list.length > 0));
  const first = runs.length === 0 ? 'runs no workflow' : `runs ${runs.join(', ')}`;
  return others.size === 0 ? first : `${first}; not ${inWords(others)}`;
}

function inWords(problems: Problems): string {
  return [...problems].map(([name, list]) => `${name}: ${list.map(describeProblem).join(', ')}`).join('; ');
}

/**
 * Whether POST /interrupt honours a prompt id. An engine older than 0.3.57 ignores it and stops whatever runs
 * (ComfyUI pull request 9607). An unknown version counts as old: the careful way works on both.
 */
export function canTarget(stats: SystemStats | null): boolean {
  const [, major, minor, patch] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(stats?.version ?? '') ?? [];
  if (major === undefined) return false;
  const number = Number(major) * 1e6 + Number(minor) * 1e3 + Number(patch);
  return number >= 3_057;
}
