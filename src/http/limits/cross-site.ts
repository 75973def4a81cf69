import type { IncomingHttpHeaders } from 'node:http';

/** Content types that a page of another origin can send without asking first (https://fetch.spec.whatwg.org/#cors-safelisted-request-header). */
const SIMPLE_TYPES: ReadonlySet<string> = new Set([
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'text/plain',
]);
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
