import type { Readable } from 'node:stream';
import { type Dispatcher, request } from 'undici';
import { ImageRefused } from './failure.ts';
import { readPictureUrl } from './picture-url.ts';
import { tooLarge } from './too-large.ts';

/** What a server sent, unverified. */
export interface Download {
  readonly bytes: Uint8Array;
  /** The type that the server claims, for messages only; null when it is missing or no media type. */
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
const FIRST_ALLOCATION = 64 * 1024;

/**
 * Gets what a URL leads to, at most `maxBytes` of it, counted while reading. Redirects are followed by hand, so that
 * each one is judged as the first URL was. Throws ImageRefused, the signal's reason, or an error of undici.
 */
export async function download(text: string, options: DownloadOptions): Promise<Download> {
  let url = readPictureUrl(text);
  for (let hop = 0; hop <= options.maxRedirects; hop += 1) {
    const answer = await request(url, {
      dispatcher: options.dispatcher,
      signal: options.signal,
      headers: {
        accept: 'image/png, image/jpeg, image/webp',
        // Nothing to unpack means nothing that can grow on unpacking.
        'accept-encoding': 'identity',
        'user-agent': 'qwen-edit-gateway',
      },
    });
    if (!REDIRECTS.has(answer.statusCode)) return await readAnswer(answer, options.maxBytes);
    discard(answer.body);
    url = readRedirect(answer.headers.location, url);
  }
  throw new ImageRefused('INPUT_UNREACHABLE', `more than ${options.maxRedirects} redirects`);
}

function readRedirect(location: string | string[] | undefined, from: URL): URL {
  if (typeof location !== 'string') {
    throw new ImageRefused('INPUT_UNREACHABLE', 'a redirect that leads nowhere');
  }
  try {
    return readPictureUrl(location, from);
  } catch (error) {
    // Whoever gave the URL gave a good one: it is the server that points where nobody goes.
    if (error instanceof ImageRefused && error.failure.code === 'INVALID_INPUT') {
      throw new ImageRefused('INPUT_BLOCKED', `a redirect whose target is ${error.failure.message}`);
    }
    throw error;
  }
}

async function readAnswer(answer: Dispatcher.ResponseData, maxBytes: number): Promise<Download> {
  const { headers, body } = answer;
  const refusal = refuseByHead(answer, maxBytes);
  if (refusal !== null) {
    discard(body);
    throw refusal;
  }
  const claimedType = MEDIA_TYPE.exec(String(headers['content-type'] ?? ''))?.[0].toLowerCase() ?? null;
  // Pieces are copied together at once: kept as they come, a body in single bytes would cost a hundred times its size.
  let buffer = new Uint8Array(Math.min(FIRST_ALLOCATION, maxBytes));
  let size = 0;
  for await (const chunk of body) {
    const bytes: Uint8Array = chunk;
    // The loop's end destroys the body, and with it the connection.
    if (size + bytes.byteLength > maxBytes) throw tooLarge(maxBytes);
    if (size + bytes.byteLength > buffer.byteLength) {
      const larger = new Uint8Array(Math.min(maxBytes, Math.max(size + bytes.byteLength, size * 2)));
      larger.set(buffer.subarray(0, size));
      buffer = larger;
    }
    buffer.set(bytes, size);
    size += bytes.byteLength;
  }
  return { bytes: buffer.slice(0, size), claimedType };
}

/** Why an answer is not worth reading, by its status and headers; null when it is. */
function refuseByHead(answer: Dispatcher.ResponseData, maxBytes: number): ImageRefused | null {
  const { statusCode, headers } = answer;
  if (statusCode !== 200) return new ImageRefused('INPUT_UNREACHABLE', `the server answered ${statusCode}`);
  const encoding = String(headers['content-encoding'] ?? '')
    .trim()
    .toLowerCase();
  if (encoding !== '' && encoding !== 'identity') {
    const name = /^[a-z0-9-]{1,20}$/.test(encoding) ? ` (${encoding})` : '';
    return new ImageRefused('INPUT_NOT_AN_IMAGE', `a compressed answer${name}, which was not asked for`);
  }
  return Number(headers['content-length'] ?? 0) > maxBytes ? tooLarge(maxBytes) : null;
}

/** Ends a body that nobody will read, with its connection; that it then reports the end as an error is expected. */
function discard(body: Readable): void {
  body.on('error', () => {});
  body.destroy();
}
