import { Command, CommanderError } from 'commander';
import { VERSION } from '../version.ts';
import { addCancel } from './commands/cancel.ts';
import { addDownload } from './commands/download.ts';
import { addEdit } from './commands/edit.ts';
import { addJobs } from './commands/jobs.ts';
import { addServe } from './commands/serve.ts';
import { addWatch } from './commands/watch.ts';
import { CommandFailure, type Done, type ExitCode, WATCHING_EXIT_CODES } from './outcome.ts';
import { tell } from './output.ts';
import { addWorkflows } from './workflows/commands.ts';

/**
 * Runs a command line without its first two words. Resolves with the exit code, which stands for now when the command
 * goes on until a signal ends it.
 */
export async function runCli(words: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = 0;
  const done: Done = given => {
    code = given;
  };
  try {
    await buildProgram(done).parseAsync(words, { from: 'user' });
    return code;
  } catch (error) {
    // Help and version leave by this way too, with 0; everything else of commander's is a command not understood.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!(error instanceof CommandFailure)) throw error;
    tell(error.message);
    return error.code;
  }
}

function buildProgram(done: Done): Command {
  const program = new Command('qwen-edit')
    .description('A gateway in front of ComfyUI for Qwen Image Edit Plus, and what belongs to it.')
    .version(VERSION)
    .exitOverride()
    .showHelpAfterError('Try --help.')
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit serve
  qwen-edit edit photo.jpg -p "Make it night" -o night.png
  qwen-edit workflows list
  qwen-edit workflows check --engine http://127.0.0.1:8188

${WATCHING_EXIT_CODES}`,
    );
  addServe(program, done);
  addEdit(program);
  addWatch(program);
  addJobs(program);
  addCancel(program, done);
  addDownload(program);
  addWorkflows(program, done);
  return program;
}
