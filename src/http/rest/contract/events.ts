import { z } from 'zod';
import { PER_SECOND } from '../../../jobs/changes.ts';
import { takes } from '../../../jobs/request.ts';
import { BATCH } from '../../../jobs/updates/batch.ts';
import { updatesPosition } from '../../../jobs/updates/position.ts';
import { decimalIn } from './numbers.ts';
import { jobsQuery, queryInteger } from './requests.ts';

const rateRule = takes(`a number from ${PER_SECOND.minimum} to ${PER_SECOND.maximum}`);

/** The query of GET `/events/{job_id}`. */
export const eventsQuery = z.object({
  previews: z
    .enum(['true', 'false'], takes('true or false'))
    .optional()
    .transform(text => text !== 'false')
    .meta({
      description: '`false`: no event when only the preview changed. Default: an event at each change.',
      override: ({ jsonSchema }) => {
        delete jsonSchema.enum;
        jsonSchema.type = 'boolean';
        jsonSchema.default = true;
      },
    }),
  max_per_second: z
    .string(rateRule)
    .transform((text, context) => {
      const value = decimalIn(text);
      if (value !== null && value >= PER_SECOND.minimum && value <= PER_SECOND.maximum) return value;
      context.addIssue({ code: 'custom', message: rateRule.error({ input: text }) });
      return z.NEVER;
    })
    .optional()
    .meta({
      description:
        'Events per second at most: the newest state each time, and the final one at once. Default: no limit.',
      override: { type: 'number', ...PER_SECOND },
    }),
});

/** The headers of GET `/events/{job_id}`. */
export const eventsHeaders = z.object({
  'last-event-id': z.string().optional().meta({
    description: 'The id of the last event received, as EventSource sends it.',
  }),
});

const sinceRule = takes('the id of an event');
const flag = (description: string) =>
  z
    .enum(['true', 'false'], takes('true or false'))
    .optional()
    .transform(text => text === 'true')
    .meta({
      description,
      override: ({ jsonSchema }) => {
        delete jsonSchema.enum;
        jsonSchema.type = 'boolean';
        jsonSchema.default = false;
      },
    });

/** How many jobs a stream of all jobs begins with by default. */
export const FIRST_JOBS = 20;

/** The query of GET `/events`. */
export const allEventsQuery = z.object({
  since: z
    .string(sinceRule)
    .transform((text, context) => {
      const position = updatesPosition(text);
      if (position !== null) return position;
      context.addIssue({ code: 'custom', message: sinceRule.error({ input: text }) });
      return z.NEVER;
    })
    .optional()
    .meta({ description: 'Continues after the event with this id, as the header `Last-Event-ID` does.' }),
  limit: queryInteger(0, BATCH, `How many of the newest jobs a reset has. Default: ${FIRST_JOBS}.`),
  status: jobsQuery.shape.status,
  mine: flag('`true`: for operators, who otherwise get the jobs of all callers: only their own.'),
  previews: flag('`true`: also an event when only the preview changed.'),
  max_per_second: eventsQuery.shape.max_per_second,
});
