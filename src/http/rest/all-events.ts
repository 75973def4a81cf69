import type { FastifyInstance, FastifyRequest } from 'fastify';
import { StoreUnavailable } from '../../jobs/errors.ts';
import type { Caller } from '../../jobs/job.ts';
import { type Position, updatesPosition } from '../../jobs/updates/position.ts';
import type { JobUpdates, UpdatesStream } from '../../jobs/updates/updates.ts';
import { sendError } from '../errors.ts';
import { endWith, framesOf, sendEvents } from '../event-stream.ts';
import { farewell } from '../farewell.ts';
import type { RestOptions } from './context.ts';
import { allEventsQuery, FIRST_JOBS } from './contract/events.ts';
import { readQuery } from './query.ts';
import { jobStatuses, liveStatusOf } from './status-fields.ts';

/**
 * GET `/events`: the responses of `/status` of all the caller's jobs as server-sent events, from `since` or
 * `Last-Event-ID` on, for as long as the client stays. The last event of those that are sent together has the id.
 */
export function allEventsRoute(app: FastifyInstance, options: RestOptions): void {
  const route = { exposeHeadRoute: false, config: { lifetime: 'stream' } } as const;
  app.get('/events', route, async (request, reply) => {
    const query = readQuery(allEventsQuery, request.query);
    if (!query.ok) return sendError(reply, 400, query.fault);
    const { since, limit = FIRST_JOBS, status, mine, previews, max_per_second: maxPerSecond } = query.value;
    const caller = options.callerOf(request);
    const updates = await options.services.jobs.watchAll(
      {
        since: lastEvent(request) ?? since ?? null,
        first: limit,
        statuses: jobStatuses(status),
        mine,
        previews,
        maxPerSecond: maxPerSecond ?? null,
      },
      caller,
    );
    const ending = endWith(reply, updates, options);
    return sendEvents(reply, frames(options, updates, caller, ending));
  });
}

/** An id that is not ours would stop an EventSource for good if it were rejected. */
function lastEvent({ headers }: FastifyRequest): Position | null {
  const id = headers['last-event-id'];
  return typeof id === 'string' ? updatesPosition(id) : null;
}

async function* frames(
  options: RestOptions,
  updates: UpdatesStream,
  caller: Caller,
  ending: AbortSignal,
): AsyncGenerator<string, void> {
  try {
    // A comment, so that the headers are sent at once.
    yield ': watching\n\n';
    yield* framesOf(updates, value => frameOf(options, value, caller), ending);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    yield farewell();
  } finally {
    await updates.return();
  }
}

async function frameOf(options: RestOptions, updates: JobUpdates, caller: Caller): Promise<string> {
  const { cursor, reset, jobs, removed } = updates;
  const statuses = await Promise.all(
    jobs.map(async job => ({ job_id: job.id, ...(await liveStatusOf(options, job, caller)) })),
  );
  const events = [
    ...(reset ? ['event: reset\ndata: {}'] : []),
    ...removed.map(id => `event: removed\ndata: ${JSON.stringify({ job_id: id })}`),
    ...statuses.map(status => `data: ${JSON.stringify(status)}`),
  ];
  // Without an event the id is remembered all the same (HTML Living Standard, 9.2.6).
  return `${events.map(event => `${event}\n`).join('\n')}id: ${cursor}\n\n`;
}
