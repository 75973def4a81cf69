import { createHmac } from 'node:crypto';
import type { Delivery } from '../jobs/delivery.ts';
import { isRetryable } from '../jobs/errors.ts';

/**
 * The body that a receiver gets: `type`, `timestamp` and `data` (Standard Webhooks, "Webhook payload"), with the job's
 * fields named as in REST. The same in each try. Contains neither the prompt nor the sources of input images.
 *
 * @param publicUrl Where clients reach the gateway; null: the URLs of images start with `/`.
 */
export function payloadOf(delivery: Delivery, publicUrl: string | null): string {
  const { job, jobId } = delivery;
  return JSON.stringify({
    type: `job.${delivery.event.toLowerCase()}`,
    timestamp: isoTime(delivery.at),
    data: {
      job_id: jobId,
      status: job.status.toLowerCase(),
      revision: job.revision,
      attempt: job.attempt,
      label: job.label,
      metadata: job.metadata,
      images: job.outputs.map(({ width, height, mimeType, bytes }, index) => ({
        url: `${publicUrl ?? ''}/download/${jobId}${index > 0 ? `?index=${index}` : ''}`,
        width,
        height,
        mime_type: mimeType,
        bytes,
      })),
      error:
        job.error === null
          ? null
          : {
              code: job.error.code,
              message: job.error.message,
              retryable: isRetryable(job.error.code),
            },
      created_at: isoTime(job.createdAt),
      started_at: isoTime(job.startedAt),
      finished_at: isoTime(job.finishedAt),
      expires_at: isoTime(job.expiresAt),
    },
  });
}

function isoTime(milliseconds: number | null): string | null {
  return milliseconds === null ? null : new Date(milliseconds).toISOString();
}

/** The keys that deliveries are signed with: one, or several during a rotation. */
export type WebhookSecrets = readonly Buffer[];

/** A secret of Standard Webhooks: 24 to 64 random bytes as base64 after `whsec_` (its spec, "Signature scheme"). */
const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/;
const MIN_BYTES = 24;
const MAX_BYTES = 64;

/** Parses a comma separated list of secrets. The error message does not contain any part of them. */
export function parseWebhookSecrets(
  text: string,
): { ok: true; value: WebhookSecrets } | { ok: false; fault: string } {
  const secrets: Buffer[] = [];
  for (const part of text.split(',')) {
    const bytes = Buffer.from(SECRET.exec(part.trim())?.[1] ?? '', 'base64');
    if (bytes.length < MIN_BYTES || bytes.length > MAX_BYTES) {
      return {
        ok: false,
        fault: `takes whsec_ and ${MIN_BYTES} to ${MAX_BYTES} bytes as base64, such as whsec_$(openssl rand -base64 32)`,
      };
    }
    secrets.push(bytes);
  }
  return { ok: true, value: secrets };
}

/**
 * The headers that let a receiver verify the sender and the time of a body (Standard Webhooks 1.0.0, "Webhook headers").
 * The signature covers id, time and body. There is one signature per secret, so that a receiver needs to know only one.
 */
export function signedHeaders(
  secrets: WebhookSecrets,
  id: string,
  /** Time of this try, in milliseconds since 1970. */
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
