import type { IncomingMessage } from 'node:http';
import type { Caller } from '../../jobs/caller.ts';
import { holderOf, type Peers } from '../peers.ts';

/** Whom a request was found to come from. */
export interface Known {
  readonly caller: Caller;
  /** Milliseconds since 1970; null: no end. */
  readonly expiresAt: number | null;
}

/** Keeps who asks, for as long as the request is there. */
export interface Callers {
  remember(request: IncomingMessage, known: Known): void;
  /** Throws when the request was let in without having been asked: a hole in the routing, never a caller's fault. */
  of(request: IncomingMessage): Known;
}

/** How those whom nobody tells apart take turns in the queue. */
export type FairBy = 'caller' | 'address';

/** Who asks, with whose turn in the queue they take: a named caller's own, an unnamed one's address where turns go by it. */
export function takingTurns(known: Known, fairBy: FairBy, address: string | undefined): Known {
  if (fairBy === 'caller' || known.caller.id !== null || address === undefined) return known;
  return { ...known, caller: { ...known.caller, share: `address ${holderOf(address)}` } };
}

/** Where a request keeps its caller: a weak map beside the requests would cost the collector a look at each of them. */
const KNOWN = Symbol('caller');

interface KnownRequest extends IncomingMessage {
  [KNOWN]?: Known;
}

/** Makes an empty memory. */
export function createCallers(fairBy: FairBy, peers: Peers): Callers {
  return {
    remember(request: KnownRequest, of) {
      request[KNOWN] = fairBy === 'caller' ? of : takingTurns(of, fairBy, peers.addressOf(request));
    },
    of(request: KnownRequest) {
      const found = request[KNOWN];
      if (found === undefined) throw new Error('A request reached a route before its caller was known');
      return found;
    },
  };
}
