import type { Command } from 'commander';
import { followJob } from '../follow.ts';
import { EXIT_CODES } from '../outcome.ts';
import { savePicture } from '../save.ts';
import { addRemoteOptions, type Remote, withClient } from './remote.ts';

/** Adds `watch`. */
export function addWatch(program: Command): void {
  addRemoteOptions(program.command('watch'))
    .description('Show the progress of a job, to its end.')
    .argument('<id>')
    .option('-o, --out <file>', 'save the picture there; - for standard output')
    .addHelpText(
      'after',
      `
Broken connections are made anew. Ctrl-C ends the watching, not the job: see cancel.

Examples:
  qwen-edit watch 0b9c…
  qwen-edit watch 0b9c… -o out.png
  qwen-edit watch 0b9c… --json | jq .progress

${EXIT_CODES}`,
    )
    .action(async (id: string, options: Remote & { out?: string }) => {
      await withClient(options, async client => {
        await followJob(client, id, options.json === true && options.out !== '-');
        if (options.out === undefined) return;
        const file = await savePicture(client, id, options.out);
        if (file !== '-' && options.json !== true) process.stdout.write(`Saved ${file}\n`);
      });
    });
}
