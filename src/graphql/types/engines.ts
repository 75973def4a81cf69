import type { EngineStatus } from '../../dispatch/engines/engine.ts';
import { describeProblem } from '../../workflows/check/engine.ts';
import { enginesFor, needOperator } from '../access.ts';
import type { Builder } from '../builder.ts';
import { OPERATOR_TAG } from '../federation/directives.ts';
import type { ErrorTypes, ProblemOf } from './errors.ts';
import type { JobTypes } from './job.ts';

const STATES = {
  STARTING: 'Not probed yet.',
  READY: 'Takes jobs.',
  DOWN: 'Does not respond.',
  UNFIT: 'Responds, but can run none of the workflows.',
  SET_ASIDE: 'Failed repeatedly: will be tried again later.',
  DRAINED: 'Takes no more jobs, set by an operator.',
} as const;

type EngineNotFound = ProblemOf<'EditEngineNotFound'>;

/** Adds `engines` and `setEngineState`. */
export function addEngines(builder: Builder, { Node }: JobTypes, errors: ErrorTypes): void {
  const EngineState = builder.enumType('EditEngineState', {
    values: {
      STARTING: { description: STATES.STARTING },
      READY: { description: STATES.READY },
      DOWN: { description: STATES.DOWN },
      UNFIT: { description: STATES.UNFIT },
      SET_ASIDE: { description: STATES.SET_ASIDE },
      DRAINED: { description: STATES.DRAINED },
    },
  });
  const EngineType = builder.objectRef<EngineStatus>('EditEngine').implement({
    description: 'A ComfyUI server, or the sandbox.',
    interfaces: [Node],
    directives: OPERATOR_TAG,
    fields: t => ({
      id: t.exposeID('id'),
      state: t.field({ type: EngineState, resolve: engine => engine.state }),
      reason: t.exposeString('reason', { nullable: true, description: 'Why it is not READY, or not live.' }),
      sandbox: t.boolean({
        description: 'True for the sandbox, which runs no model.',
        resolve: engine => engine.stats?.sandbox ?? false,
      }),
      version: t.string({ nullable: true, resolve: engine => engine.stats?.version ?? null }),
      device: t.string({ nullable: true, resolve: engine => engine.stats?.device ?? null }),
      vramTotal: t.float({
        nullable: true,
        description: 'Bytes.',
        resolve: engine => engine.stats?.vramTotal ?? null,
      }),
      vramFree: t.float({
        nullable: true,
        description: 'Bytes.',
        resolve: engine => engine.stats?.vramFree ?? null,
      }),
      targetedInterrupt: t.exposeBoolean('targetedInterrupt', {
        description: 'Whether it can interrupt a single prompt.',
      }),
      previewMetadata: t.exposeBoolean('previewMetadata', {
        description: 'Whether its previews carry the id of their prompt.',
      }),
      live: t.exposeBoolean('live', {
        description:
          'Whether its WebSocket opens. Without it jobs are followed by polling: they have no steps and no previews.',
      }),
      workflows: t.stringList({
        description: 'Names of workflows that it can run.',
        resolve: engine => [...engine.workflows],
      }),
      problems: t.stringList({
        description: 'Why it cannot run the others.',
        resolve: engine =>
          [...engine.problems].flatMap(([name, list]) =>
            list.map(problem => `${name}: ${describeProblem(problem)}`),
          ),
      }),
    }),
  });
  builder.queryField('engines', t =>
    t.field({
      type: [EngineType],
      directives: OPERATOR_TAG,
      resolve: (_root, _args, { engines, caller }) => [...enginesFor(caller, engines())],
    }),
  );
  const SetEngineStateResult = builder.unionType('EditSetEngineStateResult', {
    types: [EngineType, errors.EngineNotFound],
    resolveType: (value: EngineStatus | EngineNotFound) => ('kind' in value ? value.kind : 'EditEngine'),
  });
  builder.mutationField('setEngineState', t =>
    t.field({
      type: SetEngineStateResult,
      // Meant for a gateway itself, not for a supergraph.
      directives: { inaccessible: {} },
      description:
        'Drains an engine: it finishes its jobs and takes no more, on every gateway of the store and after restarts. With `drained: false` it takes jobs again.',
      args: { id: t.arg.id({ required: true }), drained: t.arg.boolean({ required: true }) },
      resolve: async (_root, { id, drained }, { setEngineDrained, caller }) => {
        needOperator(caller);
        return (await setEngineDrained(id, drained)) ?? engineNotFound(id);
      },
    }),
  );
}

function engineNotFound(id: string): EngineNotFound {
  return { kind: 'EditEngineNotFound', code: 'ENGINE_NOT_FOUND', message: 'Engine not found', id };
}
