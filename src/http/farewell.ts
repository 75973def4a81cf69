import { randomInt } from 'node:crypto';

/** When a client should reconnect, in milliseconds: not all at once, and not before a gateway can have restarted. */
const COME_BACK_MS = { from: 1_000, to: 3_000 };

/**
 * The last lines of an event stream that ends before its job: a comment, and the time after which to reconnect (`retry`
 * of the HTML Living Standard, 9.2.6). It is no event, so that clients of any protocol over server-sent events skip it.
 */
export function farewell(): string {
  return `: the stream ends before the job, reconnect\nretry: ${randomInt(COME_BACK_MS.from, COME_BACK_MS.to)}\n\n`;
}

/** How a stream of parts is ended early. */
export interface StreamFormat {
  /** The bytes that end each part, and nothing else. */
  readonly endOfPart: Buffer;
  /** What follows the last part. */
  readonly farewell: () => string;
}

/** Server-sent events. */
export const EVENT_FORMAT: StreamFormat = { endOfPart: Buffer.from('\n\n'), farewell };

/** Passes a stream on until `ending` aborts: then finishes the part that it is in, and says farewell. */
export async function* untilEnding(
  body: ReadableStream<Uint8Array>,
  ending: AbortSignal,
  format: StreamFormat,
): AsyncGenerator<Uint8Array, void> {
  const reader = body.getReader();
  // A race against one long-lived promise would keep a closure for each event.
  let wake = (): void => {};
  const stop = (): void => wake();
  ending.addEventListener('abort', stop);
  const readOrEnd = (): Promise<Awaited<ReturnType<typeof reader.read>> | null> =>
    new Promise((resolve, reject) => {
      wake = () => resolve(null);
      reader.read().then(resolve, reject);
    });
  try {
    let whole = true;
    for (;;) {
      const step = whole && ending.aborted ? null : await (whole ? readOrEnd() : reader.read());
      if (step === null) {
        yield Buffer.from(format.farewell());
        return;
      }
      if (step.done) return;
      whole = format.endOfPart.equals(step.value.subarray(-format.endOfPart.length));
      yield step.value;
    }
  } finally {
    ending.removeEventListener('abort', stop);
    // Not waited for: while the body waits for an event, it does not settle. A body that has failed rejects as `read` did.
    reader.cancel().catch(() => {});
  }
}
