import type { MemberStatus } from '../../dispatch/fleet/fleet.ts';
import { withField } from '../../jobs/request.ts';
import type { ModelChoice } from '../../workflows/bind/models.ts';
import { describeProblem } from '../../workflows/check/engine.ts';
import { enginesFor, needOperator } from '../access.ts';
import type { Builder } from '../builder.ts';
import { OPERATOR_TAG } from '../federation/directives.ts';
import { FAILS_ALONE } from '../nullability.ts';
import type { ErrorTypes, ProblemOf } from './errors.ts';
import type { JobTypes } from './job.ts';

const STATES = {
  STARTING: 'Not probed yet.',
  READY: 'Takes jobs.',
  DOWN: 'Does not respond.',
  UNFIT: 'Responds, but can run none of the workflows.',
  SET_ASIDE: 'Failed repeatedly: will be tried again later.',
  DRAINED: 'Takes no more jobs, set by an operator.',
  LEAVING: 'Takes no more jobs, and is forgotten when its last one has ended.',
} as const;

type EngineNotFound = ProblemOf<'EditEngineNotFound'>;
type InvalidInput = ProblemOf<'EditInvalidInput'>;

interface RemovedEngine {
  readonly engineId: string;
}

/** Characters of the reason of a drain that are kept. */
const LONGEST_REASON = 200;

/** Adds `engines`, `addEngine`, `removeEngine` and `setEngineState`. */
export function addEngines(builder: Builder, { Node }: JobTypes, errors: ErrorTypes): void {
  const EngineState = builder.enumType('EditEngineState', {
    values: {
      STARTING: { description: STATES.STARTING },
      READY: { description: STATES.READY },
      DOWN: { description: STATES.DOWN },
      UNFIT: { description: STATES.UNFIT },
      SET_ASIDE: { description: STATES.SET_ASIDE },
      DRAINED: { description: STATES.DRAINED },
      LEAVING: { description: STATES.LEAVING },
    },
  });
  const ModelType = builder.objectRef<ModelChoice & { workflow: string }>('EditEngineModel').implement({
    description: 'The file that an engine uses for a required one that has alternatives.',
    directives: OPERATOR_TAG,
    fields: t => ({
      workflow: t.exposeString('workflow'),
      wanted: t.exposeString('wanted', { description: 'The file of the graph.' }),
      file: t.exposeString('file', {
        description: 'The same, or the first alternative that the engine has.',
      }),
    }),
  });
  const EngineSource = builder.enumType('EditEngineSource', {
    values: {
      SETTING: { description: 'A URL in `COMFYUI_URL`.' },
      DNS: { description: 'An address of a name in `COMFYUI_URL`.' },
      OPERATOR: { description: 'Added by an operator.' },
      REGISTRATION: { description: 'Registered itself.' },
    },
  });
  const EngineType = builder.objectRef<MemberStatus>('EditEngine').implement({
    description: 'A ComfyUI server, or the sandbox.',
    interfaces: [Node],
    directives: OPERATOR_TAG,
    fields: t => ({
      id: t.exposeID('id'),
      state: t.field({ type: EngineState, resolve: engine => engine.state }),
      reason: t.exposeString('reason', { nullable: true, description: 'Why it is not READY, or not live.' }),
      source: t.field({
        type: EngineSource,
        description: 'Where it comes from.',
        resolve: engine => engine.source,
      }),
      expiresAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When its registration expires unless it registers again; null: never.',
        resolve: ({ expiresAt }) => (expiresAt === null ? null : new Date(expiresAt)),
      }),
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
      models: t.field({
        type: [ModelType],
        description: 'Which files it uses, for each workflow that it can run and that has alternatives.',
        resolve: engine =>
          [...engine.models].flatMap(([workflow, list]) => list.map(model => ({ workflow, ...model }))),
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
      ...FAILS_ALONE,
      directives: OPERATOR_TAG,
      resolve: (_root, _args, { engines, caller }) => [...enginesFor(caller, engines())],
    }),
  );
  const SetEngineStateResult = builder.unionType('EditSetEngineStateResult', {
    types: [EngineType, errors.EngineNotFound],
    resolveType: (value: MemberStatus | EngineNotFound) => ('kind' in value ? value.kind : 'EditEngine'),
  });
  builder.mutationField('setEngineState', t =>
    t.field({
      type: SetEngineStateResult,
      ...FAILS_ALONE,
      // Meant for a gateway itself, not for a supergraph.
      directives: { inaccessible: {} },
      description:
        'Drains an engine: it finishes its jobs and takes no more, on every gateway of the store and after restarts. With `drained: false` it takes jobs again. Operators see the reason, of up to 200 characters.',
      args: {
        id: t.arg.id({ required: true }),
        drained: t.arg.boolean({ required: true }),
        reason: t.arg.string(),
      },
      resolve: async (_root, { id, drained, reason }, { fleet, caller }) => {
        needOperator(caller);
        const because = reason?.trim().slice(0, LONGEST_REASON) ?? '';
        const drain = drained ? { reason: because === '' ? null : because } : null;
        return (await fleet.drain(id, drain)) ?? engineNotFound(id);
      },
    }),
  );
  const AddEngineResult = builder.unionType('EditAddEngineResult', {
    types: [EngineType, errors.InvalidInput],
    resolveType: (value: MemberStatus | InvalidInput) => ('kind' in value ? value.kind : 'EditEngine'),
  });
  builder.mutationField('addEngine', t =>
    t.field({
      type: AddEngineResult,
      ...FAILS_ALONE,
      directives: { inaccessible: {} },
      description:
        'Adds an engine, on every gateway of the store and after restarts; also one that was removed. `ENGINE_ALLOW` must have its host. The URL is http or https, without credentials.',
      args: { url: t.arg.string({ required: true }) },
      resolve: async (_root, { url }, { fleet, caller }): Promise<MemberStatus | InvalidInput> => {
        needOperator(caller);
        const result = await fleet.add(url);
        if (result.kind === 'added') return result.engine;
        const message = withField('url', result.fault);
        return { kind: 'EditInvalidInput', code: 'INVALID_INPUT', message, field: 'url' };
      },
    }),
  );
  const RemovedEngine = builder.objectRef<RemovedEngine>('EditRemovedEngine').implement({
    description: 'An engine that leaves, or has left.',
    fields: t => ({ engineId: t.exposeID('engineId') }),
  });
  const RemoveEngineResult = builder.unionType('EditRemoveEngineResult', {
    types: [RemovedEngine, errors.EngineNotFound],
    resolveType: (value: RemovedEngine | EngineNotFound) =>
      'kind' in value ? value.kind : 'EditRemovedEngine',
  });
  builder.mutationField('removeEngine', t =>
    t.field({
      type: RemoveEngineResult,
      ...FAILS_ALONE,
      directives: { inaccessible: {} },
      description:
        'Removes an engine, on every gateway of the store and after restarts, until `addEngine` brings it back. It takes no more jobs, those that it has not begun go to other engines, and it is forgotten when its last one has ended.',
      args: { id: t.arg.id({ required: true }) },
      resolve: async (_root, { id }, { fleet, caller }): Promise<RemovedEngine | EngineNotFound> => {
        needOperator(caller);
        return (await fleet.remove(id)) ? { engineId: id } : engineNotFound(id);
      },
    }),
  );
}

function engineNotFound(engineId: string): EngineNotFound {
  return { kind: 'EditEngineNotFound', code: 'ENGINE_NOT_FOUND', message: 'Engine not found', engineId };
}
