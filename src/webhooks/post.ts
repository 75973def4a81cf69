import { request } from 'undici';
import type { AllowList } from '../images/allow.ts';
import { createOutboundAgent } from '../images/outbound-agent.ts';
import { readPictureUrl } from '../images/picture-url.ts';
import { toFailure } from '../images/unreachable.ts';
import type { Lookup } from '../images/vet.ts';
import type { Clock } from '../jobs/ports.ts';
import type { Delivery } from '../jobs/webhook.ts';
import { payloadOf } from './payload.ts';
import type { TryOutcome } from './retries.ts';
import type { WebhookSecrets } from './secrets.ts';
import { signedHeaders } from './sign.ts';

export interface PostOptions {
  /** What may be called besides public addresses. */
  readonly allow: AllowList;
  readonly secrets: WebhookSecrets;
  /** Where callers reach the gateway; null: not known. */
  readonly publicUrl: string | null;
  /** For one try as a whole, in milliseconds. */
  readonly timeoutMs: number;
  readonly userAgent: string;
  readonly now: Clock;
  /** How names are resolved. */
  readonly lookup: Lookup;
  /** An HTTP proxy to go through; left out: none, whatever the environment says. */
  readonly proxy?: string | undefined;
}

/** Tries a delivery once. Rejects with the signal's reason when it aborts, and never otherwise. */
export type Post = (delivery: Delivery, signal: AbortSignal) => Promise<TryOutcome>;

/** The receiver wants no more of these (Standard Webhooks, "Delivery": 410 ends it). */
const GONE = 410;
/** Longest pause that a receiver may ask for. */
const LONGEST_RETRY_AFTER_MS = 3_600_000;

/**
 * Posts with the same guard as pictures are fetched: no private address, no redirect followed, no proxy of the
 * environment, one connection a try. Of an answer only status and `Retry-After` are looked at; its body is not read.
 */
export function createPost(options: PostOptions): Post {
  const { allow, secrets, publicUrl, timeoutMs, userAgent, now, lookup, proxy } = options;

  return async (delivery, signal) => {
    const agent = createOutboundAgent({
      proxy,
      allow,
      connectTimeoutMs: timeoutMs,
      headersTimeoutMs: timeoutMs,
      lookup: (host, given) => lookup(host, given, delivery.share),
    });
    const deadline = AbortSignal.timeout(timeoutMs);
    const ended = AbortSignal.any([signal, deadline]);
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    // undici hears of an abort only once it is connected, so that is not waited for.
    const stop = (): void => reject(ended.reason);
    ended.addEventListener('abort', stop);
    try {
      ended.throwIfAborted();
      const body = payloadOf(delivery, publicUrl);
      const asked = request(readPictureUrl(delivery.url), {
        dispatcher: agent.dispatcher,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': userAgent,
          ...signedHeaders(secrets, delivery.id, now(), body),
        },
        body,
        signal: ended,
      });
      const answer = await Promise.race([stopped, asked]);
      // What else it says is of no use; closing the agent ends it.
      answer.body.on('error', () => undefined).destroy();
      return outcomeOf(answer.statusCode, answer.headers['retry-after'], now());
    } catch (error) {
      signal.throwIfAborted();
      if (deadline.aborted) return failed(`no answer within ${timeoutMs / 1000} s`, true);
      const { code, message } = toFailure(error);
      return failed(message, code === 'INPUT_UNREACHABLE');
    } finally {
      ended.removeEventListener('abort', stop);
      await agent.close();
    }
  };
}

function failed(error: string, again: boolean): TryOutcome {
  return { kind: 'failed', statusCode: null, error, again, retryAfterMs: null };
}

function outcomeOf(statusCode: number, retryAfter: string | string[] | undefined, at: number): TryOutcome {
  if (statusCode >= 200 && statusCode < 300) return { kind: 'delivered', statusCode };
  const redirect = statusCode >= 300 && statusCode < 400;
  return {
    kind: 'failed',
    statusCode,
    error: redirect ? `answered ${statusCode}: redirects are not followed` : `answered ${statusCode}`,
    again: statusCode !== GONE,
    retryAfterMs: retryAfterOf(retryAfter, at),
  };
}

/** `Retry-After` as seconds or a date (RFC 9110, 10.2.3), bounded; null when there is none that can be read. */
function retryAfterOf(header: string | string[] | undefined, at: number): number | null {
  if (typeof header !== 'string') return null;
  const ms = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - at;
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), LONGEST_RETRY_AFTER_MS);
}
