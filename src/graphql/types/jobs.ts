import { GraphQLError } from 'graphql';
import { cursorOf, positionOf } from '../../jobs/cursor.ts';
import type { Job } from '../../jobs/job.ts';
import type { JobPage, JobQuery } from '../../jobs/ports.ts';
import { show } from '../../workflows/messages.ts';
import type { Builder } from '../builder.ts';
import type { JobTypes } from './job.ts';

const PAGE_LIMIT = 100;

interface Page extends JobPage {
  readonly hasPreviousPage: boolean;
}

/** Adds `job`, `jobs` and `jobProgress`. */
export function addJobQueries(builder: Builder, { JobType, JobStatus }: JobTypes): void {
  const PageInfo = builder.objectRef<Page>('PageInfo').implement({
    description: 'Relay’s type, with all of its fields, so that it composes with that of any other subgraph.',
    directives: { shareable: {} },
    fields: t => ({
      hasNextPage: t.exposeBoolean('hasNextPage'),
      hasPreviousPage: t.exposeBoolean('hasPreviousPage'),
      startCursor: t.string({ nullable: true, resolve: ({ jobs }) => cursorOrNull(jobs[0]) }),
      endCursor: t.string({ nullable: true, resolve: ({ jobs }) => cursorOrNull(jobs.at(-1)) }),
    }),
  });
  const JobEdge = builder.objectRef<Job>('EditJobEdge').implement({
    fields: t => ({
      cursor: t.string({ resolve: cursorOf }),
      node: t.field({ type: JobType, resolve: job => job }),
    }),
  });
  const JobConnection = builder.objectRef<Page>('EditJobConnection').implement({
    description: 'A page of jobs (https://relay.dev/graphql/connections.htm), newest first.',
    fields: t => ({
      edges: t.field({ type: [JobEdge], resolve: page => [...page.jobs] }),
      nodes: t.field({ type: [JobType], resolve: page => [...page.jobs] }),
      pageInfo: t.field({ type: PageInfo, resolve: page => page }),
    }),
  });

  builder.queryFields(t => ({
    job: t.field({
      type: JobType,
      nullable: true,
      args: { id: t.arg.id({ required: true }) },
      resolve: (_root, { id }, { jobs, caller }) => jobs.get(id, caller),
    }),
    jobs: t.field({
      type: JobConnection,
      args: {
        first: t.arg.int({ defaultValue: 20, description: '0 to 100.' }),
        after: t.arg.string({ description: '`endCursor` of the previous page.' }),
        status: t.arg({ type: [JobStatus], description: 'Only jobs with one of these statuses.' }),
      },
      resolve: async (_root, { first, after, status }, { jobs, caller }) => {
        const count = first ?? 20;
        if (count < 0 || count > PAGE_LIMIT) throw invalid('first', `takes 0 to ${PAGE_LIMIT}, got ${count}`);
        const position = readCursor(after);
        const page = await jobs.list({ first: count, after: position, statuses: status ?? null }, caller);
        // The job of the cursor comes before this page.
        return { ...page, hasPreviousPage: position !== null };
      },
    }),
  }));

  builder.subscriptionField('jobProgress', t =>
    t.field({
      type: JobType,
      description:
        'The current state of the job, then each change, then the final state; then the stream completes. A slow ' +
        'client gets the newest state, not a backlog.',
      args: { jobId: t.arg.id({ required: true }) },
      subscribe: async (_root, { jobId }, { jobs, caller }) => {
        const stream = await jobs.watch(jobId, caller);
        if (stream === null)
          throw new GraphQLError('Job not found', { extensions: { code: 'JOB_NOT_FOUND' } });
        return stream;
      },
      resolve: job => job,
    }),
  );
}

function cursorOrNull(job: Job | undefined): string | null {
  return job === undefined ? null : cursorOf(job);
}

function readCursor(cursor: string | null | undefined): JobQuery['after'] {
  if (cursor == null) return null;
  const position = positionOf(cursor);
  if (position === null) throw invalid('after', `takes the endCursor of a page, got ${show(cursor)}`);
  return position;
}

function invalid(field: string, message: string): GraphQLError {
  return new GraphQLError(`${field} ${message}`, { extensions: { code: 'BAD_USER_INPUT', field } });
}
