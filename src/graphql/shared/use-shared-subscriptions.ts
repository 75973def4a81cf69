import type { ExecutionResult } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { createMailbox, type Mailbox } from '../../jobs/mailbox.ts';
import type { GraphQLContext } from '../context.ts';
import { createSharedSubscriptions } from './groups.ts';
import { createShareables } from './shareable.ts';

/** Executes a subscription once for all who watch the same by server-sent events. */
export function useSharedSubscriptions(): Plugin<GraphQLContext> {
  const shared = createSharedSubscriptions<ExecutionResult, Mailbox<ExecutionResult>>({
    itemOf: result => result,
    offer: (box, result) => box.offer(result),
    end: box => box.end(),
  });
  const shareable = createShareables();
  return {
    onSubscribe({ args, subscribeFn, setSubscribeFn }) {
      const watched = shareable(args, args.contextValue);
      // The executor tells what is wrong with the variables.
      if ('errors' in watched) return;
      args.variableValues = watched.variableValues;
      setSubscribeFn(() => shared.join(watched.key, async () => subscribeFn(args), createMailbox));
    },
  };
}
