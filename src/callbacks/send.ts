import { request } from 'undici';
import { runUntil } from '../concurrency/deadline.ts';
import { createOutboundAgent } from '../outbound/agent.ts';
import type { AllowList } from '../outbound/allow-list.ts';
import { OutboundError, toOutboundFailure } from '../outbound/errors.ts';
import { parseUrl } from '../outbound/url.ts';
import type { Lookup } from '../outbound/vet.ts';
import { PROTOCOL_HEADERS } from './protocol.ts';

/** What came of a message. */
export type Answer =
  | { readonly kind: 'answered'; readonly status: number }
  /** Nothing was heard from the router: a later try may succeed. */
  | { readonly kind: 'unreachable'; readonly reason: string }
  /** The guard does not let the message out. */
  | { readonly kind: 'blocked'; readonly reason: string };

/** Posts messages to routers. */
export interface Sender {
  /** Tries once. Rejects only if the signal aborts, with its reason. */
  send(url: string, body: string | Buffer, signal: AbortSignal): Promise<Answer>;
  /** Aborts what is in flight and closes every connection. */
  close(): Promise<void>;
}

/** For one message as a whole: a router answers at once. */
const ANSWER_MS = 5_000;
/** A router answers without a body, or with an error in a few words. */
const MAX_BODY_BYTES = 16 * 1024;
const REUSE = { idleMs: 10_000, connections: 32 };

/** Posts only to hosts and addresses in `allow`, public ones included, and never through a proxy. */
export function createSender({
  allow,
  lookup,
}: {
  readonly allow: AllowList;
  readonly lookup: Lookup;
}): Sender {
  const agent = createOutboundAgent(undefined, {
    allow,
    onlyAllowed: true,
    connectTimeoutMs: ANSWER_MS,
    headersTimeoutMs: ANSWER_MS,
    lookup,
    reuse: REUSE,
  });
  const timedOut = () => new OutboundError('unreachable', `no response within ${ANSWER_MS / 1000} s`);
  return {
    async send(url, body, signal) {
      try {
        const status = await runUntil(ANSWER_MS, timedOut, [signal], async stop => {
          const response = await request(parseUrl(url), {
            dispatcher: agent.dispatcher,
            method: 'POST',
            headers: { 'content-type': 'application/json', ...PROTOCOL_HEADERS },
            body,
            signal: stop,
          });
          await response.body.dump({ limit: MAX_BODY_BYTES, signal: stop });
          return response.statusCode;
        });
        return { kind: 'answered', status };
      } catch (error) {
        signal.throwIfAborted();
        const { kind, message: reason } = toOutboundFailure(error);
        return { kind: kind === 'unreachable' ? 'unreachable' : 'blocked', reason };
      }
    },
    close: () => agent.close(),
  };
}
