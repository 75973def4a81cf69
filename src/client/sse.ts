import { type Connection, type Operation, post, readJson, type Sink, type Transport } from './connection.ts';
import { errorOf, errorOfResponse, GatewayError, messageOf, unreachable } from './errors.ts';

/** The gateway sends at least a comment every 12 seconds: after this silence the connection counts as broken. */
const SILENCE_MS = 30_000;
/** A gateway cannot make a watch wait longer than this. */
const LONGEST_PAUSE_MS = 10_000;

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
      const end = ({ error, pause }: End): void => {
        clearTimeout(quiet);
        if (silence !== null) sink.end(silence);
        else if (!stopped.signal.aborted) sink.end(error ?? undefined, pause);
      };
      run(connection, operation, variables, sink, heard, stopped.signal).then(end, (thrown: unknown) =>
        end({ error: failureOf(thrown) }),
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

interface End {
  /** Why the stream ended; null when the gateway completed it. */
  readonly error: GatewayError | null;
  /** The milliseconds after which the gateway wants to see the client again. */
  readonly pause?: number | undefined;
}

/** Resolves when it has ended. Calls `heard` for each event or comment. */
async function run<Result, Variables>(
  connection: Connection,
  operation: Operation<Result, Variables>,
  variables: Variables,
  sink: Sink<Result>,
  heard: () => void,
  signal: AbortSignal,
): Promise<End> {
  const response = await post(connection, operation, variables, 'text/event-stream', signal);
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  if (!response.ok || !isStream || response.body === null) {
    return { error: errorOfResponse(response, await readJson(response, signal), connection.endpoint) };
  }
  heard();
  let pause: number | undefined;
  for await (const { event, data, retry } of readEvents(response.body)) {
    heard();
    if (retry !== undefined) pause = Math.min(retry, LONGEST_PAUSE_MS);
    if (event === 'complete') return { error: null };
    if (event !== 'next') continue;
    const result: { data?: Result | null; errors?: unknown } = JSON.parse(data);
    if (result.data == null) return { error: errorOf(result.errors) };
    sink.next(result.data);
  }
  const error = unreachable(
    pause === undefined ? 'The event stream broke off' : 'The gateway ended the event stream before the job',
  );
  return { error, pause };
}

/** One server-sent event. */
export interface ServerEvent {
  readonly event: string;
  readonly data: string;
  /** Milliseconds after which to reconnect, if it says so. */
  readonly retry?: number | undefined;
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
  let retry: number | undefined;
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const [, field = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === 'event') event = value;
    if (field === 'data') data.push(value);
    if (field === 'retry' && /^\d{1,9}$/.test(value)) retry = Number(value);
  }
  const name = event ?? (data.length === 0 ? 'comment' : 'message');
  return { event: name, data: data.join('\n'), retry };
}
