import { type Command, Option } from 'commander';
import type { Client, JobSnapshot } from '../client/client.ts';
import { PREVIEW_CHOICES, type PreviewChoice } from './graphics.ts';
import { checkOutput, openImage, saveImage } from './image-files.ts';
import { CommandFailure, failureCode, printJson, say, untilInterrupted } from './outcome.ts';
import { choosePreviews } from './previews.ts';
import { createJsonView, createProgressView } from './progress.ts';
import type { Remote } from './remote.ts';

/** The options of a command that waits for a job. */
export interface WaitOptions extends Remote {
  readonly preview: PreviewChoice;
  readonly out?: string;
  readonly open?: boolean;
}

/** Adds `--open` and `--preview`. */
export function addWaitOptions(command: Command): Command {
  return command
    .option('--open', 'then open the file in the desktop’s image viewer')
    .addOption(
      new Option(
        '--preview <how>',
        'show images above the bar: detect the terminal, use a protocol, or never',
      )
        .choices(PREVIEW_CHOICES)
        .default('auto')
        .env('QWEN_EDIT_PREVIEW'),
    );
}

/** The options of a command that submits a job. */
export interface SubmitOptions extends WaitOptions {
  readonly watch?: boolean;
}

/** Adds `--out` and `--watch`. */
export function addOutputOptions(command: Command): Command {
  return command
    .option('-o, --out <file>', 'wait, and save the output image to this file; - for standard output')
    .option('--watch', 'wait, and show the progress');
}

/** Waits for a job that was just submitted, with `--out` and `--watch`; otherwise prints its id. */
export async function followSubmitted(
  client: Client,
  job: JobSnapshot,
  options: SubmitOptions,
): Promise<void> {
  const { out, watch, json } = options;
  if (out !== undefined || watch === true) await waitForJob(client, job.id, options);
  else if (json === true) printJson(job);
  if (out === undefined && json !== true) say(job.id);
}

/** Throws CommandFailure for options that could only fail once the job has ended. */
export async function checkWaitOptions({ out, open }: WaitOptions): Promise<void> {
  if (open === true && out === undefined) throw new CommandFailure('--open needs a file: --out <file>', 2);
  await checkOutput(out, open);
}

/** Follows the job to its end. With `out`, saves its output image, and with `open` shows it. */
export async function waitForJob(client: Client, id: string, options: WaitOptions): Promise<void> {
  const { out, open } = options;
  // With `--out -`, standard output is the image.
  const json = options.json === true && out !== '-';
  const goOn = `The job goes on.\n  qwen-edit watch ${id}\n  qwen-edit cancel ${id}`;
  await untilInterrupted(goOn, async signal => {
    await followJob(client, id, { ...options, json }, signal);
    if (out === undefined) return;
    await saveImage(client, id, out, { signal });
    if (out !== '-' && !json) say(`Saved ${out}`);
  });
  if (open === true && out !== undefined) await openImage(out);
}

/**
 * Shows a job until it ends: as a bar on standard error, with images above it where the terminal shows them, or each
 * snapshot as JSON on standard output. Throws CommandFailure with the reason when it failed or was canceled, and the
 * signal's reason when that aborts.
 */
async function followJob(
  client: Client,
  id: string,
  options: WaitOptions,
  signal: AbortSignal,
): Promise<void> {
  const previews = options.json === true ? null : await choosePreviews(options, options.preview);
  const view =
    options.json === true
      ? createJsonView()
      : createProgressView(process.stderr, { leavesSignals: true, redraws: previews !== null });
  let last: JobSnapshot | null = null;
  try {
    const watch = client.watch(id, {
      signal,
      // As JSON each snapshot is printed whole.
      previews: options.json === true || previews !== null,
      onRetry: ({ message }) => view.lost(message),
    });
    for await (const job of watch) {
      view.show(job);
      previews?.show(job);
      last = job;
    }
  } finally {
    await previews?.finish(last, signal);
    view.done();
  }
  if (last?.status === 'COMPLETED') return;
  const { code = 'CANCELED', message = 'The job was canceled', retryable = false } = last?.error ?? {};
  throw new CommandFailure(`${code}: ${message}`, failureCode(retryable));
}
