import { GraphQLError } from 'graphql';
import { z } from 'zod';
import { PER_SECOND, type WatchOptions } from '../../jobs/changes.ts';
import { cursorOf, positionOf } from '../../jobs/cursor.ts';
import type { Job } from '../../jobs/job.ts';
import { labelFields } from '../../jobs/labels.ts';
import type { JobPage, JobQuery } from '../../jobs/ports.ts';
import { firstIssue } from '../../jobs/request.ts';
import { show } from '../../workflows/messages.ts';
import type { Builder } from '../builder.ts';
import type { JobTypes } from './job.ts';

const PAGE_LIMIT = 100;

/** The arguments of `jobs` by which jobs are found. */
const labelFilter = z.object({
  label: labelFields.label.nullish().transform(label => label ?? null),
  metadata: labelFields.entries.nullish().transform(metadata => metadata ?? {}),
});

interface Page extends JobPage {
  readonly hasPreviousPage: boolean;
}

/** Adds `job`, `jobs` and `jobProgress`. */
export function addJobQueries(builder: Builder, { JobType, JobStatus, MetadataInput }: JobTypes): void {
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
        label: t.arg.string({ description: 'Only jobs with exactly this label.' }),
        metadata: t.arg({ type: [MetadataInput], description: 'Only jobs with all of these entries.' }),
      },
      resolve: async (_root, { first, after, status, label, metadata }, { jobs, caller }) => {
        const count = first ?? 20;
        if (count < 0 || count > PAGE_LIMIT) throw invalid('first', `takes 0 to ${PAGE_LIMIT}, got ${count}`);
        const position = readCursor(after);
        const labels = labelFilter.safeParse({ label, metadata });
        if (!labels.success) throw inputError(firstIssue(labels.error));
        const page = await jobs.list(
          { first: count, after: position, statuses: status ?? null, labels: labels.data },
          caller,
        );
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
      args: {
        jobId: t.arg.id({ required: true }),
        previews: t.arg.boolean({
          defaultValue: true,
          description: 'False: nothing is sent when only the preview changed, and `preview` is null.',
        }),
        maxPerSecond: t.arg.float({
          description:
            `${PER_SECOND.minimum} to ${PER_SECOND.maximum}: the state is sent at most this often, the newest one each ` +
            'time, and the final one at once. Default: each change.',
        }),
      },
      subscribe: async (_root, { jobId, previews, maxPerSecond }, { jobs, caller }) => {
        const stream = await jobs.watch(jobId, caller, watchOptions(previews, maxPerSecond));
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

function watchOptions(previews: boolean | null | undefined, rate: number | null | undefined): WatchOptions {
  return { previews: previews ?? true, maxPerSecond: readRate(rate) };
}

/** The argument `maxPerSecond`. Throws BAD_USER_INPUT when it is out of range. */
export function readRate(rate: number | null | undefined): number | undefined {
  const { minimum, maximum } = PER_SECOND;
  if (rate != null && (rate < minimum || rate > maximum)) {
    throw invalid('maxPerSecond', `takes a number from ${minimum} to ${maximum}, got ${rate}`);
  }
  return rate ?? undefined;
}

/** The error of an argument with a value that it does not take. */
export function invalid(field: string, message: string): GraphQLError {
  return inputError({ field, message: `${field} ${message}` });
}

function inputError({ field, message }: { field: string; message: string }): GraphQLError {
  return new GraphQLError(message, { extensions: { code: 'BAD_USER_INPUT', field } });
}
