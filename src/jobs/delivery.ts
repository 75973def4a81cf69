import type { Job, Labels, WebhookEvent } from './job.ts';
import type { JobTrace } from './trace.ts';

/** DELIVERED and FAILED are final. */
export type DeliveryStatus = 'PENDING' | 'DELIVERED' | 'FAILED';

/** One try of a delivery. `at` is milliseconds since 1970, `tookMs` milliseconds. */
export interface DeliveryAttempt {
  readonly at: number;
  readonly tookMs: number;
  /** The status of the response; null if there was none. */
  readonly statusCode: number | null;
  /** Why the try failed; null if it succeeded. */
  readonly error: string | null;
}

/** The parts of a job that a receiver gets, as they were when the event happened. */
export type DeliverySnapshot = Pick<
  Job,
  | 'status'
  | 'revision'
  | 'attempt'
  | 'outputs'
  | 'error'
  | 'createdAt'
  | 'startedAt'
  | 'finishedAt'
  | 'expiresAt'
> &
  Labels;

/** One event to be posted to one webhook: an entry of the outbox. Immutable; a change makes a new record. */
export interface Delivery {
  /** The same in every try, so that a receiver recognises a repeat (`webhook-id` of Standard Webhooks). */
  readonly id: string;
  readonly jobId: string;
  /** The job's share, which its tries count for; null if callers are not identified. */
  readonly share: string | null;
  readonly url: string;
  readonly event: WebhookEvent;
  /** When it happened, in milliseconds since 1970. */
  readonly at: number;
  readonly job: DeliverySnapshot;
  /** The job's trace. Unset: none. */
  readonly trace?: JobTrace | undefined;
  readonly status: DeliveryStatus;
  readonly attempts: readonly DeliveryAttempt[];
  /** About when the next try is; null if there is none. */
  readonly nextAttemptAt: number | null;
}

/**
 * The deliveries, at most one, that the change from `before` to `next` causes. Pure: the id consists of the job's id
 * and revision, so the same change always makes the same delivery.
 */
export function deliveriesFor(before: Job, next: Job): readonly Delivery[] {
  const { webhook, label, metadata } = next.request;
  const event = eventOf(before, next);
  if (webhook === null || event === null || !webhook.events.includes(event)) return [];
  const at = next.finishedAt ?? next.startedAt ?? next.createdAt;
  const { status, revision, attempt, outputs, error, createdAt, startedAt, finishedAt, expiresAt } = next;
  return [
    {
      id: `msg_${next.id}_${revision}`,
      jobId: next.id,
      share: next.share,
      url: webhook.url,
      event,
      at,
      job: {
        status,
        revision,
        attempt,
        outputs,
        error,
        createdAt,
        startedAt,
        finishedAt,
        expiresAt,
        label,
        metadata,
      },
      status: 'PENDING',
      attempts: [],
      nextAttemptAt: at,
      ...(next.trace === null ? {} : { trace: next.trace }),
    },
  ];
}

function eventOf(before: Job, next: Job): WebhookEvent | null {
  if (before.status === next.status) return null;
  switch (next.status) {
    case 'QUEUED':
      return null;
    case 'PROCESSING':
      return 'STARTED';
    case 'COMPLETED':
    case 'ERROR':
    case 'CANCELED':
      return next.status;
    default:
      return next.status satisfies never;
  }
}
