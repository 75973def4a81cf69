import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { BackupProgress } from '../adapters/embedded/backup-images.ts';
import { sizeInWords } from '../sizes.ts';
import { createBar } from './bar.ts';
import { CommandFailure, DOWNLOAD_EXIT_CODES, note, printJson, say, untilInterrupted } from './outcome.ts';

/** The settings that say where the store is. */
const SETTINGS = ['DATA_DIR', 'ARTIFACTS_URL', 'REDIS_URL'];

interface BackupCommand {
  readonly dataDir?: string;
  readonly json?: boolean;
}

/** Adds `backup`. */
export function addBackup(program: Command): void {
  program
    .command('backup')
    .description('Copy the jobs and images of a gateway on this machine, while it runs or not.')
    .argument('<folder>', 'missing or empty; it appears when the backup is complete')
    .option('--data-dir <folder>', 'the data folder of the gateway; default: DATA_DIR, or ./data')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Run it as the user of the gateway and with its settings ${SETTINGS.join(', ')}. The copy is a data folder itself: to
restore it, stop the gateway, put the copy in the place of its data folder, and start it.

Examples:
  qwen-edit backup /backups/$(date +%F)
  qwen-edit backup --data-dir /var/lib/qwen-edit /backups/today
  docker exec gateway node bin/qwen-edit.js backup /data/backup

${DOWNLOAD_EXIT_CODES}`,
    )
    .action(async (folder: string, { dataDir, json }: BackupCommand) => {
      // Loaded here, because the settings and SQLite would make every other command start slower.
      const { BackupError, backUp } = await import('../adapters/embedded/backup.ts');
      const source = await sourceOf(dataDir);
      const target = resolve(folder);
      const view = createView();
      try {
        const report = await untilInterrupted('The backup was not made.', signal =>
          backUp({ ...source, target, onProgress: view.show, signal }),
        );
        view.done();
        if (json === true) printJson({ folder: target, ...report });
        else
          say(
            `Saved ${report.jobs} jobs and ${report.files} files (${sizeInWords(report.bytes)}) in ${target}`,
          );
        if (report.deleted > 0) note(`${report.deleted} jobs were deleted meanwhile`);
        if (source.artifacts === null) note('The images are in a bucket, and are not part of the backup');
      } catch (error) {
        view.done();
        throw error instanceof BackupError ? new CommandFailure(`No backup: ${error.message}`) : error;
      }
    });
}

/** The folders of the store. Throws a CommandFailure for another store and for invalid settings. */
async function sourceOf(dataDir: string | undefined) {
  const { readConfig } = await import('../config.ts');
  const names = SETTINGS.flatMap(name => [name, `${name}_FILE`]);
  const environment = Object.fromEntries(names.map(name => [name, process.env[name]]));
  const given = dataDir === undefined ? {} : { DATA_DIR: dataDir, DATA_DIR_FILE: undefined };
  const result = readConfig({ ...environment, ...given });
  if (!result.ok) throw new CommandFailure(result.faults.join('\n'), 78);
  const { DATA_DIR, ARTIFACTS_URL, REDIS_URL } = result.config;
  if (REDIS_URL !== undefined && dataDir === undefined) {
    throw new CommandFailure(
      'REDIS_URL is set: the jobs are in Redis. Copy its append-only files, then the images; see docs/deploy.md, Backups.',
    );
  }
  const folder = resolve(DATA_DIR);
  const artifacts = ARTIFACTS_URL ?? { kind: 'files', root: join(folder, 'artifacts') };
  return { dataDir: folder, artifacts: artifacts.kind === 'files' ? artifacts.root : null };
}

/** A bar on a terminal, nothing elsewhere. */
function createView(): { show(progress: BackupProgress): void; done(): void } {
  if (!process.stderr.isTTY) return { show() {}, done() {} };
  const bar = createBar(process.stderr, { clears: true, leavesSignals: true });
  return {
    show({ stage, done, total }) {
      const share = done / Math.max(1, total);
      bar.show(share, `${String(Math.floor(share * 100)).padStart(3)} %  ${stage}`);
    },
    done: () => bar.done(),
  };
}
