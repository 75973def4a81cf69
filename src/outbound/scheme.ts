/** What a server that was asked in the wrong scheme of http and https shows, in words for the author of the URL. */
export const NOT_HTTPS = 'the server does not speak https: try http://';
export const NOT_HTTP = 'the server speaks https: try https://';
const MAY_BE_HTTPS = 'the connection was closed without a response: if the server speaks https, try https://';

/** Codes of OpenSSL for a server that answers a TLS handshake with something else. */
const NOT_TLS: ReadonlySet<string> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
]);
/** First byte of an alert, with which a TLS server may answer a request in plain text (RFC 8446, 5.1). */
const TLS_ALERT = 0x15;
/** The texts of Nginx, of servers in Go and of Apache, which answer such a request with status 400. */
const ASKS_FOR_TLS = /HTTP request was sent to HTTPS|HTTP request to an HTTPS|plain HTTP to an SSL/i;

/** The longest beginning of a response with status 400 that `asksForHttps` needs, in bytes. */
export const SCHEME_HINT_BYTES = 1_024;

/**
 * Why the scheme of a URL may be wrong, by the error of the first request to its server; null if nothing suggests it.
 *
 * @param protocol `http:` or `https:`, as `URL` gives it.
 */
export function wrongScheme(error: unknown, protocol: string): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
    if (protocol === 'https:') {
      if (NOT_TLS.has(code)) return NOT_HTTPS;
    } else if (cause.name === 'HTTPParserError' && 'data' in cause && isAlert(cause.data)) {
      return NOT_HTTP;
    } else if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET') {
      return gotNothing(cause) ? MAY_BE_HTTPS : null;
    }
  }
  return null;
}

/** Whether a server that got plain http says in a response with status 400 that it expects https. */
export function asksForHttps(body: string): boolean {
  return ASKS_FOR_TLS.test(body);
}

function isAlert(data: unknown): boolean {
  return typeof data === 'string' && data.charCodeAt(0) === TLS_ALERT;
}

/** Whether a connection ended before a byte of the response; undici counts them where it can. */
function gotNothing(error: Error): boolean {
  const socket = 'socket' in error ? error.socket : null;
  if (typeof socket !== 'object' || socket === null || !('bytesRead' in socket)) return true;
  return socket.bytesRead === 0;
}
