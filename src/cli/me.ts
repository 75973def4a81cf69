import type { Command } from 'commander';
import type { Caller } from '../client/client.ts';
import { printJson, REMOTE_EXIT_CODES, say } from './outcome.ts';
import { addRemoteOptions, type Remote, withClient } from './remote.ts';

/** Adds `me`. */
export function addMe(program: Command): void {
  addRemoteOptions(program.command('me'))
    .description('Show how the gateway has identified you, what you may do and what of that you use.')
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit me
  qwen-edit me --json | jq .used.megapixelSteps

${REMOTE_EXIT_CODES}`,
    )
    .action(async (options: Remote) => {
      const caller = await withClient(options, client => client.me());
      if (options.json === true) printJson(caller);
      else for (const line of linesOf(caller)) say(line);
    });
}

function linesOf({ id, operator, limits, used }: Caller): string[] {
  const lines = [`${id ?? 'without a key'}${operator ? ', an operator' : ''}`];
  if (limits !== null) {
    lines.push(`policy: ${limits.policy}`);
    if (limits.highestPriority !== null) lines.push(`highest priority: ${limits.highestPriority}`);
    if (limits.workflows !== null) lines.push(`workflows: ${limits.workflows.join(', ')}`);
  }
  if (used === null) return lines;
  const of = (limit: number | null | undefined): string => (limit == null ? '' : ` of ${limit}`);
  const day = used.resetsAt.slice(0, 16).replace('T', ' ');
  return [
    ...lines,
    `waiting jobs: ${used.waitingJobs}${of(limits?.waitingJobs)}`,
    `running jobs: ${used.runningJobs}${of(limits?.runningJobs)}`,
    `megapixel-steps until ${day} UTC: ${used.megapixelSteps}${of(limits?.megapixelStepsPerDay)}`,
  ];
}
