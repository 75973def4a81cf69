import { createHmac } from 'node:crypto';
import type { WebhookSecrets } from './secrets.ts';

/**
 * The headers by which a receiver knows who sent a body and when (Standard Webhooks 1.0.0, "Webhook headers"). The
 * signature covers id, time and body; with several secrets there is one for each, so that a receiver may know any.
 */
export function signedHeaders(
  secrets: WebhookSecrets,
  id: string,
  /** Of this try, in milliseconds since 1970. */
  at: number,
  body: string,
): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string> {
  const timestamp = String(Math.floor(at / 1000));
  const signatures = secrets.map(secret =>
    createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64'),
  );
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.map(signature => `v1,${signature}`).join(' '),
  };
}
