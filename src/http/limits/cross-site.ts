import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** Content types that a page can send cross-origin without a preflight (https://fetch.spec.whatwg.org/#cors-safelisted-request-header). */
const SIMPLE_TYPES: ReadonlySet<string> = new Set([
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'text/plain',
]);
/** The usual local hosts. Parsing any other takes longer than the rest of the gate. */
const LOCAL_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/;
/** Headers that force a preflight, whatever their value. */
const PREFLIGHTED_HEADERS = ['x-graphql-yoga-csrf', 'apollo-require-preflight', 'x-api-key', 'authorization'];

/**
 * Whether a page of another origin could have sent a GraphQL request without a preflight, by a form, an `<img>` or a plain
 * `fetch`. Such a page cannot read the response, but the operation would run.
 */
export function mayBeForged(method: string, headers: IncomingHttpHeaders): boolean {
  if (PREFLIGHTED_HEADERS.some(name => headers[name] !== undefined)) return false;
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  if (type !== undefined && !SIMPLE_TYPES.has(type)) return false;
  if (method !== 'GET' && method !== 'HEAD') return true;
  // Browsers send Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/). A client that sends neither header is not one.
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  return headers.origin !== undefined;
}

/** Whether a page of `origin` may connect where browsers make no preflight, e.g. by WebSocket. Undefined: not a browser. */
export function mayConnect(
  origin: string | undefined,
  host: string | undefined,
  allowed: readonly string[],
): boolean {
  if (origin === undefined || allowed.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

/** Whether, according to its browser, a page of a foreign origin sent a request. */
export function isOfForeignPage(headers: IncomingHttpHeaders, allowed: readonly string[]): boolean {
  if (!mayConnect(headers.origin, headers.host, allowed)) return true;
  return headers.origin === undefined && headers['sec-fetch-site'] === 'cross-site';
}

/**
 * Whether a Host header on loopback names this gateway: by an IP address, as `localhost`, or as PUBLIC_URL does. A foreign
 * page can make its own name resolve to 127.0.0.1 (DNS rebinding). The browser then takes the gateway for the page's
 * origin, but still sends the page's name as Host.
 */
export function isOwnHost(host: string | undefined, publicUrl: string | null): boolean {
  // HTTP/1.0 has no Host header, and browsers no longer use it.
  if (host === undefined || LOCAL_HOST.test(host)) return true;
  if (!URL.canParse(`http://${host}`)) return false;
  const { hostname } = new URL(`http://${host}`);
  if (isIP(hostname.replace(/^\[|\]$/g, '')) !== 0) return true;
  if (hostname === 'localhost' || hostname.endsWith('.localhost')) return true;
  return publicUrl !== null && new URL(publicUrl).hostname === hostname;
}
