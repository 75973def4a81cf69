import type { FastifyReply } from 'fastify';

/** Longest wait of a timer, about 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Ends an event stream after `lifetimeMs`, or at `expiresAt` (milliseconds since 1970, null: never), when the token of
 * its caller is over. Clients connect again.
 */
export function limitStream(reply: FastifyReply, expiresAt: number | null, lifetimeMs: number): void {
  const left = expiresAt === null ? lifetimeMs : Math.min(lifetimeMs, expiresAt - Date.now());
  const timer = setTimeout(() => reply.raw.destroy(), Math.max(0, Math.min(left, MAX_TIMER_MS)));
  reply.raw.once('close', () => clearTimeout(timer));
}
