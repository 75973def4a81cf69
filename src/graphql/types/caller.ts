import type { Caller, Policy } from '../../jobs/job.ts';
import { inMegapixelSteps, nextDay, type Usage } from '../../jobs/limits.ts';
import type { Builder } from '../builder.ts';
import type { JobTypes } from './job.ts';

/** Adds `me`, and `caller`, its former name. */
export function addCaller(builder: Builder, { JobPriority }: JobTypes): void {
  const inaccessible = { directives: { inaccessible: {} } } as const;
  const Limits = builder.objectRef<Policy>('EditCallerLimits').implement({
    ...inaccessible,
    description: 'What the policy of a caller limits. Null: not limited.',
    fields: t => ({
      policy: t.exposeString('name', { description: 'The name of the policy.' }),
      highestPriority: t.expose('highestPriority', {
        type: JobPriority,
        nullable: true,
        description: 'An edit with a higher one is rejected.',
      }),
      waitingJobs: t.exposeInt('waiting', {
        nullable: true,
        description: 'Jobs that may wait at the same time.',
      }),
      runningJobs: t.exposeInt('running', {
        nullable: true,
        description: 'Jobs that may have an engine at the same time; more wait.',
      }),
      megapixelStepsPerDay: t.exposeFloat('megapixelStepsPerDay', {
        nullable: true,
        description: 'Megapixels (1024 × 1024 pixels) times steps that may be submitted on one day in UTC.',
      }),
      workflows: t.exposeStringList('workflows', {
        nullable: true,
        description: 'The workflows that may be used; `*` stands for any characters.',
      }),
    }),
  });
  const Used = builder.objectRef<Usage>('EditCallerUsage').implement({
    ...inaccessible,
    description: 'What a caller uses of its limits.',
    fields: t => ({
      waitingJobs: t.exposeInt('waiting', { description: 'Jobs that have not started.' }),
      runningJobs: t.exposeInt('running', {
        description: 'Jobs that have an engine: they run there, or are next.',
      }),
      megapixelSteps: t.float({
        description: 'Submitted since 00:00 UTC.',
        resolve: ({ work }) => inMegapixelSteps(work),
      }),
      resetsAt: t.field({
        type: 'DateTime',
        description: 'When `megapixelSteps` begins at 0 again.',
        resolve: () => new Date(nextDay(Date.now())),
      }),
    }),
  });
  const CallerType = builder.objectRef<Caller>('EditCaller').implement({
    description: 'Where a request comes from, by its key or token.',
    ...inaccessible,
    fields: t => ({
      id: t.exposeID('id', {
        nullable: true,
        description:
          '`key:` and the name of the key, or `jwt:` and the subject of the token; null without either.',
      }),
      operator: t.exposeBoolean('operator', {
        description: 'Whether it may see all jobs and set the state of engines.',
      }),
      limits: t.field({
        type: Limits,
        nullable: true,
        description: 'Null where it has no policy.',
        resolve: ({ policy }) => policy ?? null,
      }),
      used: t.field({
        type: Used,
        nullable: true,
        description: 'Null for a caller without an id.',
        resolve: (caller, _args, { jobs }) => jobs.usage(caller),
      }),
    }),
  });
  builder.queryField('me', t =>
    t.field({
      type: CallerType,
      // Meant for a gateway itself, not for a supergraph.
      ...inaccessible,
      description: 'How the gateway has identified this request, what it may do and what of that it uses.',
      resolve: (_root, _args, { caller }) => caller,
    }),
  );
  builder.queryField('caller', t =>
    t.field({
      type: CallerType,
      ...inaccessible,
      description: 'The same as `me`.',
      deprecationReason: 'Use `me`.',
      resolve: (_root, _args, { caller }) => caller,
    }),
  );
}
