import { ImageRefused } from './failure.ts';

/** Ports of other protocols that may be fooled by an HTTP request (https://fetch.spec.whatwg.org/#port-blocking). */
const BAD_PORTS: ReadonlySet<number> = new Set([
  0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
  109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
  526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
  3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
  // Redis is not in that list, and often stands next to a gateway.
  6379,
]);
const LENGTH_LIMIT = 8_192;

/**
 * Reads the URL of a picture, relative to `base` when that is given. Only its form is judged here, its address when
 * connecting. Throws ImageRefused: `INVALID_INPUT` for what is no http or https URL, `INPUT_BLOCKED` for credentials
 * and for ports of other protocols.
 */
export function readPictureUrl(text: string, base?: URL): URL {
  if (text.length > LENGTH_LIMIT) {
    throw new ImageRefused('INVALID_INPUT', `a URL longer than ${LENGTH_LIMIT} characters`);
  }
  const url = URL.parse(text, base);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new ImageRefused('INVALID_INPUT', 'not an http or https URL');
  }
  if (url.username !== '' || url.password !== '') {
    throw new ImageRefused('INPUT_BLOCKED', 'the URL carries credentials');
  }
  if (url.port !== '' && BAD_PORTS.has(Number(url.port))) {
    throw new ImageRefused('INPUT_BLOCKED', `port ${url.port} is not one for pictures`);
  }
  return url;
}
