import { createInterface } from 'node:readline/promises';
import { type Command, Option } from 'commander';
import type { Client, RetryResult } from '../client/client.ts';
import { batchOf, followBatch, namesById, prepareBatchOutput, waitForBatch } from './batch.ts';
import {
  addOutputOptions,
  addWaitOptions,
  checkWaitOptions,
  followSubmitted,
  type SubmitOptions,
  type WaitOptions,
  waitForJob,
} from './follow.ts';
import { checkOutput, openImage, saveImage } from './image-files.ts';
import {
  CommandFailure,
  DOWNLOAD_EXIT_CODES,
  type Done,
  failureCode,
  note,
  printJson,
  REMOTE_EXIT_CODES,
  say,
  untilInterrupted,
  WATCHING_EXIT_CODES,
} from './outcome.ts';
import { addRemoteOptions, type Remote, takeWhole, withClient } from './remote.ts';

interface DownloadOptions extends Remote {
  readonly out?: string;
  readonly index?: number;
  readonly format?: 'png' | 'jpeg' | 'webp';
  readonly quality?: number;
  readonly open?: boolean;
}

/** Adds `watch`. */
export function addWatch(program: Command): void {
  const command = program
    .command('watch')
    .description('Show the progress of a job, or of a batch, until it ends.')
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
      await withClient(options, async client => {
        // Fails at once where a watch would retry for a minute, like the other commands.
        if ((await client.job(id)) !== null) {
          await checkWaitOptions(options);
          return waitForJob(client, id, options);
        }
        if ((await client.batch(id)) === null) throw new CommandFailure(`Job not found: ${id}`);
        await prepareBatchOutput(options);
        await waitForBatch(client, id, options, namesById);
      });
    });
}

/** Adds `cancel`. */
export function addCancel(program: Command, done: Done): void {
  addRemoteOptions(program.command('cancel'))
    .description('Stop jobs, or the jobs of batches. A job that has ended stays as it is.')
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
          if (options.json === true && result.__typename !== 'EditJobNotFound') printJson(result);
          switch (result.__typename) {
            case 'EditJob':
              if (options.json !== true) say(`${id}  ${result.status}`);
              break;
            case 'EditDeletedJob':
              if (options.json !== true) say(`${id}  deleted`);
              break;
            case 'EditJobNotFound':
              if (await cancelBatch(client, id, options)) break;
              if (options.json === true) printJson(result);
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

/** Cancels the batch with this id, if there is one; with `--delete` batches are left to their jobs. */
async function cancelBatch(
  client: Client,
  id: string,
  { json, delete: deletes }: Remote & { delete?: boolean },
): Promise<boolean> {
  const result = deletes === true ? null : await client.cancelBatch(id);
  if (result?.__typename !== 'EditBatch') return false;
  if (json === true) printJson(result);
  else say(`${id}  ${result.canceled} of ${result.total} canceled`);
  return true;
}

/** Adds `retry`. */
export function addRetry(program: Command): void {
  const command = program
    .command('retry')
    .description(
      'Submit the request of a job that has ended again, as a new job; of a batch, those that failed.',
    )
    .argument('<id>');
  addRemoteOptions(addWaitOptions(addOutputOptions(command)))
    .addHelpText(
      'after',
      `
The new job has the same images, prompt and seed. Without --out or --watch it prints the new job's id and does not
wait. Ctrl-C ends the waiting, not the job.

Examples:
  qwen-edit retry 0b9c…
  qwen-edit retry 0b9c… -o out.png --open
  qwen-edit jobs --status error --json | jq -r .id | xargs -n 1 qwen-edit retry

${WATCHING_EXIT_CODES}`,
    )
    .action(async (id: string, options: SubmitOptions) => {
      await withClient(options, async client => {
        if ((await client.job(id)) === null && (await client.batch(id)) !== null) {
          await prepareBatchOutput(options);
          return followBatch(client, batchOf(await client.retryFailed(id)), options, namesById);
        }
        await checkWaitOptions(options);
        await followSubmitted(client, retriedJob(id, await client.retry(id)), options);
      });
    });
}

function retriedJob(id: string, result: RetryResult): Extract<RetryResult, { __typename: 'EditJob' }> {
  switch (result.__typename) {
    case 'EditJob':
      return result;
    case 'EditJobNotFound':
      throw new CommandFailure(`Job not found: ${id}`);
    case 'EditJobNotFinal':
      throw new CommandFailure(`${result.message}\n  qwen-edit watch ${id}\n  qwen-edit cancel ${id}`);
    case 'EditInvalidInput':
    case 'EditImageRejected':
    case 'EditQueueFull':
    case 'EditLimitReached':
    case 'EditNotAllowed':
      throw new CommandFailure(`${result.code}: ${result.message}`, failureCode(result.retryable));
    default:
      return result satisfies never;
  }
}

/** Adds `delete`. */
export function addDelete(program: Command, done: Done): void {
  addRemoteOptions(program.command('delete'))
    .description('Delete jobs and their images, and stop those that run.')
    .argument('<ids...>')
    .option('-y, --yes', 'do not ask on a terminal')
    .addHelpText(
      'after',
      `
On a terminal it asks first, because nothing brings a job back. Elsewhere it does not.

Examples:
  qwen-edit delete 0b9c…
  qwen-edit delete --yes 0b9c… 77aa…
  qwen-edit jobs --status error --json | jq -r .id | xargs qwen-edit delete

${REMOTE_EXIT_CODES}`,
    )
    .action(async (ids: string[], { yes, ...options }: Remote & { yes?: boolean }) => {
      if (yes !== true && !(await confirms(ids.length))) throw new CommandFailure('Nothing was deleted');
      await withClient(options, async client => {
        for (const id of ids) {
          const result = await client.delete(id);
          if (options.json === true) printJson(result);
          if (result.__typename === 'EditDeletedJob') {
            if (options.json !== true) say(`${id}  deleted`);
          } else {
            note(`${id}  ${result.message}`);
            done(1);
          }
        }
      });
    });
}

/** Asks on a terminal; true elsewhere. */
async function confirms(count: number): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const what = count === 1 ? 'the job and its images' : `${count} jobs and their images`;
    return /^y(es)?$/i.test((await terminal.question(`Delete ${what}? [y/N] `)).trim());
  } finally {
    terminal.close();
  }
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
