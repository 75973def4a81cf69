import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** Content types that a page of another origin can send without asking first (https://fetch.spec.whatwg.org/#cors-safelisted-request-header). */
const SIMPLE_TYPES: ReadonlySet<string> = new Set([
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'text/plain',
]);
/** What most callers on this machine say; to read any other takes longer than the rest of the gate. */
const USUAL_NAME = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/;
/** Headers that no form can send; any value will do. */
const PREFLIGHTED_HEADERS = ['x-graphql-yoga-csrf', 'apollo-require-preflight', 'x-api-key', 'authorization'];

/**
 * Whether a GraphQL request could have been made by a page of another origin without its browser having asked us: a
 * form, an `<img>`, a plain `fetch`. Such a page cannot read the answer, but what it asked for would be done.
 */
export function mayBeForged(method: string, headers: IncomingHttpHeaders): boolean {
  if (PREFLIGHTED_HEADERS.some(name => headers[name] !== undefined)) return false;
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== undefined && !SIMPLE_TYPES.has(type)) return false;
  if (method !== 'GET' && method !== 'HEAD') return true;
  // Browsers say where a request comes from (https://www.w3.org/TR/fetch-metadata/); what says nothing is none.
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  return headers.origin !== undefined;
}

/** Whether a page of `origin` may open a socket to us, of which browsers do not ask first. No origin: no browser. */
export function mayConnect(
  origin: string | undefined,
  host: string | undefined,
  allowed: readonly string[],
): boolean {
  if (origin === undefined || allowed.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

/**
 * Whether a request on loopback names us as somebody on this machine does: by address, as `localhost`, or as PUBLIC_URL
 * says. A page elsewhere can have its own name lead to 127.0.0.1 (DNS rebinding); to its browser we are then its own
 * origin, but the name it asks for stays its own.
 */
export function isOwnName(host: string | undefined, publicUrl: string | null): boolean {
  // HTTP/1.0 has no Host; browsers have not spoken that for long.
  if (host === undefined || USUAL_NAME.test(host)) return true;
  if (!URL.canParse(`http://${host}`)) return false;
  const { hostname } = new URL(`http://${host}`);
  if (isIP(hostname.replace(/^\[|\]$/g, '')) !== 0) return true;
  if (hostname === 'localhost' || hostname.endsWith('.localhost')) return true;
  return publicUrl !== null && new URL(publicUrl).hostname === hostname;
}
