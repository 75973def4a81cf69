import { type Inability, NO_INABILITY, workflowKey } from '../../jobs/claims.ts';
import type { WorkflowCatalog } from '../../workflows/files/catalog.ts';
import type { Engine } from '../engines/engine.ts';

/** `IdleLanes` as they are counted. */
export interface Group {
  readonly index: number;
  readonly cannot: Inability;
  engines: number;
  spare: number;
  readonly warm: Map<string, number>;
}

/** Idle lanes by what they can run. */
export interface Groups {
  /** The group of the engine's lanes, which begins without any. */
  of(engine: Engine): Group;
  all(): readonly Group[];
}

/** Starts without lanes, which its caller counts in their groups. For one call: what engines can run is looked up once. */
export function createGroups(workflows: WorkflowCatalog): Groups {
  const groups = new Map<string, Group>();
  const known = new Map<Engine, Group>();
  return {
    of(engine) {
      const found = known.get(engine);
      if (found !== undefined) return found;
      const cannot = inabilityOf(engine, workflows);
      const kind = JSON.stringify(cannot);
      const group = groups.get(kind) ?? { index: groups.size, cannot, engines: 0, spare: 0, warm: new Map() };
      groups.set(kind, group);
      known.set(engine, group);
      return group;
    },
    all: () => [...groups.values()],
  };
}

/** What the engine cannot run, as `Engine.canRun` says of every workflow that is known. */
function inabilityOf(engine: Engine, workflows: WorkflowCatalog): Inability {
  const names = [
    ...workflows.all().flatMap(({ name, version }) => (engine.canRun(name, version) ? [] : [name])),
    ...workflows.broken().map(({ name }) => name),
  ];
  const except = workflows
    .versions()
    .filter(({ name, version }) => engine.canRun(name, version) === names.includes(name))
    .map(({ name, version }) => workflowKey(name, version));
  return names.length === 0 && except.length === 0 ? NO_INABILITY : { names, except };
}

/** Names of the workflows that no other ready engine can run; null: there is no other. */
export function othersCannot(
  engine: Engine,
  engines: readonly Engine[],
  workflows: WorkflowCatalog,
): readonly string[] | null {
  const others = engines.filter(other => other.id !== engine.id && other.takesJobs());
  if (others.length === 0) return null;
  return workflows
    .all()
    .filter(({ name, version }) => !others.some(other => other.canRun(name, version)))
    .map(({ name }) => name);
}
