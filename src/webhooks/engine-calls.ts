import { CALLS, type EngineCall } from '../jobs/engine-needs.ts';
import { hostAndPort, parseUrl } from '../outbound/url.ts';
import type { TryOutcome } from './retries.ts';
import { postSigned, type SignedPostOptions } from './signed-post.ts';

/** Calls the receiver of the operator once. Rejects only if the signal aborts, with its reason. */
export type CallForEngines = (call: EngineCall, signal: AbortSignal) => Promise<TryOutcome>;

/**
 * Calls for engines at a URL that the operator has set: its host is called wherever it is, and without a proxy.
 * Otherwise as webhooks are.
 */
export function createEngineCalls(
  url: string,
  options: Omit<SignedPostOptions, 'allow' | 'proxy'>,
): CallForEngines {
  const { host: own } = hostAndPort(parseUrl(url));
  const allow = {
    allowsHost: (host: string) => host === own,
    allowsAddress: (address: string) => address === own,
  };
  return (call, signal) =>
    postSigned({ id: call.id, url, body: bodyOf(call), traceparent: null }, { ...options, allow }, signal);
}

/** `type`, `timestamp` and `data` (Standard Webhooks, "Webhook payload"), with the names that REST uses. */
function bodyOf(call: EngineCall): string {
  const { kind, at, since, call: number } = call;
  const { event, reason } = CALLS[kind];
  const known = { reason, since: new Date(since).toISOString(), call: number };
  const data =
    call.kind === 'idle'
      ? { ...known, engines: call.engines }
      : {
          ...known,
          waiting: call.waiting,
          oldest_seconds: Math.round(call.oldestSeconds * 10) / 10,
          workflows: call.workflows,
          models: call.models,
        };
  return JSON.stringify({ type: event, timestamp: new Date(at).toISOString(), data });
}
