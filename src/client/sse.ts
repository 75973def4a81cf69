import { type Connection, request } from './connection.ts';
import { errorOf, GatewayError, refusalOf } from './errors.ts';
import { readEvents } from './event-stream.ts';
import type { Operation } from './operation.ts';
import type { Sink, Transport } from './transport.ts';

/** The gateway sends something each 12 seconds at least: after this long the connection counts as broken. */
const SILENCE_MS = 30_000;

/** Subscriptions over HTTP: one request, one stream of server-sent events, in the distinct connections mode. */
export function createSse(connection: Connection): Transport {
  return {
    name: 'sse',
    subscribe(operation, variables, sink) {
      const stopped = new AbortController();
      const subscription = {
        reached: false,
        stop: () => stopped.abort(),
      };
      run(connection, operation, variables, sink, stopped, () => {
        subscription.reached = true;
      }).then(
        error => sink.end(error ?? undefined),
        (cause: unknown) => {
          if (stopped.signal.aborted && !(stopped.signal.reason instanceof GatewayError)) return;
          const error = stopped.signal.aborted ? stopped.signal.reason : cause;
          sink.end(
            error instanceof GatewayError ? error : new GatewayError('unreachable', String(error), { cause }),
          );
        },
      );
      return subscription;
    },
    // Each subscription has a connection of its own, which its `stop` ends.
    async close() {},
  };
}

/** Resolves with why it ended; null when the gateway completed it. */
async function run<Result, Variables>(
  connection: Connection,
  operation: Operation<Result, Variables>,
  variables: Variables,
  sink: Sink<Result>,
  stopped: AbortController,
  reached: () => void,
): Promise<GatewayError | null> {
  const tooQuiet = (): void => stopped.abort(new GatewayError('unreachable', 'The gateway fell silent'));
  let quiet = setTimeout(tooQuiet, SILENCE_MS);
  try {
    const answer = await request(connection, connection.endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify({ query: operation.text, operationName: operation.name, variables }),
      signal: stopped.signal,
    });
    const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') === true;
    if (!answer.ok || !isStream || answer.body === null) return await refusalOf(answer);
    reached();
    for await (const { event, data } of readEvents(answer.body)) {
      clearTimeout(quiet);
      quiet = setTimeout(tooQuiet, SILENCE_MS);
      if (event === 'complete') return null;
      if (event !== 'next') continue;
      const result: { data?: Result | null; errors?: unknown } = JSON.parse(data);
      if (result.data == null) return errorOf(result.errors);
      sink.next(result.data);
    }
    return new GatewayError('unreachable', 'The stream of events broke off');
  } finally {
    clearTimeout(quiet);
  }
}
