import { type Command, Option } from 'commander';
import { EXIT_CODES } from '../outcome.ts';
import { savePicture } from '../save.ts';
import { addRemoteOptions, printJson, type Remote, takeNumber, withClient } from './remote.ts';

interface DownloadOptions extends Remote {
  readonly out?: string;
  readonly index?: number;
  readonly format?: 'png' | 'jpeg' | 'webp';
  readonly quality?: number;
}

/** Adds `download`. */
export function addDownload(program: Command): void {
  addRemoteOptions(program.command('download'))
    .description('Save a picture of a completed job.')
    .argument('<id>')
    .option(
      '-o, --out <file>',
      'where to; - for standard output; left out: the name that the gateway gives it',
    )
    .option('--index <number>', 'which of its pictures, from 0', takeNumber)
    .addOption(new Option('--format <format>', 'convert it').choices(['png', 'jpeg', 'webp']))
    .option('--quality <number>', '1 to 100, for jpeg and webp', takeNumber)
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit download 0b9c… -o out.png
  qwen-edit download 0b9c… --format webp --quality 80 -o out.webp

${EXIT_CODES}`,
    )
    .action(async (id: string, options: DownloadOptions) => {
      const { out, index, format, quality } = options;
      const file = await withClient(options, client =>
        savePicture(client, id, out, {
          ...(index === undefined ? {} : { index }),
          ...(format === undefined ? {} : { format }),
          ...(quality === undefined ? {} : { quality }),
        }),
      );
      if (file === '-') return;
      if (options.json === true) printJson({ id, file });
      else process.stdout.write(`Saved ${file}\n`);
    });
}
