import { z } from 'zod';
import { BATCH_PER_SECOND } from '../../../jobs/batches/watch.ts';
import { eventsQuery } from './events.ts';
import { jobsQuery } from './requests.ts';

const count = z.int().min(0);

/** POST `/edit-images` and POST `/batches/{batch_id}/retry`. */
export const batchAccepted = z
  .object({
    batch_id: z.string(),
    total: count.meta({ description: 'How many jobs were submitted.' }),
    message: z.string(),
    warnings: z.array(z.string()).optional().meta({
      description:
        'Fields that were ignored because they are unknown, one sentence each, after the index of their edit.',
    }),
  })
  .meta({ id: 'BatchAccepted' });

/** GET `/batches/{batch_id}`. */
export const batchResponse = z
  .object({
    batch_id: z.string(),
    total: count.meta({ description: 'How many jobs it was submitted with.' }),
    queued: count,
    processing: count,
    completed: count,
    failed: count,
    canceled: count,
    removed: count.meta({
      description: 'Jobs that were deleted or have expired. With the others they make `total`.',
    }),
    ended: z.boolean().meta({ description: 'Whether all jobs have ended.' }),
    progress: z.number().min(0).max(100).meta({
      description: 'The mean progress of the jobs, where one that has ended counts as 100. It never falls.',
    }),
    eta_seconds: z.number().optional().meta({
      description: 'Seconds until all jobs have ended, at the pace of the batch so far.',
    }),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'Batch' });

export type BatchAccepted = z.output<typeof batchAccepted>;
export type BatchResponse = z.output<typeof batchResponse>;

/** The query of GET `/batches/{batch_id}/jobs`. */
export const batchJobsQuery = jobsQuery.pick({ limit: true, after: true, status: true });

/** The query of GET `/batches/{batch_id}/events`. */
export const batchEventsQuery = eventsQuery.pick({ max_per_second: true }).extend({
  max_per_second: eventsQuery.shape.max_per_second.meta({
    description: `Events per second at most; the last one comes at once. Default: ${BATCH_PER_SECOND}.`,
    override: { type: 'number' },
  }),
});

/** The headers of GET `/batches/{batch_id}/events`. */
export const batchEventsHeaders = z.object({
  'last-event-id': z.string().optional().meta({
    description: '`end`: the client has the last event.',
  }),
});
