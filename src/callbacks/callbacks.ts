import { setTimeout as delay } from 'node:timers/promises';
import { type ExecutionResult, GraphQLError } from 'graphql';
import { withDeadline } from '../concurrency/deadline.ts';
import type { Log } from '../log.ts';
import { isEncoded, type StreamSubscriber } from '../operations/encoded-results.ts';
import type { Subscribed } from '../operations/operations.ts';
import { type Callback, checkMessage, completeMessage, nextMessage, STARTED } from './protocol.ts';
import type { Sender } from './send.ts';

/** A router's subscription before it starts. */
export interface CallbackSubscription {
  readonly callback: Callback;
  /** Subscribes, within the caller's quota. */
  readonly live: () => Promise<Subscribed<StreamSubscriber>>;
  /** When the caller's credentials expire, in milliseconds since 1970; null: never. */
  readonly expiresAt: number | null;
  /** Resolves once the response is sent, or with false if the router went before. */
  readonly answered: Promise<boolean>;
}

/** Subscriptions whose results are posted to a router. Nothing of them is stored: they end with this process. */
export interface Callbacks {
  /**
   * Checks that the router knows the subscription, and starts it once the response is sent. Returns the response's result.
   * It ends with its source, at `expiresAt`, after the longest lifetime, when the router does not know it any more, rejects
   * a message or is unreachable several times in a row, and with the gateway. Never rejects.
   */
  subscribe(subscription: CallbackSubscription): Promise<ExecutionResult>;
  /** Tells the routers of all subscriptions that they end, for a second at most, and closes every connection. */
  stop(): Promise<void>;
}

export interface CallbacksOptions {
  readonly sender: Sender;
  /** How long a subscription may run, in milliseconds. */
  readonly lifetimeMs: number;
  readonly log: Log;
}

interface Running {
  readonly callback: Callback;
  readonly results: AsyncIterator<ExecutionResult>;
  /** Aborts when the router is to get no more messages. */
  readonly over: AbortController;
  /** Whether it ends before its source. */
  early: boolean;
  readonly timers: NodeJS.Timeout[];
  done: Promise<void>;
}

/** Before the second and third try of a message, in milliseconds. */
const RETRY_MS = [250, 1_000];
/** The part of the interval after which a heartbeat is sent, so that it arrives in time. */
const HEARTBEAT_PART = 0.75;
const FAREWELL_MS = 1_000;

const ENDS_EARLY = {
  message: 'The gateway ends the subscription early: subscribe again',
  extensions: { code: 'SUBSCRIPTION_ENDED_EARLY' },
};

export function createCallbacks({ sender, lifetimeMs, log }: CallbacksOptions): Callbacks {
  const open = new Set<Running>();
  let stopped = false;

  /** Ends the source, and with it the loop of `deliver`. */
  function end(running: Running): void {
    for (const timer of running.timers.splice(0)) clearTimeout(timer);
    // A mailbox's `return` settles at once and never rejects.
    void running.results.return?.();
  }

  function endEarly(running: Running): void {
    running.early = true;
    end(running);
  }

  function leave(running: Running, reason: string): void {
    if (running.over.signal.aborted) return;
    // The URL may name the subscription, so it is not logged.
    const { host } = new URL(running.callback.url);
    log.info({ router: host, reason }, 'a subscription by callbacks ended');
    running.over.abort();
    end(running);
  }

  /** Sends a message, again if the router is unreachable. False: the subscription is over. */
  async function post(running: Running, body: string | Buffer): Promise<boolean> {
    const { signal } = running.over;
    let reason = '';
    for (const pauseMs of [0, ...RETRY_MS]) {
      if (pauseMs > 0) await delay(pauseMs, undefined, { signal });
      const answer = await sender.send(running.callback.url, body, signal);
      if (answer.kind === 'answered') {
        if (answer.status >= 200 && answer.status < 300) return true;
        reason = answer.status === 404 ? 'the router ended it' : `the router answered ${answer.status}`;
        break;
      }
      reason = answer.reason;
      if (answer.kind === 'blocked') break;
    }
    leave(running, reason);
    return false;
  }

  async function deliver(running: Running): Promise<void> {
    const { callback, results, over } = running;
    try {
      for (;;) {
        const { value, done } = await results.next();
        if (done === true) break;
        if (!isEncoded(value)) throw new Error('A result was not encoded');
        if (!(await post(running, nextMessage(callback, value.message)))) return;
      }
      if (!over.signal.aborted)
        await post(running, completeMessage(callback, running.early ? [ENDS_EARLY] : []));
    } catch (error) {
      // Otherwise a message in flight was aborted, because the subscription is over.
      if (!over.signal.aborted) log.error({ err: error }, 'a subscription by callbacks failed');
    } finally {
      over.abort();
      end(running);
      open.delete(running);
    }
  }

  function beat(running: Running): void {
    const { callback, over } = running;
    if (callback.heartbeatMs === 0) return;
    let inFlight = false;
    const timer = setInterval(() => {
      if (inFlight) return;
      inFlight = true;
      post(running, checkMessage(callback))
        .catch((error: unknown) => {
          if (!over.signal.aborted) log.error({ err: error }, 'a heartbeat failed');
        })
        .finally(() => {
          inFlight = false;
        });
    }, callback.heartbeatMs * HEARTBEAT_PART);
    running.timers.push(timer);
  }

  function start(results: AsyncIterator<ExecutionResult>, subscription: CallbackSubscription): void {
    const { callback, expiresAt, answered } = subscription;
    const over = new AbortController();
    const running: Running = { callback, results, over, early: false, timers: [], done: Promise.resolve() };
    open.add(running);
    const left = Math.min(lifetimeMs, expiresAt === null ? lifetimeMs : expiresAt - Date.now());
    running.timers.push(setTimeout(() => endEarly(running), Math.max(0, left)));
    beat(running);
    running.done = answered.then(sent => {
      if (!sent) leave(running, 'the router left before the response');
      return deliver(running);
    });
  }

  /** Why the router does not confirm its subscription; null: it does. */
  async function checkFault(callback: Callback): Promise<string | null> {
    const answer = await sender.send(callback.url, checkMessage(callback), new AbortController().signal);
    switch (answer.kind) {
      case 'answered':
        return answer.status === 204 ? null : `answered ${answer.status} to the check, not 204`;
      case 'unreachable':
        return answer.reason;
      case 'blocked':
        return `${answer.reason}: the operator can add it to CALLBACK_ALLOW`;
      default:
        return answer satisfies never;
    }
  }

  return {
    async subscribe(subscription) {
      if (stopped) return failed('The gateway is stopping', 'UNAVAILABLE', 503);
      // First, because it is within the caller's quota.
      const subscribed = await subscription.live();
      if ('result' in subscribed) return { ...subscribed.result, extensions: { http: { status: 400 } } };
      const results = subscribed.subscriber.stream;
      const fault = await checkFault(subscription.callback);
      if (fault === null && !stopped) {
        start(results, subscription);
        return STARTED;
      }
      void results.return?.();
      if (fault === null) return failed('The gateway is stopping', 'UNAVAILABLE', 503);
      return failed(`extensions.subscription.callbackUrl: ${fault}`, 'CALLBACK_FAILED', 400);
    },
    async stop() {
      stopped = true;
      for (const running of open) endEarly(running);
      const told = Promise.all([...open].map(({ done }) => done));
      await withDeadline(told, FAREWELL_MS, () => null);
      for (const running of open) running.over.abort();
      await sender.close();
    },
  };
}

function failed(message: string, code: string, status: number): ExecutionResult {
  return { errors: [new GraphQLError(message, { extensions: { code, http: { status } } })] };
}
