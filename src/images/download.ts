import type { Readable } from 'node:stream';
import { type Dispatcher, request } from 'undici';
import { OutboundError } from '../outbound/errors.ts';
import { asksForHttps, NOT_HTTP, SCHEME_HINT_BYTES, wrongScheme } from '../outbound/scheme.ts';
import { parseUrl } from '../outbound/url.ts';
import { collectHashed, type HashedBytes } from './collected-bytes.ts';
import { ImageError, tooLarge } from './errors.ts';

/** Bytes that are not verified yet. */
export interface Download extends HashedBytes {
  /** The content type that the sender claims, for messages only; null if missing or malformed. */
  readonly claimedType: string | null;
}

export interface DownloadOptions {
  readonly dispatcher: Dispatcher;
  readonly signal: AbortSignal;
  readonly maxBytes: number;
  readonly maxRedirects: number;
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const MEDIA_TYPE = /^[a-z0-9!#$&^_.+-]{1,60}\/[a-z0-9!#$&^_.+-]{1,60}(?=\s*(;|$))/i;

/**
 * Downloads from a URL at most `maxBytes`, counted while reading. Follows redirects itself, so that each target is
 * checked like the first URL. Throws an ImageError, an OutboundError, the signal's reason, or an error of undici.
 */
export async function download(text: string, options: DownloadOptions): Promise<Download> {
  let url = parseUrl(text);
  for (let hop = 0; hop <= options.maxRedirects; hop += 1) {
    const response = await get(url, options);
    if (
      response.statusCode === 400 &&
      url.protocol === 'http:' &&
      asksForHttps(await beginningOf(response.body))
    ) {
      throw new OutboundError('unreachable', NOT_HTTP);
    }
    if (!REDIRECTS.has(response.statusCode)) return await readResponse(response, options.maxBytes);
    discard(response.body);
    url = redirectTarget(response.headers.location, url);
  }
  throw new OutboundError('unreachable', `more than ${options.maxRedirects} redirects`);
}

async function get(url: URL, options: DownloadOptions): Promise<Dispatcher.ResponseData> {
  try {
    return await request(url, {
      dispatcher: options.dispatcher,
      signal: options.signal,
      headers: {
        accept: 'image/png, image/jpeg, image/webp',
        // Without compression there are no decompression bombs.
        'accept-encoding': 'identity',
        'user-agent': 'qwen-edit-gateway',
      },
    });
  } catch (error) {
    const message = wrongScheme(error, url.protocol);
    throw message === null ? error : new OutboundError('unreachable', message);
  }
}

/** The first bytes of an error page. Destroys the body. */
async function beginningOf(body: Readable): Promise<string> {
  let text = '';
  for await (const chunk of body) {
    text += Buffer.from(chunk).toString('latin1');
    if (text.length >= SCHEME_HINT_BYTES) break;
  }
  return text;
}

function redirectTarget(location: string | string[] | undefined, from: URL): URL {
  if (typeof location !== 'string') {
    throw new OutboundError('unreachable', 'a redirect that leads nowhere');
  }
  try {
    return parseUrl(location, from);
  } catch (error) {
    // The caller's URL was valid; the server redirects to one that is not.
    if (error instanceof OutboundError && error.failure.kind === 'invalid') {
      throw new OutboundError('blocked', `a redirect whose target is ${error.failure.message}`);
    }
    throw error;
  }
}

async function readResponse(response: Dispatcher.ResponseData, maxBytes: number): Promise<Download> {
  const { headers, body } = response;
  const error = headError(response, maxBytes);
  if (error !== null) {
    discard(body);
    throw error;
  }
  const claimedType = MEDIA_TYPE.exec(String(headers['content-type'] ?? ''))?.[0].toLowerCase() ?? null;
  const length = Number(headers['content-length'] ?? Number.NaN);
  // One buffer: a body sent in single bytes would otherwise take a hundred times its size.
  // Its error destroys the body, and with it the connection.
  const read = await collectHashed(body, Number.isNaN(length) ? null : length, length => {
    if (length > maxBytes) throw tooLarge(maxBytes);
  });
  return { ...read, claimedType };
}

/** Why a response is not worth reading, by its status and headers; null if it is. */
function headError(response: Dispatcher.ResponseData, maxBytes: number): ImageError | OutboundError | null {
  const { statusCode, headers } = response;
  if (statusCode !== 200) return new OutboundError('unreachable', `the server answered ${statusCode}`);
  const encoding = String(headers['content-encoding'] ?? '')
    .trim()
    .toLowerCase();
  if (encoding !== '' && encoding !== 'identity') {
    const name = /^[a-z0-9-]{1,20}$/.test(encoding) ? ` (${encoding})` : '';
    return new ImageError('INPUT_NOT_AN_IMAGE', `a compressed response${name}, which was not requested`);
  }
  return Number(headers['content-length'] ?? 0) > maxBytes ? tooLarge(maxBytes) : null;
}

/** Destroys an unread body with its connection; the error that it then emits is expected. */
function discard(body: Readable): void {
  body.on('error', () => {});
  body.destroy();
}
