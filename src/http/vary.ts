import type { FastifyReply } from 'fastify';

/** Adds a request header by which the answer differs (RFC 9110, 12.5.5) to those that were named before. */
export function varyBy(reply: FastifyReply, name: string): FastifyReply {
  const before = reply.getHeader('vary');
  return reply.header('vary', before === undefined ? name : `${String(before)}, ${name}`);
}
