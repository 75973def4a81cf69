import { reachedBy } from '../jobs/batches/batch.ts';
import { isWaiting, type Job } from '../jobs/job.ts';

/** Engines of which durations are kept; the one that was put longest ago is dropped. */
export const ENGINES_KEPT = 100;

/** A job in two halves of JSON: `request` never changes, `state` is rewritten with every commit. */
export interface JobRecord {
  readonly request: string;
  readonly state: string;
}

/** The half of a job that changes, as JSON. */
export function encodeState(job: Job): string {
  // JSON leaves it out. A copy without the property takes half as long again.
  return JSON.stringify({ ...job, request: undefined });
}

/** What records of earlier versions lack. */
const LATER_FIELDS = {
  losses: 0,
  missingOutputs: 0,
  suspect: false,
  lostOn: null,
  notBefore: null,
  clientId: null,
  live: null,
  waitCode: null,
  previewRevisions: 0,
  trace: null,
  batch: null,
  reached: 0,
};
const LATER_REQUEST_FIELDS = { label: null, metadata: {} };

/** Joins the two halves. Their form is not checked: the stores read only what they wrote. */
export function decodeJob({ request, state }: JobRecord): Job {
  return withLaterFields(JSON.parse(state), JSON.parse(request));
}

/** Joins the two halves as parsed, with the fields that came after the gateway that wrote them. */
export function withLaterFields<State extends object, Request extends object>(
  state: State,
  request: Request,
) {
  return { ...LATER_FIELDS, ...state, request: { ...LATER_REQUEST_FIELDS, ...request } };
}

/** The fields of a job that the stores index. */
export function columnsOf(job: Job) {
  return {
    revision: job.revision,
    status: job.status,
    waiting: isWaiting(job) ? 1 : 0,
    lane: job.lane,
    expiresAt: job.expiresAt,
    reached: reachedBy(job),
    startedAt: job.startedAt,
  };
}
