import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { withDeadline } from '../concurrency/deadline.ts';
import type { Stream } from '../concurrency/mailbox.ts';
import { onceClosed } from './closed.ts';
import { farewell } from './farewell.ts';

/** How often an idle stream sends a comment: proxies close silent connections, nginx after a minute. */
const KEEP_ALIVE_MS = 12_000;

/** A comment that only shows that the stream is alive. */
export const ALIVE = ': alive\n\n';

/**
 * Ends a source when the client leaves or the response has to end, of which `endingOf` has the signal. Returns that
 * signal.
 */
export function endWith(
  reply: FastifyReply,
  source: Stream<unknown>,
  { endingOf }: { readonly endingOf: (response: ServerResponse) => AbortSignal },
): AbortSignal {
  const leave = (): void => void source.return();
  onceClosed(reply.raw, leave);
  const ending = endingOf(reply.raw);
  ending.addEventListener('abort', leave);
  if (ending.aborted) leave();
  return ending;
}

/** What a source has, and null whenever it had nothing for so long that the stream should send `ALIVE`. */
export async function* orSilence<T>(source: AsyncIterator<T, unknown>): AsyncGenerator<T | null, void> {
  let next = source.next();
  for (;;) {
    const result = await withDeadline(next, KEEP_ALIVE_MS, () => null);
    if (result === null) {
      yield null;
      continue;
    }
    if (result.done === true) return;
    yield result.value;
    next = source.next();
  }
}

/**
 * The frames of what a source has, with comments while it has nothing. When the response has to end before the source,
 * the last frame tells the client to come back.
 */
export async function* framesOf<T extends object>(
  source: Stream<T>,
  frameOf: (value: T) => Promise<string>,
  ending: AbortSignal,
): AsyncGenerator<string, void> {
  for await (const value of orSilence(source)) yield value === null ? ALIVE : await frameOf(value);
  if (ending.aborted) yield farewell();
}

/** Sends frames as server-sent events; one is asked for when the client has taken those before it. */
export function sendEvents(reply: FastifyReply, frames: AsyncIterable<string>): FastifyReply {
  return reply
    .headers({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      // Keeps nginx from buffering the events.
      'x-accel-buffering': 'no',
    })
    .send(Readable.from(frames, { objectMode: false, highWaterMark: 1 }));
}
