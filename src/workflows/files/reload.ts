import type { Log } from '../../log.ts';
import type { LoadedWorkflows } from '../workflow.ts';
import type { ReloadableCatalog } from './catalog.ts';
import { loadWorkflows } from './load.ts';

/**
 * Loads the workflows when the gateway starts, and logs the broken ones. Throws when the folder cannot be read and, with
 * all problems, when no workflow is usable.
 */
export async function loadAtStart(dir: string, log: Log): Promise<LoadedWorkflows> {
  const loaded = await loadWorkflows(dir);
  logBroken(loaded, log);
  if (loaded.workflows.length > 0) return loaded;
  const reasons = loaded.broken.flatMap(({ name, problems }) => problems.map(text => `  ${name}: ${text}`));
  const what = reasons.length === 0 ? `there is none in ${dir}` : `each in ${dir} is broken:`;
  throw new Error([`No workflow is usable: ${what}`, ...reasons].join('\n'));
}

export interface Reloader {
  /** Resolves when the catalog holds the files as of the call, or newer. Never rejects: errors are logged. */
  reload(): Promise<void>;
}

export interface ReloaderOptions {
  readonly dir: string;
  readonly catalog: ReloadableCatalog;
  readonly log: Log;
  /** Called after the catalog changed. */
  onReloaded(): void;
}

/** Reads the folder again on request, one read at a time; calls during a read share the next one. */
export function createReloader({ dir, catalog, log, onReloaded }: ReloaderOptions): Reloader {
  let running: Promise<void> | null = null;
  let next: Promise<void> | null = null;

  async function read(): Promise<void> {
    try {
      const loaded = await loadWorkflows(dir);
      if (fingerprint(catalog.all(), catalog.broken()) === fingerprint(loaded.workflows, loaded.broken))
        return;
      catalog.reload(loaded);
      logBroken(loaded, log);
      const versions = loaded.workflows.map(({ name, version }) => `${name}@${version}`);
      if (versions.length === 0) log.error({ dir }, 'no workflow is usable any more');
      else log.info({ workflows: versions }, 'workflows reloaded');
      onReloaded();
    } catch (error) {
      log.error({ dir, err: error }, 'cannot read the workflows; keeping those loaded before');
    }
  }

  function start(): Promise<void> {
    running = read().finally(() => {
      running = null;
    });
    return running;
  }

  return {
    reload() {
      if (running === null) return start();
      next ??= running.then(() => {
        next = null;
        return start();
      });
      return next;
    },
  };
}

function logBroken({ broken }: LoadedWorkflows, log: Log): void {
  for (const { name, problems } of broken) log.warn({ workflow: name, problems }, 'workflow is broken');
}

function fingerprint(
  workflows: readonly { name: string; version: string }[],
  broken: readonly { name: string; problems: string[] }[],
): string {
  return JSON.stringify([workflows.map(({ name, version }) => [name, version]), broken]);
}
