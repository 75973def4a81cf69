import type { Log } from '../../log.ts';
import { mayConnect } from './cross-site.ts';

/** Origins that are remembered and logged: pages can make up any number of them. */
const MOST_LOGGED = 100;
/** Of an origin in the log, in characters; a DNS name has at most 253. */
const LONGEST = 300;

/** Checks the Origin header of a request, and logs each origin once whose pages may not use the gateway. */
export type CheckOrigin = (origin: string | undefined, host: string | undefined) => boolean;

/** `allowed` are the origins of CORS_ORIGINS. The gateway's own, by the Host header or PUBLIC_URL, is never logged. */
export function createOriginCheck(
  allowed: readonly string[],
  publicUrl: string | null,
  log: Log,
): CheckOrigin {
  const own = publicUrl === null ? null : new URL(publicUrl).origin;
  const logged = new Set<string>();
  return (origin, host) => {
    if (mayConnect(origin, host, allowed)) return true;
    const shown = origin?.slice(0, LONGEST);
    if (shown === undefined || shown === own || logged.has(shown) || logged.size >= MOST_LOGGED) return false;
    logged.add(shown);
    const remedy =
      shown === 'null'
        ? 'a page from a file or a sandboxed frame has no origin: serve it over http'
        : 'add its origin to CORS_ORIGINS if it may use the gateway';
    log.warn({ origin: shown }, `a page of another origin was rejected: ${remedy}`);
    return false;
  };
}
