import type { FastifyReply } from 'fastify';

/** Aborts when the caller goes before the whole answer is sent: what was answered has nothing left to stop. */
export function goneSignal({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => {
    if (!raw.writableFinished) gone.abort();
  });
  return gone.signal;
}
