import type { Delivery, DeliveryAttempt, DeliveryStatus } from '../../jobs/delivery.ts';
import type { WebhookEvent as Event, Webhook } from '../../jobs/job.ts';
import type { Builder } from '../builder.ts';

/** Adds the webhook types. Returns the references that other files need. */
export function addWebhook(builder: Builder) {
  const WebhookEvent = builder.enumType('EditWebhookEvent', {
    description: 'Events that can be posted to a webhook.',
    values: {
      STARTED: { description: 'A run started; sent again when an engine was lost.' },
      COMPLETED: { description: 'The images are ready.' },
      ERROR: { description: 'The job failed.' },
      CANCELED: { description: 'The job was canceled.' },
    } satisfies Record<Event, { description: string }>,
  });

  const WebhookType = builder.objectRef<Webhook>('EditWebhook').implement({
    description: 'Where a job’s events are posted.',
    fields: t => ({
      url: t.exposeString('url'),
      events: t.field({ type: [WebhookEvent], resolve: webhook => [...webhook.events] }),
    }),
  });

  const WebhookDeliveryStatus = builder.enumType('EditWebhookDeliveryStatus', {
    values: {
      PENDING: { description: 'Will be tried, for up to a day after the event.' },
      DELIVERED: { description: 'The receiver answered with a 2xx status.' },
      FAILED: { description: 'Will not be tried again.' },
    } satisfies Record<DeliveryStatus, { description: string }>,
  });

  const WebhookAttempt = builder.objectRef<DeliveryAttempt>('EditWebhookAttempt').implement({
    description: 'One attempt at a delivery.',
    fields: t => ({
      at: t.field({ type: 'DateTime', resolve: attempt => new Date(attempt.at) }),
      tookMs: t.exposeInt('tookMs'),
      statusCode: t.exposeInt('statusCode', {
        nullable: true,
        description: 'The status of the receiver’s response; null when there was none.',
      }),
      error: t.exposeString('error', { nullable: true, description: 'Why the attempt failed.' }),
    }),
  });

  const WebhookDelivery = builder.objectRef<Delivery>('EditWebhookDelivery').implement({
    description: 'One event for a job’s webhook.',
    fields: t => ({
      id: t.exposeID('id', { description: 'Sent as the header `webhook-id`, the same in every attempt.' }),
      event: t.field({ type: WebhookEvent, resolve: delivery => delivery.event }),
      status: t.field({ type: WebhookDeliveryStatus, resolve: delivery => delivery.status }),
      attempts: t.field({
        type: [WebhookAttempt],
        description: 'Oldest first.',
        resolve: delivery => [...delivery.attempts],
      }),
      nextAttemptAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'Approximate time of the next attempt; null when there is none.',
        resolve: ({ nextAttemptAt }) => (nextAttemptAt === null ? null : new Date(nextAttemptAt)),
      }),
    }),
  });

  return { WebhookEvent, WebhookType, WebhookDelivery };
}
