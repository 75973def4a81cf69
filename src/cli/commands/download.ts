import { type Command, Option } from 'commander';
import { untilInterrupted } from '../interruption.ts';
import { checkOpens, openPicture } from '../open-picture.ts';
import { DOWNLOAD_EXIT_CODES } from '../outcome.ts';
import { printJson, say } from '../output.ts';
import { checkTarget, savePicture } from '../save.ts';
import { addRemoteOptions, type Remote, takeWhole, withClient } from './remote.ts';

interface DownloadOptions extends Remote {
  readonly out?: string;
  readonly index?: number;
  readonly format?: 'png' | 'jpeg' | 'webp';
  readonly quality?: number;
  readonly open?: boolean;
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
    .option('--index <number>', 'which of its pictures, from 0', takeWhole(0))
    .addOption(new Option('--format <format>', 'convert it').choices(['png', 'jpeg', 'webp']))
    .option('--quality <number>', '1 to 100, for jpeg and webp', takeWhole(1, 100))
    .option('--open', 'then show the file with the desktop’s own program')
    .addHelpText(
      'after',
      `
Examples:
  qwen-edit download 0b9c… -o out.png --open
  qwen-edit download 0b9c… --format webp --quality 80 -o out.webp

${DOWNLOAD_EXIT_CODES}`,
    )
    .action(async (id: string, options: DownloadOptions) => {
      const { out, index, format, quality, open } = options;
      checkOpens(open, out);
      await checkTarget(out);
      const file = await withClient(options, client =>
        untilInterrupted('The picture was not saved.', signal =>
          savePicture(client, id, out, {
            ...(index === undefined ? {} : { index }),
            ...(format === undefined ? {} : { format }),
            ...(quality === undefined ? {} : { quality }),
            signal,
          }),
        ),
      );
      if (file === '-') return;
      if (options.json === true) printJson({ id, file });
      else say(`Saved ${file}`);
      if (open === true) await openPicture(file);
    });
}
