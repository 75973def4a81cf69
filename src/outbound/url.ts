import { OutboundError } from './errors.ts';

/** Ports of other protocols that an HTTP request could trick (https://fetch.spec.whatwg.org/#port-blocking). */
const BAD_PORTS: ReadonlySet<number> = new Set([
  0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
  109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
  526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
  3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
  // Redis is not in that list, and often runs next to a gateway.
  6379,
]);
const MAX_LENGTH = 8_192;

/**
 * Parses a URL that a caller gave, relative to `base` if given. Checks only its form; its address is checked when
 * connecting. Throws an OutboundError: `invalid` unless it is an http or https URL, `blocked` if it has credentials or
 * the port of another protocol.
 */
export function parseUrl(text: string, base?: URL): URL {
  if (text.length > MAX_LENGTH) {
    throw new OutboundError('invalid', `a URL longer than ${MAX_LENGTH} characters`);
  }
  const url = URL.parse(text, base);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new OutboundError('invalid', 'not an http or https URL');
  }
  if (url.username !== '' || url.password !== '') {
    throw new OutboundError('blocked', 'the URL contains credentials');
  }
  if (url.port !== '' && BAD_PORTS.has(Number(url.port))) {
    throw new OutboundError('blocked', `port ${url.port} is not allowed`);
  }
  return url;
}

/** The host of a URL, an IPv6 address without its brackets, and the port, which the protocol may imply. */
export function hostAndPort(url: { hostname: string; port: string; protocol: string }): {
  host: string;
  port: number;
} {
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
  };
}
