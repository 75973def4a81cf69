import type { IncomingMessage } from 'node:http';
import type { Caller } from '../../jobs/caller.ts';
import { networkOf, type Peers } from '../peers.ts';

/** The identified caller of a request. */
export interface Known {
  readonly caller: Caller;
  /** When its credentials expire, in milliseconds since 1970; null: never. */
  readonly expiresAt: number | null;
}

/** Keeps the caller of each request for as long as the request lives. */
export interface Callers {
  remember(request: IncomingMessage, known: Known): void;
  /** Throws for a request that passed the gate as public: a mistake in a route's `config`, never of the caller. */
  of(request: IncomingMessage): Known;
}

/** How anonymous callers share the queue: all as one, or by address. */
export type FairBy = 'caller' | 'address';

/** The caller with its share in the fair queue: an anonymous one's is its address when `fairBy` says so. */
export function withShare(known: Known, fairBy: FairBy, address: string | undefined): Known {
  if (fairBy === 'caller' || known.caller.id !== null || address === undefined) return known;
  return { ...known, caller: { ...known.caller, share: `address ${networkOf(address)}` } };
}

/** The key under which requests are counted together: the caller, or the address of an anonymous one. */
export function clientKeyOf(callerId: string | null, address: string | undefined): string {
  return callerId === null ? `address ${networkOf(address ?? '')}` : `caller ${callerId}`;
}

/** A property of the request: the garbage collector would have to visit each entry of a WeakMap. */
const KNOWN = Symbol('caller');

interface KnownRequest extends IncomingMessage {
  [KNOWN]?: Known;
}

export function createCallers(fairBy: FairBy, peers: Peers): Callers {
  return {
    remember(request: KnownRequest, known) {
      request[KNOWN] = fairBy === 'caller' ? known : withShare(known, fairBy, peers.addressOf(request));
    },
    of(request: KnownRequest) {
      const found = request[KNOWN];
      if (found === undefined) throw new Error('A request reached a route before its caller was identified');
      return found;
    },
  };
}
