import type { Job } from '../jobs/job.ts';
import type { OnJobChange } from '../jobs/ports.ts';
import type { Log } from '../log.ts';

/** Tells readers of the store that jobs changed, which then query them. */
export interface JobEvents {
  readonly onChange: OnJobChange;
  stop(): void;
}

/** Publishes a message on a channel of the store. */
export type Publish = (channel: string, message: string) => Promise<void>;

/** Each event costs its readers a query: a new status is published at once, progress this far apart. */
const INTERVAL_MS = 500;

/** A time after an event within which changes are held. */
interface Interval {
  readonly timer: NodeJS.Timeout;
  changed: boolean;
}

/**
 * Publishes changes of jobs on `<prefix>.<job id>` as Cosmo's event-driven subscriptions read them
 * (https://cosmo-docs.wundergraph.com/router/cosmo-streams/redis): the type and the key of the entity.
 */
export function createJobEvents({
  prefix,
  publish,
  log,
}: {
  readonly prefix: string;
  readonly publish: Publish;
  readonly log: Log;
}): JobEvents {
  const intervals = new Map<string, Interval>();

  function send(id: string): void {
    const message = JSON.stringify({ __typename: 'EditJob', id });
    publish(`${prefix}.${id}`, message).catch((error: unknown) => {
      // A lost event is followed by others, and by the log of the outage.
      log.debug({ job: id, err: error }, 'could not publish the event of a job');
    });
    const timer = setTimeout(() => {
      const changed = intervals.get(id)?.changed === true;
      intervals.delete(id);
      if (changed) send(id);
    }, INTERVAL_MS);
    intervals.set(id, { timer, changed: false });
  }

  function onChange(before: Job | null, { id, status }: Job): void {
    const interval = intervals.get(id);
    if (interval === undefined) send(id);
    else if (before?.status === status) interval.changed = true;
    else {
      clearTimeout(interval.timer);
      send(id);
    }
  }

  return {
    onChange,
    stop() {
      for (const { timer } of intervals.values()) clearTimeout(timer);
      intervals.clear();
    },
  };
}
