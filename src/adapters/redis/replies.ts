import { JOB_STATUSES, type Job } from '../../jobs/job.ts';
import { decodeJob } from '../record.ts';

/** A reply that is not what the script promises: the key is somebody else's, or of another version. */
function unexpected(reply: unknown): Error {
  return new Error(`Redis gave an unexpected reply: ${Array.isArray(reply) ? 'a list' : typeof reply}`);
}

/** A reply that is a list. Throws when it is none. */
export function asList(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw unexpected(reply);
  return reply;
}

/** A reply that is a number. Throws when it is none. */
export function asNumber(reply: unknown): number {
  if (typeof reply !== 'number') throw unexpected(reply);
  return reply;
}

/** A job from the two halves of its record; null for none. Throws when they are no job. */
export function asJob(state: unknown, request: unknown): Job | null {
  if (state === null || state === undefined) return null;
  if (typeof state !== 'string' || typeof request !== 'string') throw unexpected(state);
  return decodeJob({ state, request });
}

/** The jobs of a list of halves, in order, null where there was none. */
export function asJobs(reply: unknown): (Job | null)[] {
  const halves = asList(reply);
  const jobs: (Job | null)[] = [];
  for (let n = 0; n < halves.length; n += 2) jobs.push(asJob(halves[n], halves[n + 1]));
  return jobs;
}

/** The same without the gaps. */
export function asPresentJobs(reply: unknown): Job[] {
  return asJobs(reply).filter(job => job !== null);
}

/** What a channel of the feed says. Throws when it is neither a snapshot nor an end. */
export function readMessage(text: string): Job | 'gone' {
  const message: unknown = JSON.parse(text);
  if (!isObject(message)) throw new Error('it is no object');
  if (message.gone === true) return 'gone';
  const { state, request } = message;
  if (!isObject(state) || !isObject(request)) throw new Error('it is no snapshot');
  const job = { ...state, request };
  if (!isJob(job)) throw new Error('it is no job');
  return job;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Looks at what a watcher goes by; the rest comes from the same commit. */
function isJob(value: { [field: string]: unknown }): value is Job & Record<string, unknown> {
  return (
    typeof value.id === 'string' &&
    Number.isSafeInteger(value.revision) &&
    JOB_STATUSES.some(status => status === value.status)
  );
}
