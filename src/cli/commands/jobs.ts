import { type Command, InvalidArgumentError, Option } from 'commander';
import { JOB_STATUSES, type JobSnapshot, type JobStatus } from '../../client/client.ts';
import { REMOTE_EXIT_CODES } from '../outcome.ts';
import { printJson, say, tell } from '../output.ts';
import { describe } from '../progress-view.ts';
import { addRemoteOptions, type Remote, takeWhole, withClient } from './remote.ts';

interface JobsOptions extends Remote {
  readonly first: number;
  readonly after?: string;
  readonly status?: JobStatus[];
}

/** Adds `jobs`. */
export function addJobs(program: Command): void {
  addRemoteOptions(program.command('jobs'))
    .description('List jobs, the newest first.')
    .option('--first <number>', 'how many, 1 to 100', takeWhole(1, 100), 20)
    .option('--after <cursor>', 'the page after this cursor, which the page before printed')
    .addOption(new Option('--status <list>', 'only these, comma separated').argParser(takeStatuses))
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit jobs
  qwen-edit jobs --status queued,processing
  qwen-edit jobs --first 100 --json | jq -r .id

${REMOTE_EXIT_CODES}`,
    )
    .action(async ({ first, after, status, ...options }: JobsOptions) => {
      const page = await withClient(options, client =>
        client.jobs({
          first,
          ...(after === undefined ? {} : { after }),
          ...(status === undefined ? {} : { status }),
        }),
      );
      for (const job of page.nodes) {
        if (options.json === true) printJson(job);
        else say(lineOf(job));
      }
      if (page.pageInfo.hasNextPage) tell(`More: --after ${page.pageInfo.endCursor}`);
    });
}

function lineOf(job: JobSnapshot): string {
  const failed = job.status === 'ERROR' ? `  ${job.error?.code}` : '';
  return `${job.id}  ${job.createdAt}  ${job.status.padEnd(10)}  ${describe(job)}${failed}`.trimEnd();
}

function takeStatuses(text: string): JobStatus[] {
  return text.split(',').map(word => {
    const name = word.trim().toUpperCase();
    const status = JOB_STATUSES.find(candidate => candidate === name);
    if (status !== undefined) return status;
    throw new InvalidArgumentError(`It takes ${JOB_STATUSES.map(known => known.toLowerCase()).join(', ')}.`);
  });
}
