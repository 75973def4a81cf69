import { type Command, InvalidArgumentError, Option } from 'commander';
import { JOB_STATUSES, type JobSnapshot, type JobStatus } from '../client/client.ts';
import { addWaitOptions, checkWaitOptions, type WaitOptions, waitForJob } from './follow.ts';
import { checkOutput, openImage, saveImage } from './image-files.ts';
import {
  CommandFailure,
  DOWNLOAD_EXIT_CODES,
  type Done,
  note,
  printJson,
  REMOTE_EXIT_CODES,
  say,
  untilInterrupted,
  WATCHING_EXIT_CODES,
} from './outcome.ts';
import { describe } from './progress.ts';
import { addRemoteOptions, entriesOf, type Remote, takeEntry, takeWhole, withClient } from './remote.ts';

interface JobsOptions extends Remote {
  readonly first: number;
  readonly after?: string;
  readonly status?: JobStatus[];
  readonly label?: string;
  readonly meta: Readonly<Record<string, string>>;
}

interface DownloadOptions extends Remote {
  readonly out?: string;
  readonly index?: number;
  readonly format?: 'png' | 'jpeg' | 'webp';
  readonly quality?: number;
  readonly open?: boolean;
}

/** Adds `jobs`. */
export function addJobs(program: Command): void {
  addRemoteOptions(program.command('jobs'))
    .description('List jobs, newest first.')
    .option('--first <number>', 'how many, 1 to 100', takeWhole(1, 100), 20)
    .option('--after <cursor>', 'the page after this cursor, which the page before printed')
    .addOption(new Option('--status <list>', 'only these, comma separated').argParser(takeStatuses))
    .option('--label <text>', 'only those with this label')
    .addOption(
      new Option('--meta <key=value>', 'only those with this entry; can be repeated')
        .argParser(takeEntry)
        .default({}, 'none'),
    )
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit jobs
  qwen-edit jobs --status queued,processing
  qwen-edit jobs --label spring --meta order=4711
  qwen-edit jobs --first 100 --json | jq -r .id

${REMOTE_EXIT_CODES}`,
    )
    .action(async ({ first, after, status, label, meta, ...options }: JobsOptions) => {
      const wanted = { first, after, status, label, metadata: entriesOf(meta) };
      const page = await withClient(options, client => client.jobs(wanted));
      for (const job of page.nodes) {
        if (options.json === true) printJson(job);
        else say(lineOf(job));
      }
      if (page.pageInfo.hasNextPage) note(`More: --after ${page.pageInfo.endCursor}`);
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
    throw new InvalidArgumentError(`Expected ${JOB_STATUSES.map(known => known.toLowerCase()).join(', ')}.`);
  });
}

/** Adds `watch`. */
export function addWatch(program: Command): void {
  const command = program
    .command('watch')
    .description('Show the progress of a job until it ends.')
    .argument('<id>')
    .option('-o, --out <file>', 'save the output image to this file; - for standard output');
  addRemoteOptions(addWaitOptions(command))
    .addHelpText(
      'after',
      `
A broken connection is made anew. Ctrl-C ends the watching, not the job: see cancel.

Examples:
  qwen-edit watch 0b9c…
  qwen-edit watch 0b9c… -o out.png --open
  qwen-edit watch 0b9c… --json | jq .progress

${WATCHING_EXIT_CODES}`,
    )
    .action(async (id: string, options: WaitOptions) => {
      await checkWaitOptions(options);
      await withClient(options, async client => {
        // Fails at once where a watch would retry for a minute, like the other commands.
        if ((await client.job(id)) === null) throw new CommandFailure(`Job not found: ${id}`);
        await waitForJob(client, id, options);
      });
    });
}

/** Adds `cancel`. */
export function addCancel(program: Command, done: Done): void {
  addRemoteOptions(program.command('cancel'))
    .description('Stop jobs. A job that has ended stays as it is.')
    .argument('<ids...>')
    .option('--delete', 'also delete them and their images')
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit cancel 0b9c…
  qwen-edit cancel --delete 0b9c… 77aa…
  qwen-edit jobs --status queued --json | jq -r .id | xargs qwen-edit cancel

${REMOTE_EXIT_CODES}`,
    )
    .action(async (ids: string[], options: Remote & { delete?: boolean }) => {
      await withClient(options, async client => {
        for (const id of ids) {
          const result = options.delete === true ? await client.delete(id) : await client.cancel(id);
          if (options.json === true) printJson(result);
          switch (result.__typename) {
            case 'EditJob':
              if (options.json !== true) say(`${id}  ${result.status}`);
              break;
            case 'EditDeletedJob':
              if (options.json !== true) say(`${id}  deleted`);
              break;
            case 'EditJobNotFound':
              note(`${id}  ${result.message}`);
              done(1);
              break;
            default:
              result satisfies never;
          }
        }
      });
    });
}

/** Adds `download`. */
export function addDownload(program: Command): void {
  addRemoteOptions(program.command('download'))
    .description('Save an output image of a completed job.')
    .argument('<id>')
    .option('-o, --out <file>', 'default: the name from the gateway; - for standard output')
    .option('--index <number>', 'which of its images, from 0', takeWhole(0))
    .addOption(new Option('--format <format>', 'convert it').choices(['png', 'jpeg', 'webp']))
    .option('--quality <number>', '1 to 100, for jpeg and webp', takeWhole(1, 100))
    .option('--open', 'then open the file in the desktop’s image viewer')
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit download 0b9c… -o out.png --open
  qwen-edit download 0b9c… --format webp --quality 80 -o out.webp

${DOWNLOAD_EXIT_CODES}`,
    )
    .action(async (id: string, { out, open, ...options }: DownloadOptions) => {
      await checkOutput(out, open);
      const { index, format, quality } = options;
      const file = await withClient(options, client =>
        untilInterrupted('The image was not saved.', signal =>
          saveImage(client, id, out, { index, format, quality, signal }),
        ),
      );
      if (file === '-') return;
      if (options.json === true) printJson({ id, file });
      else say(`Saved ${file}`);
      if (open === true) await openImage(file);
    });
}
