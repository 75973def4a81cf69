import { type Command, Option } from 'commander';
import type { Client, JobSnapshot } from '../client/client.ts';
import type { Remote } from './commands/remote.ts';
import { chooseProtocol, PREVIEW_CHOICES, type PreviewChoice } from './graphics/protocol.ts';
import { CommandFailure, failureCode } from './outcome.ts';
import { createPictureSource } from './picture-source.ts';
import { createPreviews, type Previews } from './previews.ts';
import { createJsonView, createProgressView } from './progress-view.ts';

/** What a command takes that follows a job. */
export interface Following extends Remote {
  readonly preview: PreviewChoice;
}

/** `--preview`, as every command has it that follows a job. */
export function addPreviewOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--preview <how>',
      'pictures above the bar: as the terminal says that it shows them, by the protocol named, or never',
    )
      .choices(PREVIEW_CHOICES)
      .default('auto')
      .env('QWEN_EDIT_PREVIEW'),
  );
}

/**
 * Shows a job to its end: as a bar on standard error, with pictures above it where they can be shown, or each snapshot
 * as JSON on standard output. Resolves with the completed job; throws CommandFailure with the reason for one that failed
 * or was canceled, and the signal's reason when that aborts.
 */
export async function followJob(
  client: Client,
  id: string,
  options: Following & { readonly signal: AbortSignal },
): Promise<JobSnapshot> {
  const { json, signal } = options;
  const previews = json === true ? null : await choosePreviews(options);
  const view =
    json === true
      ? createJsonView()
      : createProgressView(process.stderr, { leavesSignals: true, redraws: previews !== null });
  let last: JobSnapshot | null = null;
  try {
    for await (const job of client.watch(id, { signal, onRetry: ({ message }) => view.lost(message) })) {
      view.show(job);
      previews?.show(job);
      last = job;
    }
  } finally {
    await previews?.finish(last, signal);
    view.done();
  }
  if (last?.status === 'COMPLETED') return last;
  const { code = 'CANCELED', message = 'The job was canceled', retryable = false } = last?.error ?? {};
  throw new CommandFailure(`${code}: ${message}`, failureCode(retryable));
}

async function choosePreviews(options: Following): Promise<Previews | null> {
  const protocol = chooseProtocol(options.preview, process);
  if (protocol === null) return null;
  // Loads the library for pictures, which takes longer than most commands.
  const { createPane } = await import('./graphics/pane.ts');
  const pane = createPane(process.stderr, protocol);
  return createPreviews(createPictureSource(options), bytes => pane.draw(bytes));
}
