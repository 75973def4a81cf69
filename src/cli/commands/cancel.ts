import type { Command } from 'commander';
import { type Done, REMOTE_EXIT_CODES } from '../outcome.ts';
import { printJson, say, tell } from '../output.ts';
import { addRemoteOptions, type Remote, withClient } from './remote.ts';

/** Adds `cancel`. */
export function addCancel(program: Command, done: Done): void {
  addRemoteOptions(program.command('cancel'))
    .description('Stop jobs. One that has ended stays as it is.')
    .argument('<ids...>')
    .option('--delete', 'remove them too, with their pictures')
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
            case 'Job':
              if (options.json !== true) say(`${id}  ${result.status}`);
              break;
            case 'DeletedJob':
              if (options.json !== true) say(`${id}  deleted`);
              break;
            case 'JobNotFound':
              tell(`${id}  ${result.message}`);
              done(1);
              break;
            default:
              result satisfies never;
          }
        }
      });
    });
}
