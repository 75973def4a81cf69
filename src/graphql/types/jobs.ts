import { GraphQLError } from 'graphql';
import { z } from 'zod';
import { PER_SECOND, type WatchOptions } from '../../jobs/changes.ts';
import { labelFields } from '../../jobs/labels.ts';
import { firstIssue } from '../../jobs/request.ts';
import type { Builder } from '../builder.ts';
import { FAILS_ALONE } from '../nullability.ts';
import { type JobConnectionTypes, readPage } from './connection.ts';
import { inputError, invalid } from './invalid.ts';
import type { JobTypes } from './job.ts';

/** The arguments of `jobs` by which jobs are found. */
const labelFilter = z.object({
  label: labelFields.label.nullish().transform(label => label ?? null),
  metadata: labelFields.entries.nullish().transform(metadata => metadata ?? {}),
});

/** Adds `job`, `jobs` and `jobProgress`. */
export function addJobQueries(
  builder: Builder,
  { JobType, JobStatus, MetadataInput }: JobTypes,
  { JobConnection, pageArgs }: JobConnectionTypes,
): void {
  builder.queryFields(t => ({
    job: t.field({
      type: JobType,
      nullable: true,
      args: { id: t.arg.id({ required: true }) },
      resolve: (_root, { id }, { jobs, caller }) => jobs.get(id, caller),
    }),
    jobs: t.field({
      type: JobConnection,
      ...FAILS_ALONE,
      args: {
        ...pageArgs,
        status: t.arg({ type: [JobStatus], description: 'Only jobs with one of these statuses.' }),
        label: t.arg.string({ description: 'Only jobs with exactly this label.' }),
        metadata: t.arg({ type: [MetadataInput], description: 'Only jobs with all of these entries.' }),
      },
      resolve: (_root, { status, label, metadata, ...page }, { jobs, caller }) => {
        const labels = labelFilter.safeParse({ label, metadata });
        if (!labels.success) throw inputError(firstIssue(labels.error));
        const filter = { statuses: status ?? null, labels: labels.data };
        return readPage(page, {
          list: range => jobs.list({ ...filter, ...range }, caller),
          total: () => jobs.total(filter, caller),
        });
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
