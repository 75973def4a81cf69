import { resolve } from 'node:path';
import type { Config } from '../config.ts';
import type { Log } from '../log.ts';
import { createCatalog, type ReloadableCatalog } from '../workflows/files/catalog.ts';
import { createReloader, loadAtStart } from '../workflows/files/reload.ts';
import { SHIPPED_WORKFLOWS } from '../workflows/files/shipped.ts';
import { watchFolders } from '../workflows/files/watch.ts';
import type { Stops } from './stops.ts';

export interface OpenWorkflows {
  readonly workflows: ReloadableCatalog;
  /** Never rejects: a broken workflow is logged and not offered, the others are. */
  reload(): Promise<void>;
}

/**
 * Loads the workflows, and loads them again when their files change, except in production. Rejects when none is usable, or
 * when WORKFLOW names none.
 */
export async function openWorkflows(
  config: Config,
  log: Log,
  stops: Stops,
  options: { readonly canRun: (name: string) => boolean; readonly onReloaded: () => void },
): Promise<OpenWorkflows> {
  const dir = resolve(config.WORKFLOWS_DIR ?? SHIPPED_WORKFLOWS);
  const loaded = await loadAtStart(dir, log).catch(error => {
    throw explain(error, dir);
  });
  const workflows = createCatalog(loaded, config.WORKFLOW ?? null, options.canRun);
  const chosen = workflows.choose(config.WORKFLOW ?? null);
  // A broken default workflow is logged like any other. A name that no workflow has is a typo.
  if (!chosen.ok && !workflows.broken().some(({ name }) => name === config.WORKFLOW)) {
    throw new Error(`WORKFLOW: ${chosen.message}`);
  }
  const { reload } = createReloader({ dir, catalog: workflows, log, onReloaded: options.onReloaded });
  if (config.NODE_ENV !== 'production') {
    const watching = watchFolders({
      dir,
      onChange: () => void reload(),
      onError: error => log.warn({ dir, err: error }, 'cannot watch the workflow files: SIGHUP reloads them'),
    });
    stops.add(() => watching.stop());
  }
  return { workflows, reload };
}

/** Names the setting where the folder is the fault. */
function explain(error: unknown, dir: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'ENOENT' || code === 'ENOTDIR') return new Error(`WORKFLOWS_DIR: there is no folder ${dir}`);
  if (code === 'EACCES') return new Error(`WORKFLOWS_DIR: ${dir} cannot be read: permission denied`);
  return error;
}
