import { request } from 'undici';
import { runUntil } from '../concurrency/deadline.ts';
import type { Clock } from '../jobs/ports.ts';
import { createOutboundAgent, type OutboundProxy } from '../outbound/agent.ts';
import type { AllowList } from '../outbound/allow-list.ts';
import { OutboundError, toOutboundFailure } from '../outbound/errors.ts';
import { wrongScheme } from '../outbound/scheme.ts';
import { parseUrl } from '../outbound/url.ts';
import type { Lookup } from '../outbound/vet.ts';
import { signedHeaders, type WebhookSecrets } from './message.ts';
import type { TryOutcome } from './retries.ts';

export interface SignedPostOptions {
  /** What may be called besides public addresses. */
  readonly allow: AllowList;
  readonly secrets: WebhookSecrets;
  /** For one try as a whole, in milliseconds. */
  readonly timeoutMs: number;
  readonly userAgent: string;
  readonly now: Clock;
  readonly lookup: Lookup;
  /** An HTTP proxy to use. Without it there is none, whatever the environment says. */
  readonly proxy?: OutboundProxy | undefined;
}

export interface SignedMessage {
  /** The same in each try. */
  readonly id: string;
  readonly url: string;
  /** JSON. */
  readonly body: string;
  readonly traceparent: string | null;
}

/** The receiver wants no more deliveries (Standard Webhooks, "Delivery": 410 ends it). */
const GONE = 410;
/** The longest pause that a receiver may request. */
const MAX_RETRY_AFTER_MS = 3_600_000;

/**
 * Posts once with the guard that images are fetched with: no private addresses, no redirects, no proxy of the environment,
 * one connection per try. Reads only the status and `Retry-After` of a response, not its body. Rejects only if the signal
 * aborts, with its reason.
 */
export async function postSigned(
  { id, url, body, traceparent }: SignedMessage,
  { allow, secrets, timeoutMs, userAgent, now, lookup, proxy }: SignedPostOptions,
  signal: AbortSignal,
): Promise<TryOutcome> {
  const timedOut = () => new OutboundError('unreachable', `no response within ${timeoutMs / 1000} s`);
  const agent = createOutboundAgent(proxy, {
    allow,
    connectTimeoutMs: timeoutMs,
    headersTimeoutMs: timeoutMs,
    lookup,
  });
  try {
    const response = await runUntil(timeoutMs, timedOut, [signal], stop =>
      request(parseUrl(url), {
        dispatcher: agent.dispatcher,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': userAgent,
          ...(traceparent === null ? {} : { traceparent }),
          ...signedHeaders(secrets, id, now(), body),
        },
        body,
        signal: stop,
      }),
    );
    // The body is not needed; closing the agent ends it.
    response.body.on('error', () => undefined).destroy();
    return outcomeOf(response.statusCode, response.headers['retry-after'], now());
  } catch (error) {
    signal.throwIfAborted();
    const { kind, message, allowable } = toOutboundFailure(error);
    const remedy = allowable ? ': the operator can add the host to FETCH_ALLOW' : '';
    return {
      kind: 'failed',
      statusCode: null,
      error: wrongScheme(error, new URL(url).protocol) ?? message + remedy,
      retry: kind === 'unreachable',
      retryAfterMs: null,
    };
  } finally {
    await agent.close();
  }
}

function outcomeOf(statusCode: number, retryAfter: string | string[] | undefined, at: number): TryOutcome {
  if (statusCode >= 200 && statusCode < 300) return { kind: 'delivered', statusCode };
  const redirect = statusCode >= 300 && statusCode < 400;
  return {
    kind: 'failed',
    statusCode,
    error: redirect ? `answered ${statusCode}: redirects are not followed` : `answered ${statusCode}`,
    retry: statusCode !== GONE,
    retryAfterMs: retryAfterOf(retryAfter, at),
  };
}

/** `Retry-After` as seconds or a date (RFC 9110, 10.2.3), bounded; null if missing or malformed. */
function retryAfterOf(header: string | string[] | undefined, at: number): number | null {
  if (typeof header !== 'string') return null;
  const ms = /^\d{1,9}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - at;
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS);
}
