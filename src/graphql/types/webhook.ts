import type {
  Delivery,
  DeliveryAttempt,
  DeliveryStatus,
  WebhookEvent as Event,
  Webhook,
} from '../../jobs/webhook.ts';
import type { Builder } from '../builder.ts';

/** Adds what a job says of its webhook. Returns the references that other files need. */
export function addWebhook(builder: Builder) {
  const WebhookEvent = builder.enumType('WebhookEvent', {
    description: 'What a webhook can be told of.',
    values: {
      STARTED: { description: 'A run began; again when an engine was lost.' },
      COMPLETED: { description: 'The pictures are ready.' },
      ERROR: { description: 'The job failed.' },
      CANCELED: { description: 'Somebody stopped it.' },
    } satisfies Record<Event, { description: string }>,
  });

  const WebhookType = builder.objectRef<Webhook>('Webhook').implement({
    description: 'Whom a job tells.',
    fields: t => ({
      url: t.exposeString('url'),
      events: t.field({ type: [WebhookEvent], resolve: webhook => [...webhook.events] }),
    }),
  });

  const WebhookDeliveryStatus = builder.enumType('WebhookDeliveryStatus', {
    values: {
      PENDING: { description: 'Is tried until a day after the event.' },
      DELIVERED: { description: 'The receiver answered with a 2xx status.' },
      FAILED: { description: 'Is not tried any more.' },
    } satisfies Record<DeliveryStatus, { description: string }>,
  });

  const WebhookAttempt = builder.objectRef<DeliveryAttempt>('WebhookAttempt').implement({
    description: 'One try of a delivery.',
    fields: t => ({
      at: t.field({ type: 'DateTime', resolve: attempt => new Date(attempt.at) }),
      tookMs: t.exposeInt('tookMs'),
      statusCode: t.exposeInt('statusCode', {
        nullable: true,
        description: 'The receiver’s answer; null when there was none.',
      }),
      error: t.exposeString('error', { nullable: true, description: 'Why it counts as not delivered.' }),
    }),
  });

  const WebhookDelivery = builder.objectRef<Delivery>('WebhookDelivery').implement({
    description: 'One event that a job’s webhook is told of.',
    fields: t => ({
      id: t.exposeID('id', { description: 'The header `webhook-id`, the same in every try.' }),
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
        description: 'About when it is tried again; null when it is not.',
        resolve: ({ nextAttemptAt }) => (nextAttemptAt === null ? null : new Date(nextAttemptAt)),
      }),
    }),
  });

  return { WebhookEvent, WebhookType, WebhookDelivery };
}
