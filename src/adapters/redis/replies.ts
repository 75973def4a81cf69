import { z } from 'zod';
import type { IdleLanes } from '../../jobs/claims.ts';
import { StoreUnavailable } from '../../jobs/errors.ts';
import { JOB_STATUSES, type Job } from '../../jobs/job.ts';
import type { Change } from '../../jobs/ports.ts';
import { decodeJob, withLaterFields } from '../record.ts';

/**
 * Error codes of a Redis that is reachable but cannot serve now: it is loading its file, became a replica, lost its
 * master or its quorum, is full, cannot write, or rejects our credentials (redis.io/docs/latest, "Errors" of each).
 */
const UNABLE =
  /\b(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|BUSY|OOM|MISCONF|NOREPLICAS|NOAUTH|WRONGPASS|UNKILLABLE)\b/;

/** Whether an error reply says that Redis may serve the same command later, or for other credentials. */
export function cannotServeNow(message: string): boolean {
  return UNABLE.test(message) || /max number of clients/.test(message);
}

/** Waits for a call to Redis. Rejects with `StoreUnavailable` when Redis cannot serve it, and with the error itself otherwise. */
export async function reach<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw asStoreAway(error) ?? error;
  }
}

/**
 * Null when the error is a bug of ours. ioredis distinguishes connection errors only by their text, but an error reply
 * of the server is always a `ReplyError`. The error is not kept as a cause: it holds the command with the caller's prompt.
 */
function asStoreAway(error: unknown): StoreUnavailable | null {
  if (error instanceof StoreUnavailable) return error;
  if (!(error instanceof Error) || error instanceof TypeError || error instanceof RangeError) return null;
  if (error.name === 'ReplyError') {
    const code = UNABLE.exec(error.message)?.[1];
    return code === undefined
      ? null
      : new StoreUnavailable(`Redis cannot serve now: ${code}`, 'ECONNREFUSED');
  }
  return new StoreUnavailable(`Redis is unreachable: ${error.message}`, codeOf(error));
}

function codeOf(error: Error): string {
  if ('code' in error && typeof error.code === 'string' && /^E(?!RR_)[A-Z_]+$/.test(error.code)) {
    return error.code;
  }
  return /timed? ?out/i.test(error.message) ? 'ETIMEDOUT' : 'ECONNREFUSED';
}

/** The error for a reply that no script of ours gives: another program, or another version, uses the key. */
export function unexpected(reply: unknown): Error {
  return new Error(`Redis gave an unexpected reply: ${Array.isArray(reply) ? 'a list' : typeof reply}`);
}

/** Throws when the reply is not a list. */
export function asList(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw unexpected(reply);
  return reply;
}

/** Throws when the reply is not a number. */
export function asNumber(reply: unknown): number {
  if (typeof reply !== 'number') throw unexpected(reply);
  return reply;
}

/** Joins the two halves of a record; null when there is none. Throws when they are not strings. */
export function asJob(state: unknown, request: unknown): Job | null {
  if (state === null || state === undefined) return null;
  if (typeof state !== 'string' || typeof request !== 'string') throw unexpected(state);
  return decodeJob({ state, request });
}

/** Joins a flat list of halves, in order, with null for each missing job. */
export function asJobs(reply: unknown): (Job | null)[] {
  const halves = asList(reply);
  const jobs: (Job | null)[] = [];
  for (let n = 0; n < halves.length; n += 2) jobs.push(asJob(halves[n], halves[n + 1]));
  return jobs;
}

/** As `asJobs`, without the missing ones. */
export function asPresentJobs(reply: unknown): Job[] {
  return asJobs(reply).filter(job => job !== null);
}

/** Lua writes an empty list as an object. Gateways of earlier versions do not say which models are loaded. */
const textList = z.union([z.array(z.string()), z.strictObject({}).transform(() => [])]);
const idleLanes = z.array(
  z.object({
    cannot: z.object({ names: textList, except: textList }),
    engines: z.number(),
    spare: z.number(),
    warm: z.record(z.string(), z.number()).default({}),
  }),
);

/** Parses the idle lanes of a gateway: none, if one of another version writes them in another form. */
export function asIdleLanes(text: string): readonly IdleLanes[] {
  return idleLanes.safeParse(JSON.parse(text)).data ?? [];
}

/** Parses a message of all jobs of a caller. Throws as `readMessage`. */
export function readUpdate(text: string): Change {
  const message: unknown = JSON.parse(text);
  if (!isObject(message)) throw new Error('The message is not an object');
  const { number, gone } = message;
  if (typeof number !== 'number') throw new Error('The message has no number');
  if (typeof gone === 'string') return { jobId: gone, number, job: null };
  const job = snapshotIn(message);
  return { jobId: job.id, number, job };
}

/** Parses a message of the feed. Throws when it is neither a snapshot nor a deletion. */
export function readMessage(text: string): Job | 'gone' {
  const message: unknown = JSON.parse(text);
  if (!isObject(message)) throw new Error('The message is not an object');
  if (message.gone === true) return 'gone';
  return snapshotIn(message);
}

function snapshotIn({ state, request }: Record<string, unknown>): Job {
  if (!isObject(state) || !isObject(request)) throw new Error('The message is not a snapshot');
  const job = withLaterFields(state, request);
  if (!isJob(job)) throw new Error('The snapshot is not a job');
  return job;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Checks the fields that watchers decide by. The others come from the same commit. */
function isJob(value: { [field: string]: unknown }): value is Job & Record<string, unknown> {
  return (
    typeof value.id === 'string' &&
    Number.isSafeInteger(value.revision) &&
    JOB_STATUSES.some(status => status === value.status)
  );
}
