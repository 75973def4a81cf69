import type { Command } from 'commander';
import type { Done } from '../outcome.ts';

/** Adds `serve`. */
export function addServe(program: Command, done: Done): void {
  program
    .command('serve')
    .description('Run the gateway. Its settings are environment variables, as the README lists them.')
    .addHelpText(
      'after',
      `
SIGTERM and SIGINT stop it, SIGHUP reads the workflows again.

Examples:
  qwen-edit serve                                              on the sandbox, which runs no model
  COMFYUI_URL=http://127.0.0.1:8188 qwen-edit serve            on a ComfyUI
  PORT=9000 WORKFLOWS_DIR=./my-workflows qwen-edit serve

Exit codes:
  0   stopped by a signal
  1   could not start, or could not stop cleanly
  2   the command was not understood
  78  a setting is not valid; every fault was printed with the variable's name`,
    )
    .action(async () => {
      // The other commands start in a fraction of the time that the whole gateway takes to load.
      const { serve } = await import('../../serve.ts');
      const failed = await serve(process.env);
      if (failed !== null) done(failed);
    });
}
