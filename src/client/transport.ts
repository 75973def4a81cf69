import type { GatewayError } from './errors.ts';
import type { Operation } from './operation.ts';

export type TransportName = 'websocket' | 'sse';

/** Where the results of a subscription go: any number of `next`, then one `end`. */
export interface Sink<Result> {
  next(result: Result): void;
  /** Without an error: the other side completed it. */
  end(error?: GatewayError): void;
}

/** One subscription under way. */
export interface Subscription {
  /** Whether it ever got as far as the gateway: if not, another transport may do better. */
  readonly reached: boolean;
  /** Stops it; nothing comes after it. What only it needed is let go: a socket, a request, timers. */
  stop(): void;
}

/** A way to subscribe. It does not retry: whoever watches knows best what to ask for again. */
export interface Transport {
  readonly name: TransportName;
  subscribe<Result, Variables extends object>(
    operation: Operation<Result, Variables>,
    variables: Variables,
    sink: Sink<Result>,
  ): Subscription;
}
