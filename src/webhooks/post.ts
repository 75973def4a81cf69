import { isIP } from 'node:net';
import type { Delivery } from '../jobs/delivery.ts';
import type { WebhookFault } from '../jobs/submit/check.ts';
import { traceparentOf } from '../jobs/trace.ts';
import { judgeAddress } from '../outbound/address.ts';
import type { AllowList } from '../outbound/allow-list.ts';
import { OutboundError } from '../outbound/errors.ts';
import { hostAndPort, parseUrl } from '../outbound/url.ts';
import { payloadOf } from './message.ts';
import type { TryOutcome } from './retries.ts';
import { postSigned, type SignedPostOptions } from './signed-post.ts';

export interface PostOptions extends SignedPostOptions {
  /** Where clients reach the gateway; null: unknown. */
  readonly publicUrl: string | null;
  /** The `traceparent` of the try that is made now; null or unset: that of the job. */
  readonly traceparent?: (() => string | null) | undefined;
}

/** Tries a delivery once. Rejects only if the signal aborts, with its reason. */
export type Post = (delivery: Delivery, signal: AbortSignal) => Promise<TryOutcome>;

/**
 * Why a URL cannot be a webhook; null if it can. Addresses are checked here, so that the
 * caller learns of them at once; names only when they are called, because they may change.
 */
export function rejectWebhookUrl(text: string, allow: AllowList): WebhookFault | null {
  try {
    const { host, port } = hostAndPort(parseUrl(text));
    if (isIP(host) === 0 || allow.allowsHost(host, port) || allow.allowsAddress(host, port)) return null;
    const verdict = judgeAddress(host);
    return verdict.ok
      ? null
      : fault(
          `takes a URL that can be called from outside: ${host} is ${verdict.kind}, and not in FETCH_ALLOW`,
        );
  } catch (error) {
    if (error instanceof OutboundError) return fault(`takes an http(s) URL: ${error.failure.message}`);
    throw error;
  }
}

function fault(message: string): WebhookFault {
  return { field: 'webhook.url', message };
}

/** Posts deliveries with the guard that images are fetched with, see `postSigned`. */
export function createPost(options: PostOptions): Post {
  const { publicUrl, lookup } = options;
  return (delivery, signal) => {
    const traceparent =
      options.traceparent?.() ?? (delivery.trace === undefined ? null : traceparentOf(delivery.trace));
    const { id, url } = delivery;
    return postSigned(
      { id, url, body: payloadOf(delivery, publicUrl), traceparent },
      { ...options, lookup: (host, given) => lookup(host, given, delivery.share) },
      signal,
    );
  };
}
