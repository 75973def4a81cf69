import type { Command } from 'commander';
import { type Awaiting, addAwaitingOptions, awaitPicture, checkAwaiting } from '../await-picture.ts';
import { CommandFailure, WATCHING_EXIT_CODES } from '../outcome.ts';
import { addRemoteOptions, withClient } from './remote.ts';

/** Adds `watch`. */
export function addWatch(program: Command): void {
  const command = program
    .command('watch')
    .description('Show the progress of a job, to its end.')
    .argument('<id>')
    .option('-o, --out <file>', 'save the picture there; - for standard output');
  addRemoteOptions(addAwaitingOptions(command))
    .addHelpText(
      'after',
      `
Broken connections are made anew. Ctrl-C ends the watching, not the job: see cancel.

Examples:
  qwen-edit watch 0b9c…
  qwen-edit watch 0b9c… -o out.png --open
  qwen-edit watch 0b9c… --json | jq .progress

${WATCHING_EXIT_CODES}`,
    )
    .action(async (id: string, options: Awaiting) => {
      await checkAwaiting(options);
      await withClient(options, async client => {
        // What a watch would try again for a minute fails here at once, as it does for the other commands.
        if ((await client.job(id)) === null) throw new CommandFailure(`Job not found: ${id}`);
        await awaitPicture(client, id, options);
      });
    });
}
