import type { EngineStatus } from '../dispatch/engine.ts';
import type { Caller } from '../jobs/caller.ts';
import type { Previews } from '../jobs/ports.ts';
import type { Jobs } from '../jobs/service.ts';
import type { WorkflowCatalog } from '../workflows/files/catalog.ts';

/** What every operation may use, whichever way it came in. */
export interface Services {
  readonly jobs: Jobs;
  readonly previews: Previews;
  readonly workflows: WorkflowCatalog;
  readonly engines: () => readonly EngineStatus[];
  readonly setEngineDrained: (id: string, drained: boolean) => EngineStatus | null;
}

/** What one operation knows of who asked. */
export interface GraphQLContext extends Services {
  readonly caller: Caller;
  /** Scheme and host under which the caller reached us, without a slash at the end. */
  readonly baseUrl: string;
  /** Aborts when an HTTP caller goes away. */
  readonly signal: AbortSignal | undefined;
}
