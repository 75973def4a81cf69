import { type Connection, type Operation, post, readJson, type Sink, type Transport } from './connection.ts';
import { errorOf, errorOfResponse, GatewayError, messageOf, unreachable } from './errors.ts';

/** The gateway sends at least a comment every 12 seconds: after this silence the connection counts as broken. */
const SILENCE_MS = 30_000;

/** Subscriptions by server-sent events, in the distinct connections mode: each is a request of its own. */
export function createSse(connection: Connection): Transport {
  return {
    name: 'sse',
    subscribe(operation, variables, sink) {
      const stopped = new AbortController();
      let silence: GatewayError | null = null;
      const giveUp = (): void => {
        silence = unreachable('The gateway stopped sending');
        stopped.abort(silence);
      };
      let quiet = setTimeout(giveUp, SILENCE_MS);
      const subscription = {
        reached: false,
        stop: () => stopped.abort(),
      };
      const heard = (): void => {
        subscription.reached = true;
        clearTimeout(quiet);
        quiet = setTimeout(giveUp, SILENCE_MS);
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
    : unreachable(`The event stream broke off: ${messageOf(thrown)}`, thrown);
}

/** Resolves with the reason why it ended; null when the gateway completed it. Calls `heard` for each event or comment. */
async function run<Result, Variables>(
  connection: Connection,
  operation: Operation<Result, Variables>,
  variables: Variables,
  sink: Sink<Result>,
  heard: () => void,
  signal: AbortSignal,
): Promise<GatewayError | null> {
  const response = await post(connection, operation, variables, 'text/event-stream', signal);
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  if (!response.ok || !isStream || response.body === null) {
    return errorOfResponse(response, await readJson(response, signal), connection.endpoint);
  }
  heard();
  for await (const { event, data } of readEvents(response.body)) {
    heard();
    if (event === 'complete') return null;
    if (event !== 'next') continue;
    const result: { data?: Result | null; errors?: unknown } = JSON.parse(data);
    if (result.data == null) return errorOf(result.errors);
    sink.next(result.data);
  }
  return unreachable('The event stream broke off');
}

/** One server-sent event. */
export interface ServerEvent {
  readonly event: string;
  readonly data: string;
}

/**
 * Parses server-sent events (HTML Living Standard, 9.2.6). Yields a comment as an event named `comment`, since it shows
 * that the connection is alive.
 */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const text = rest + decoder.decode(value, { stream: true });
      // A final carriage return may be half of a CRLF.
      const half = text.endsWith('\r') ? '\r' : '';
      const blocks = text
        .slice(0, text.length - half.length)
        .replace(/\r\n?/g, '\n')
        .split('\n\n');
      rest = (blocks.pop() ?? '') + half;
      for (const block of blocks) yield readEvent(block);
    }
  } finally {
    // A broken stream rejects, as `read` already did.
    await reader.cancel().catch(() => {});
  }
}

function readEvent(block: string): ServerEvent {
  let event: string | null = null;
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const [, field = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === 'event') event = value;
    if (field === 'data') data.push(value);
  }
  const name = event ?? (data.length === 0 ? 'comment' : 'message');
  return { event: name, data: data.join('\n') };
}
