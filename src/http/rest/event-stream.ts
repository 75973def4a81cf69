import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import type { Stream } from '../../concurrency/mailbox.ts';
import type { RestOptions } from './context.ts';

/** How often an idle stream sends a comment: proxies close silent connections, nginx after a minute. */
export const KEEP_ALIVE_MS = 12_000;

/** Ends a source when the client leaves or the response has to end. Returns the signal of the latter. */
export function endWith(reply: FastifyReply, source: Stream<unknown>, options: RestOptions): AbortSignal {
  const leave = (): void => void source.return();
  reply.raw.once('close', leave);
  const ending = options.endingOf(reply.raw);
  ending.addEventListener('abort', leave);
  if (ending.aborted) leave();
  return ending;
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
