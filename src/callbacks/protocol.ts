import type { ExecutionResult, GraphQLFormattedError } from 'graphql';
import { OutboundError } from '../outbound/errors.ts';
import { parseUrl } from '../outbound/url.ts';

/*
 * Apollo's callback protocol, by which routers subscribe to a subgraph
 * (https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/callback-protocol).
 */

/** The version of the protocol, which every message names in this header. */
export const PROTOCOL_HEADERS = { 'subscription-protocol': 'callback/1.0' } as const;

/** Where and how a router wants to be called. */
export interface Callback {
  readonly url: string;
  readonly id: string;
  /** Proves to the router that messages are ours: a secret. */
  readonly verifier: string;
  /** Milliseconds within which it wants to hear of us; 0: never. */
  readonly heartbeatMs: number;
}

export type CallbackResult =
  | { readonly ok: true; readonly callback: Callback }
  | { readonly ok: false; readonly fault: string };

/** Ids and verifiers are UUIDs and the like; each message repeats them. */
const LONGEST_NAME = 256;
/** Below this a router would be flooded, above it a subscription whose router is gone would stay for long. */
const HEARTBEAT_MS = { from: 500, to: 3_600_000 };

/** Reads `extensions.subscription` of a request. */
export function readCallback(
  extensions: Readonly<Record<string, unknown>> | null | undefined,
): CallbackResult {
  const given = extensions?.subscription;
  if (typeof given !== 'object' || given === null) {
    return fault('', 'takes an object with callbackUrl, subscriptionId, verifier and heartbeatIntervalMs');
  }
  const {
    callbackUrl: url,
    subscriptionId: id,
    verifier,
    heartbeatIntervalMs: heartbeatMs = 5_000,
  } = {
    ...emptyCallback,
    ...given,
  };
  if (typeof url !== 'string') return fault('.callbackUrl', 'takes an http or https URL');
  try {
    parseUrl(url);
  } catch (error) {
    if (!(error instanceof OutboundError)) throw error;
    return fault('.callbackUrl', `takes an http or https URL: ${error.failure.message}`);
  }
  if (!isName(id)) return fault('.subscriptionId', `takes a text of 1 to ${LONGEST_NAME} characters`);
  if (!isName(verifier)) return fault('.verifier', `takes a text of 1 to ${LONGEST_NAME} characters`);
  if (!isHeartbeat(heartbeatMs)) {
    const { from, to } = HEARTBEAT_MS;
    return fault('.heartbeatIntervalMs', `takes 0, or an integer from ${from} to ${to}`);
  }
  return { ok: true, callback: { url, id, verifier, heartbeatMs } };
}

const emptyCallback: {
  callbackUrl?: unknown;
  subscriptionId?: unknown;
  verifier?: unknown;
  heartbeatIntervalMs?: unknown;
} = {};

function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= LONGEST_NAME;
}

function isHeartbeat(value: unknown): value is number {
  if (typeof value !== 'number' || !Number.isInteger(value)) return false;
  return value === 0 || (value >= HEARTBEAT_MS.from && value <= HEARTBEAT_MS.to);
}

function fault(path: string, message: string): CallbackResult {
  return { ok: false, fault: `extensions.subscription${path} ${message}` };
}

/** Asks whether the router knows the subscription: before the first event, and as a heartbeat. */
export function checkMessage(callback: Callback): string {
  return `${head(callback, 'check')}}`;
}

/** An event. `message` is the result as JSON, and one brace more, as in `SharedResult`. */
export function nextMessage(callback: Callback, message: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${head(callback, 'next')},"payload":`), message]);
}

/** The end of the subscription: of itself, or early with errors. */
export function completeMessage(callback: Callback, errors: readonly GraphQLFormattedError[] = []): string {
  return `${head(callback, 'complete')}${errors.length === 0 ? '' : `,"errors":${JSON.stringify(errors)}`}}`;
}

/** The start of an object: a brace is missing at its end. */
function head({ id, verifier }: Callback, action: 'check' | 'next' | 'complete'): string {
  return JSON.stringify({ kind: 'subscription', action, id, verifier }).slice(0, -1);
}

/** The response to the router's request, once the subscription runs. */
export const STARTED: ExecutionResult = { data: null, extensions: { http: { headers: PROTOCOL_HEADERS } } };
