import { GraphQLError } from 'graphql';

/** Counts the subscriptions of each caller, whatever the transport, and REST's event streams with them. */
export interface SubscriptionQuota {
  readonly perCaller: number;
  /** Counts one more; false when the quota is used up. `leave` takes it off again, once. */
  enter(key: string): boolean;
  leave(key: string): void;
}

/** Allows `perCaller` subscriptions at once per key. */
export function createSubscriptionQuota(perCaller: number): SubscriptionQuota {
  const counts = new Map<string, number>();
  return {
    perCaller,
    enter(key) {
      const count = counts.get(key) ?? 0;
      if (count >= perCaller) return false;
      counts.set(key, count + 1);
      return true;
    },
    leave(key) {
      const rest = (counts.get(key) ?? 1) - 1;
      if (rest === 0) counts.delete(key);
      else counts.set(key, rest);
    },
  };
}

/** The error of a subscription above a limit; `where` completes "At most n subscriptions at once …". */
export function tooManySubscriptions(limit: number, where: string): GraphQLError {
  return new GraphQLError(`At most ${limit} subscriptions at once ${where}`, {
    extensions: { code: 'TOO_MANY_SUBSCRIPTIONS' },
  });
}
