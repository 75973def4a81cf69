import type { Log } from '../../log.ts';
import type { LoadedWorkflows } from '../workflow.ts';
import type { ReloadableCatalog } from './catalog.ts';
import { loadWorkflows } from './load.ts';

/**
 * Loads the workflows of a start. What is broken is set aside with its reasons in the log. Throws when none is usable,
 * with all the reasons, and when the folder cannot be read.
 */
export async function loadAtStart(dir: string, log: Log): Promise<LoadedWorkflows> {
  const loaded = await loadWorkflows(dir);
  tell(loaded, log);
  if (loaded.workflows.length > 0) return loaded;
  const reasons = loaded.broken.flatMap(({ name, problems }) => problems.map(text => `  ${name}: ${text}`));
  const what = reasons.length === 0 ? `there is none in ${dir}` : `each in ${dir} is broken:`;
  throw new Error([`No workflow is usable: ${what}`, ...reasons].join('\n'));
}

export interface Reloader {
  /** Resolves when the files as they are at the time of the call are in the catalog. Never rejects: faults are logged. */
  reload(): Promise<void>;
}

export interface ReloaderOptions {
  readonly dir: string;
  readonly catalog: ReloadableCatalog;
  readonly log: Log;
  /** Called after the catalog changed. */
  onReloaded(): void;
}

/** Reads the folder again on demand, one reading at a time; calls that come meanwhile share the next one. */
export function createReloader({ dir, catalog, log, onReloaded }: ReloaderOptions): Reloader {
  let running: Promise<void> | null = null;
  let next: Promise<void> | null = null;

  async function read(): Promise<void> {
    try {
      const loaded = await loadWorkflows(dir);
      if (sameAs(catalog, loaded)) return;
      catalog.reload(loaded);
      tell(loaded, log);
      const versions = loaded.workflows.map(({ name, version }) => `${name}@${version}`);
      if (versions.length === 0) log.error({ dir }, 'no workflow is usable any more');
      else log.info({ workflows: versions }, 'workflows reloaded');
      onReloaded();
    } catch (error) {
      log.error({ dir, error: String(error) }, 'workflows could not be read: those from before stay');
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

function tell({ broken }: LoadedWorkflows, log: Log): void {
  for (const { name, problems } of broken) log.warn({ workflow: name, problems }, 'workflow set aside');
}

function sameAs(catalog: ReloadableCatalog, loaded: LoadedWorkflows): boolean {
  const shape = (workflows: LoadedWorkflows['workflows'], broken: LoadedWorkflows['broken']): string =>
    JSON.stringify([workflows.map(({ name, version }) => [name, version]), broken]);
  const broken = catalog.broken().map(({ name, problems }) => ({ name, problems }));
  return shape([...catalog.all()], broken) === shape(loaded.workflows, loaded.broken);
}
