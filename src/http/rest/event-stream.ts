import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { withDeadline } from '../../concurrency/deadline.ts';
import type { Stream } from '../../concurrency/mailbox.ts';
import { farewell } from '../farewell.ts';
import type { RestOptions } from './context.ts';

/** How often an idle stream sends a comment: proxies close silent connections, nginx after a minute. */
const KEEP_ALIVE_MS = 12_000;

/** Ends a source when the client leaves or the response has to end. Returns the signal of the latter. */
export function endWith(reply: FastifyReply, source: Stream<unknown>, options: RestOptions): AbortSignal {
  const leave = (): void => void source.return();
  reply.raw.once('close', leave);
  const ending = options.endingOf(reply.raw);
  ending.addEventListener('abort', leave);
  if (ending.aborted) leave();
  return ending;
}

/**
 * The frames of what a source has, with comments while it has nothing. When the response has to end before the source,
 * the last frame tells the client to come back.
 */
export async function* framesOf<T>(
  source: Stream<T>,
  frameOf: (value: T) => Promise<string>,
  ending: AbortSignal,
): AsyncGenerator<string, void> {
  let next = source.next();
  for (;;) {
    const result = await withDeadline(next, KEEP_ALIVE_MS, () => null);
    if (result === null) {
      yield ': alive\n\n';
      continue;
    }
    if (result.done === true) {
      if (ending.aborted) yield farewell();
      return;
    }
    yield await frameOf(result.value);
    next = source.next();
  }
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
