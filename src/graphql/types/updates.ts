import { PER_SECOND } from '../../jobs/changes.ts';
import { BATCH, type JobUpdates } from '../../jobs/updates/batch.ts';
import { type Position, updatesPosition } from '../../jobs/updates/position.ts';
import { show } from '../../workflows/messages.ts';
import type { Builder } from '../builder.ts';
import { SEQUENCE } from '../sequence.ts';
import { invalid } from './invalid.ts';
import type { JobTypes } from './job.ts';
import { readRate } from './jobs.ts';

/** Jobs of a reset unless the caller says how many. */
const DEFAULT_FIRST = 20;

/** Adds `jobUpdates`. */
export function addJobUpdates(builder: Builder, { JobType, JobStatus }: JobTypes): void {
  const JobUpdatesType = builder.objectRef<JobUpdates>('EditJobUpdates').implement({
    description: 'What changed: the present state of each job that did.',
    fields: t => ({
      cursor: t.exposeString('cursor', {
        description: 'Hand it in as `since` to continue after these updates. Valid for a day.',
      }),
      reset: t.exposeBoolean('reset', {
        description:
          'True: forget what was sent before. `jobs` are the newest ones as they are now; `Query.jobs` has the older ones.',
      }),
      jobs: t.field({
        type: [JobType],
        description: `At most ${BATCH}, each once.`,
        resolve: ({ jobs }) => [...jobs],
      }),
      removed: t.field({
        type: ['ID'],
        description: 'The ids of jobs that were deleted or have expired.',
        resolve: ({ removed }) => [...removed],
      }),
    }),
  });

  builder.subscriptionField('jobUpdates', t =>
    t.field({
      type: JobUpdatesType,
      description:
        'All jobs of the caller, live: what changed since a cursor, or else the newest jobs; then each change. Changes of ' +
        'the same time come together, and a slow client gets each changed job once, in its newest state.',
      args: {
        since: t.arg.string({
          description:
            '`cursor` of the last updates that were received. Unset, or no longer known: begins with a reset.',
        }),
        first: t.arg.int({ defaultValue: DEFAULT_FIRST, description: `Jobs of a reset: 0 to ${BATCH}.` }),
        status: t.arg({
          type: [JobStatus],
          description: 'Only jobs with one of these statuses. A job that leaves them is sent once more.',
        }),
        mine: t.arg.boolean({
          defaultValue: false,
          description: 'For operators, who otherwise get the jobs of all callers: only their own.',
        }),
        previews: t.arg.boolean({
          defaultValue: false,
          description: 'True: also sent when only the preview changed. False: `preview` is null.',
        }),
        maxPerSecond: t.arg.float({
          description:
            `${PER_SECOND.minimum} to ${PER_SECOND.maximum}: a job is sent at most this often, in its newest state, and ` +
            'its end at once. Default: each change.',
        }),
      },
      extensions: SEQUENCE,
      subscribe: (_root, args, { jobs, caller }) => {
        const first = args.first ?? DEFAULT_FIRST;
        if (first < 0 || first > BATCH) throw invalid('first', `takes 0 to ${BATCH}, got ${first}`);
        return jobs.watchAll(
          {
            first,
            since: readCursor(args.since),
            statuses: args.status ?? null,
            mine: args.mine ?? false,
            previews: args.previews ?? false,
            maxPerSecond: readRate(args.maxPerSecond) ?? null,
          },
          caller,
        );
      },
      resolve: updates => updates,
    }),
  );
}

function readCursor(cursor: string | null | undefined): Position | null {
  if (cursor == null) return null;
  const position = updatesPosition(cursor);
  if (position === null) throw invalid('since', `takes the cursor of updates, got ${show(cursor)}`);
  return position;
}
