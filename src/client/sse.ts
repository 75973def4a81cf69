import { type Connection, post, readJson } from './connection.ts';
import { errorOf, errorOfAnswer, GatewayError, unreachable, wordsOf } from './errors.ts';
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
      let silence: GatewayError | null = null;
      const tooQuiet = (): void => {
        silence = unreachable('The gateway fell silent');
        stopped.abort(silence);
      };
      let quiet = setTimeout(tooQuiet, SILENCE_MS);
      const subscription = {
        reached: false,
        stop: () => stopped.abort(),
      };
      const heard = (): void => {
        subscription.reached = true;
        clearTimeout(quiet);
        quiet = setTimeout(tooQuiet, SILENCE_MS);
      };
      const end = (error: GatewayError | null): void => {
        clearTimeout(quiet);
        if (silence !== null) sink.end(silence);
        else if (!stopped.signal.aborted) sink.end(error ?? undefined);
      };
      run(connection, operation, variables, sink, heard, stopped.signal).then(end, (thrown: unknown) =>
        end(failureOf(thrown)),
      );
      return subscription;
    },
  };
}

function failureOf(thrown: unknown): GatewayError {
  return thrown instanceof GatewayError
    ? thrown
    : unreachable(`The stream of events broke off: ${wordsOf(thrown)}`, thrown);
}

/** Resolves with why it ended; null when the gateway completed it. `heard` is called for each sign of life. */
async function run<Result, Variables>(
  connection: Connection,
  operation: Operation<Result, Variables>,
  variables: Variables,
  sink: Sink<Result>,
  heard: () => void,
  signal: AbortSignal,
): Promise<GatewayError | null> {
  const answer = await post(connection, operation, variables, 'text/event-stream', signal);
  const isStream = answer.headers.get('content-type')?.startsWith('text/event-stream') === true;
  if (!answer.ok || !isStream || answer.body === null) {
    return errorOfAnswer(answer, await readJson(answer, signal), connection.endpoint);
  }
  heard();
  for await (const { event, data } of readEvents(answer.body)) {
    heard();
    if (event === 'complete') return null;
    if (event !== 'next') continue;
    const result: { data?: Result | null; errors?: unknown } = JSON.parse(data);
    if (result.data == null) return errorOf(result.errors);
    sink.next(result.data);
  }
  return unreachable('The stream of events broke off');
}
