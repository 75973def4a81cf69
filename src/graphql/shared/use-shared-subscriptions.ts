import type { DocumentNode } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { GraphQLContext } from '../context.ts';
import { createSharedSubscriptions } from './groups.ts';

/**
 * Executes a subscription once for all who watch the same: same document, operation, variables, caller and address of
 * the gateway (it is in the URLs of a result). Everything else that a result could depend on is the same for all, so
 * nothing of one caller ever reaches another. It holds over WebSocket and server-sent events alike.
 */
export function useSharedSubscriptions(): Plugin<GraphQLContext> {
  const shared = createSharedSubscriptions();
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

  return {
    onSubscribe({ args, subscribeFn, setSubscribeFn }) {
      const { document, operationName, variableValues, contextValue } = args;
      const { caller, baseUrl } = contextValue;
      const key = JSON.stringify([
        numberOf(document),
        operationName ?? null,
        variableValues ?? null,
        caller.id,
        caller.operator,
        baseUrl,
      ]);
      setSubscribeFn(() => shared.join(key, async () => subscribeFn(args)));
    },
  };
}
