import { type Command, Option } from 'commander';
import { VERSION } from '../../version.ts';
import { REMOTE_EXIT_CODES } from '../outcome.ts';
import { addRemoteOptions, type Remote, withClient } from '../remote.ts';
import { editsOf } from './edits.ts';
import { createFileReader } from './files.ts';

interface McpOptions extends Remote {
  readonly directory: readonly string[];
}

/** Adds `mcp`. */
export function addMcp(program: Command): void {
  const command = program
    .command('mcp')
    .description('Serve the Model Context Protocol on standard input and output, for AI assistants.')
    .addOption(
      new Option(
        '-d, --directory <directory>',
        'a directory whose images the assistant may send to the gateway; can be repeated',
      )
        .argParser((directory: string, before: readonly string[]) => [...before, directory])
        .default([], 'none'),
    );
  addRemoteOptions(command, { json: false })
    .addHelpText(
      'after',
      `
An assistant starts it by itself: docs/mcp.md has the lines for its settings. It may name any path, so without --directory
no file is read; with it, only JPEG, PNG and WebP files below. When standard input ends, calls in flight cancel their jobs.

Examples:
  qwen-edit mcp --directory ~/Pictures
  QWEN_EDIT_URL=https://edits.example.com QWEN_EDIT_API_KEY=… qwen-edit mcp

${REMOTE_EXIT_CODES}`,
    )
    .action((options: McpOptions) => withClient(options, client => serveStdio(options, client)));
}

/** Resolves when standard input has ended and every call has returned. */
async function serveStdio({ directory }: McpOptions, client: Parameters<typeof editsOf>[0]): Promise<void> {
  // Loaded here, because no other command needs it.
  const { serve } = await import('./stdio.ts');
  await serve(editsOf(client, createFileReader(directory)), VERSION);
}
