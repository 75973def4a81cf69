import type { Caller } from '../../jobs/job.ts';
import type { Builder } from '../builder.ts';

/** Adds `caller`. */
export function addCaller(builder: Builder): void {
  const CallerType = builder.objectRef<Caller>('EditCaller').implement({
    description: 'Where a request comes from, by its key or token.',
    directives: { inaccessible: {} },
    fields: t => ({
      id: t.exposeID('id', {
        nullable: true,
        description:
          '`key:` and the name of the key, or `jwt:` and the subject of the token; null without either.',
      }),
      operator: t.exposeBoolean('operator', {
        description: 'Whether it may see all jobs and set the state of engines.',
      }),
    }),
  });
  builder.queryField('caller', t =>
    t.field({
      type: CallerType,
      // Meant for a gateway itself, not for a supergraph.
      directives: { inaccessible: {} },
      description: 'How the gateway has identified this request.',
      resolve: (_root, _args, { caller }) => caller,
    }),
  );
}
