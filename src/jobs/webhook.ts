import type { Job } from './job.ts';

/** What a webhook can be told of: a run began, or the job ended in one of three ways. */
export const WEBHOOK_EVENTS = ['STARTED', 'COMPLETED', 'ERROR', 'CANCELED'] as const;
export type WebhookEvent = (typeof WEBHOOK_EVENTS)[number];

/** What a webhook hears of when it does not say: every end. */
export const DEFAULT_WEBHOOK_EVENTS: readonly WebhookEvent[] = ['COMPLETED', 'ERROR', 'CANCELED'];

/** Where a caller wants to be told of a job, and of what. */
export interface Webhook {
  readonly url: string;
  /** At least one, each once. */
  readonly events: readonly WebhookEvent[];
}

/** DELIVERED and FAILED are final. */
export type DeliveryStatus = 'PENDING' | 'DELIVERED' | 'FAILED';

/** One try of a delivery. Times are milliseconds since 1970, `tookMs` milliseconds. */
export interface DeliveryAttempt {
  readonly at: number;
  readonly tookMs: number;
  /** What the receiver answered; null when it did not. */
  readonly statusCode: number | null;
  /** Why it does not count as delivered; null when it does. */
  readonly error: string | null;
}

/** What a receiver is told of the job, as it was when the event happened. */
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
>;

/** One event that one webhook is to hear of: an entry of the outbox. A change makes a new record. */
export interface Delivery {
  /** The same in every try, so that a receiver can tell a repeat (`webhook-id` of Standard Webhooks). */
  readonly id: string;
  readonly jobId: string;
  /** Whose share of the tries it takes: the job's; null: callers are not told apart. Left out by earlier versions. */
  readonly share?: string | null;
  readonly url: string;
  readonly event: WebhookEvent;
  /** When it happened, in milliseconds since 1970. */
  readonly at: number;
  readonly job: DeliverySnapshot;
  readonly status: DeliveryStatus;
  readonly attempts: readonly DeliveryAttempt[];
  /** About when it is tried next; null when it is not. */
  readonly nextAttemptAt: number | null;
}

/**
 * What the change from `before` to `next` is to be told to the job's webhook: nothing, or one delivery. Pure: the id is
 * made of the job's id and revision, so the same change makes the same delivery.
 */
export function deliveriesFor(before: Job, next: Job): readonly Delivery[] {
  const { webhook } = next.request;
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
      job: { status, revision, attempt, outputs, error, createdAt, startedAt, finishedAt, expiresAt },
      status: 'PENDING',
      attempts: [],
      nextAttemptAt: at,
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
