import { isRetryable } from '../jobs/errors.ts';
import type { Delivery } from '../jobs/webhook.ts';

/**
 * What a receiver is sent: `type`, `timestamp` and `data` (Standard Webhooks, "Webhook payload"), the job in the words
 * of the REST face. The same for each try. Neither the prompt nor where the pictures came from is told.
 *
 * @param publicUrl Where callers reach the gateway; without it the pictures' URLs begin with `/`.
 */
export function payloadOf(delivery: Delivery, publicUrl: string | null): string {
  const { job, jobId } = delivery;
  return JSON.stringify({
    type: `job.${delivery.event.toLowerCase()}`,
    timestamp: timeOf(delivery.at),
    data: {
      job_id: jobId,
      status: job.status.toLowerCase(),
      revision: job.revision,
      attempt: job.attempt,
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
      created_at: timeOf(job.createdAt),
      started_at: job.startedAt === null ? null : timeOf(job.startedAt),
      finished_at: job.finishedAt === null ? null : timeOf(job.finishedAt),
      expires_at: job.expiresAt === null ? null : timeOf(job.expiresAt),
    },
  });
}

function timeOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
