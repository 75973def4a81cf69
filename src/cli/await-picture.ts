import type { Command } from 'commander';
import type { Client } from '../client/client.ts';
import { addPreviewOption, type Following, followJob } from './follow.ts';
import { untilInterrupted } from './interruption.ts';
import { checkOpens, openPicture } from './open-picture.ts';
import { CommandFailure } from './outcome.ts';
import { say } from './output.ts';
import { checkTarget, savePicture } from './save.ts';

/** What a command takes that waits for a job's picture. */
export interface Awaiting extends Following {
  readonly out?: string;
  readonly open?: boolean;
}

/** `--open` and `--preview`. */
export function addAwaitingOptions(command: Command): Command {
  return addPreviewOption(command.option('--open', 'then show the file with the desktop’s own program'));
}

/** Refuses what could only fail at the job's end. */
export async function checkAwaiting({ out, open }: Awaiting): Promise<void> {
  if (open === true && out === undefined) throw new CommandFailure('--open needs a file: --out <file>', 2);
  checkOpens(open, out);
  await checkTarget(out);
}

/** Follows the job to its end, saves its picture where one is wanted, and opens that. */
export async function awaitPicture(client: Client, id: string, options: Awaiting): Promise<void> {
  const { out, open } = options;
  // Standard output may be the picture's.
  const json = options.json === true && out !== '-';
  const goOn = `The job goes on.\n  qwen-edit watch ${id}\n  qwen-edit cancel ${id}`;
  await untilInterrupted(goOn, async signal => {
    await followJob(client, id, { ...options, json, signal });
    if (out === undefined) return;
    await savePicture(client, id, out, { signal });
    if (out !== '-' && !json) say(`Saved ${out}`);
  });
  if (open === true && out !== undefined) await openPicture(out);
}
