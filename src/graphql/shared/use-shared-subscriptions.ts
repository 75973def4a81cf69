import type { DocumentNode, ExecutionArgs } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { createMailbox } from '../../jobs/mailbox.ts';
import type { GraphQLContext } from '../context.ts';
import { createSharedSubscriptions } from './groups.ts';

/** What a subscription's results depend on. */
type Watched = Pick<ExecutionArgs, 'document' | 'operationName' | 'variableValues'>;

/**
 * Names what a subscription's results depend on: document, operation, variables, caller and the address of the gateway
 * (it is in the URLs of a result). Everything else is the same for all, so two with the same name may share them, and
 * nothing of one caller ever reaches another.
 */
export function createSubscriptionNames(): (args: Watched, context: GraphQLContext) => string {
  // Yoga parses a text once and then gives the same document: its identity stands for the text.
  const numbers = new WeakMap<DocumentNode, number>();
  let documents = 0;

  function numberOf(document: DocumentNode): number {
    const known = numbers.get(document);
    if (known !== undefined) return known;
    documents += 1;
    numbers.set(document, documents);
    return documents;
  }

  return ({ document, operationName, variableValues }, { caller, baseUrl }) =>
    JSON.stringify([
      numberOf(document),
      operationName ?? null,
      variableValues ?? null,
      caller.id,
      caller.operator,
      baseUrl,
    ]);
}

/** Executes a subscription once for all who watch the same, over WebSocket and server-sent events alike. */
export function useSharedSubscriptions(): Plugin<GraphQLContext> {
  const shared = createSharedSubscriptions(result => result);
  const nameOf = createSubscriptionNames();
  return {
    onSubscribe({ args, subscribeFn, setSubscribeFn }) {
      const key = nameOf(args, args.contextValue);
      setSubscribeFn(() => shared.join(key, async () => subscribeFn(args), createMailbox));
    },
  };
}
