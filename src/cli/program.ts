import { Command, CommanderError } from 'commander';
import { VERSION } from '../version.ts';
import { addBackup } from './backup.ts';
import { addDoctor } from './doctor.ts';
import { addEdit } from './edit.ts';
import { addEngines } from './engines.ts';
import { addCancel, addDelete, addDownload, addRetry, addWatch } from './jobs.ts';
import { addJobs } from './list.ts';
import { addMcp } from './mcp/command.ts';
import { addMe } from './me.ts';
import { CommandFailure, type Done, type ExitCode, note, WATCHING_EXIT_CODES } from './outcome.ts';
import { addWorkflows } from './workflows/commands.ts';

/** Runs `qwen-edit` with these words. Resolves with the exit code; after `serve` it is that of a process which runs until a signal. */
export async function runProgram(words: readonly string[]): Promise<ExitCode> {
  // The reader of a pipe may close it early, as `head` does: there is nothing left to do.
  process.stdout.on('error', error => {
    if (!('code' in error && error.code === 'EPIPE')) throw error;
    process.exit();
  });
  let code: ExitCode = 0;
  const done: Done = given => {
    code = given;
  };
  try {
    await buildProgram(done).parseAsync(words, { from: 'user' });
    return code;
  } catch (error) {
    // commander throws for --help and --version too, with exit code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!(error instanceof CommandFailure)) throw error;
    note(error.message);
    return error.code;
  }
}

function buildProgram(done: Done): Command {
  const program = new Command('qwen-edit')
    .description('A gateway in front of ComfyUI for Qwen Image Edit Plus, and its command line client.')
    .version(VERSION)
    .exitOverride()
    .showHelpAfterError('Try --help.')
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit serve
  qwen-edit doctor
  qwen-edit edit photo.jpg -p "Make it night" -o night.png
  qwen-edit jobs --status processing
  qwen-edit workflows list
  qwen-edit engines list
  qwen-edit workflows check --engine http://127.0.0.1:8188

${WATCHING_EXIT_CODES}`,
    );
  addServe(program, done);
  addEdit(program);
  addWatch(program);
  addJobs(program);
  addRetry(program);
  addCancel(program, done);
  addDelete(program, done);
  addDownload(program);
  addMcp(program);
  addMe(program);
  addWorkflows(program, done);
  addEngines(program, done);
  addBackup(program);
  addDoctor(program, done);
  return program;
}

function addServe(program: Command, done: Done): void {
  program
    .command('serve')
    .description('Run the gateway. Its settings are environment variables, see docs/configuration.md.')
    .option('--check', 'only check the settings')
    .addHelpText(
      'after',
      `
SIGTERM and SIGINT stop it, SIGHUP reloads the workflows.

Every setting can come from a file: API_KEYS_FILE=/run/secrets/api_keys sets API_KEYS.

Examples:
  qwen-edit serve                                              on the sandbox, which runs no model
  COMFYUI_URL=http://127.0.0.1:8188 qwen-edit serve            on a ComfyUI
  PORT=9000 WORKFLOWS_DIR=./my-workflows qwen-edit serve
  qwen-edit serve --check && systemctl restart qwen-edit

Exit codes:
  0   stopped by a signal; with --check, the settings are valid
  1   could not start, or could not stop cleanly
  2   the command line is not valid
  78  a setting is not valid; each fault was printed with the variable's name`,
    )
    .action(async ({ check }: { check?: boolean }) => {
      // Loaded here, because the gateway takes several times as long to load as any other command.
      const { checkSettings, serve } = await import('../serve.ts');
      const failed = check === true ? await checkSettings(process.env) : await serve(process.env);
      if (failed !== null) done(failed);
    });
}
