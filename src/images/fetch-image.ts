import type { Readable } from 'node:stream';
import { type Dispatcher, request } from 'undici';
import type { AllowList } from './allow.ts';
import { readDataUri, tooLarge } from './data-uri.ts';
import { type ImageFailure, ImageRefused } from './failure.ts';
import { createGate } from './gate.ts';
import { createGuardedAgent, type Lookup } from './guarded-agent.ts';
import { type LoadedImage, verifyImage } from './verify.ts';

export type { ImageFailure } from './failure.ts';
export type { LoadedImage } from './verify.ts';

export type ImageResult = { ok: true; image: LoadedImage } | { ok: false; failure: ImageFailure };

export interface ImageLoaderOptions {
  /** What may be fetched besides public addresses. */
  readonly allow: AllowList;
  readonly maxBytes: number;
  readonly maxPixels: number;
  /** From the first connection to the last byte, redirects included. Milliseconds, as the others. */
  readonly totalTimeoutMs: number;
  readonly connectTimeoutMs?: number;
  readonly headersTimeoutMs?: number;
  readonly maxRedirects?: number;
  /** Pictures that are fetched or decoded at once; others wait. Each is held in memory whole, up to its cap. */
  readonly concurrency?: number;
  readonly lookup?: Lookup | undefined;
}

/** Turns what strangers give into verified pictures. An abort rejects with the signal's reason. */
export interface ImageLoader {
  fromUrl(url: string, signal?: AbortSignal | undefined): Promise<ImageResult>;
  fromDataUri(uri: string, signal?: AbortSignal | undefined): Promise<ImageResult>;
  fromBytes(bytes: Uint8Array): Promise<ImageResult>;
  close(): Promise<void>;
}

/** WHATWG fetch's bad ports that a public server could be asked on (https://fetch.spec.whatwg.org/#port-blocking). */
const BAD_PORTS = new Set([
  1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
  109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
  526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
  3659, 4045, 4190, 5060, 5061, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
]);
const URL_LENGTH_LIMIT = 4_096;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** Makes a loader; nothing is opened until it is used. */
export function createImageLoader(options: ImageLoaderOptions): ImageLoader {
  const { allow, maxBytes, maxPixels, totalTimeoutMs, maxRedirects = 3 } = options;
  const agent = createGuardedAgent({
    allow,
    connectTimeoutMs: Math.min(options.connectTimeoutMs ?? 10_000, totalTimeoutMs),
    headersTimeoutMs: Math.min(options.headersTimeoutMs ?? 15_000, totalTimeoutMs),
    bodyTimeoutMs: totalTimeoutMs,
    lookup: options.lookup,
  });
  const gate = createGate(options.concurrency ?? 8);

  async function download(text: string, signal: AbortSignal): Promise<Uint8Array> {
    let url = readUrl(text);
    for (let hop = 0; hop <= maxRedirects; hop += 1) {
      const answer = await request(url, {
        dispatcher: agent.dispatcher,
        signal,
        headers: {
          accept: 'image/png, image/jpeg, image/webp',
          // Nothing to unpack means nothing that can grow on unpacking.
          'accept-encoding': 'identity',
          'user-agent': 'qwen-edit-gateway',
        },
      });
      if (!REDIRECTS.has(answer.statusCode)) return await readAnswer(answer, maxBytes);
      const location = answer.headers.location;
      discard(answer.body);
      if (typeof location !== 'string' || !URL.canParse(location, url)) {
        throw new ImageRefused('INPUT_UNREACHABLE', 'a redirect that leads nowhere');
      }
      url = readUrl(new URL(location, url).href);
    }
    throw new ImageRefused('INPUT_UNREACHABLE', `more than ${maxRedirects} redirects`);
  }

  async function settle(
    work: () => Promise<Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<ImageResult> {
    const result = await gate.run(async (): Promise<ImageResult> => {
      try {
        return { ok: true, image: await verifyImage(await work(), maxPixels) };
      } catch (error) {
        signal?.throwIfAborted();
        return { ok: false, failure: toFailure(error, totalTimeoutMs) };
      }
    }, signal);
    return result;
  }

  return {
    fromUrl(url, signal) {
      return settle(() => {
        const deadline = AbortSignal.timeout(totalTimeoutMs);
        return download(url, signal === undefined ? deadline : AbortSignal.any([deadline, signal]));
      }, signal);
    },
    fromDataUri: (uri, signal) => settle(async () => readDataUri(uri, maxBytes), signal),
    fromBytes(bytes) {
      return settle(async () => {
        if (bytes.byteLength > maxBytes) throw tooLarge(maxBytes);
        return bytes;
      }, undefined);
    },
    close: () => agent.close(),
  };
}

function readUrl(text: string): URL {
  const url = text.length <= URL_LENGTH_LIMIT && URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new ImageRefused('INVALID_INPUT', 'not an http or https URL');
  }
  if (url.username !== '' || url.password !== '') {
    throw new ImageRefused('INPUT_BLOCKED', 'the URL carries credentials');
  }
  if (BAD_PORTS.has(Number(url.port))) {
    throw new ImageRefused('INPUT_BLOCKED', `port ${url.port} is not one for pictures`);
  }
  return url;
}

async function readAnswer(answer: Dispatcher.ResponseData, maxBytes: number): Promise<Uint8Array> {
  const { statusCode, headers, body } = answer;
  const refuse = (code: ImageFailure['code'], message: string): ImageRefused => {
    discard(body);
    return new ImageRefused(code, message);
  };
  if (statusCode !== 200) throw refuse('INPUT_UNREACHABLE', `the server answered ${statusCode}`);
  const encoding = String(headers['content-encoding'] ?? 'identity').toLowerCase();
  if (encoding !== 'identity' && encoding !== '') {
    throw refuse('INPUT_NOT_AN_IMAGE', `an answer with content-encoding ${encoding.slice(0, 20)}`);
  }
  const declared = Number(headers['content-length'] ?? 0);
  if (declared > maxBytes) {
    discard(body);
    throw tooLarge(maxBytes);
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    const bytes: Uint8Array = chunk;
    size += bytes.byteLength;
    // The loop's end destroys the body, and with it the connection.
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

/** Ends a body that nobody will read, with its connection; that it then reports the end as an error is expected. */
function discard(body: Readable): void {
  body.on('error', () => {});
  body.destroy();
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'host not found',
  EAI_AGAIN: 'host not found',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was reset',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  UND_ERR_CONNECT_TIMEOUT: 'Connection timeout',
  ETIMEDOUT: 'Connection timeout',
  UND_ERR_HEADERS_TIMEOUT: 'Connection timeout',
  UND_ERR_BODY_TIMEOUT: 'Connection timeout',
  UND_ERR_SOCKET: 'the connection was closed early',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the connection was closed early',
  UND_ERR_HEADERS_OVERFLOW: 'the answer’s headers are too large',
};

/** The failure that an error of a download means; what is not known by name is not told. */
function toFailure(error: unknown, totalTimeoutMs: number): ImageFailure {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof ImageRefused) return cause.failure;
    if (cause.name === 'TimeoutError') {
      return unreachable(`Connection timeout: not finished after ${Math.round(totalTimeoutMs / 1000)} s`);
    }
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
    const reason = REASONS[code];
    if (reason !== undefined) return unreachable(reason);
    if (code.startsWith('HPE_')) return unreachable('the server does not speak HTTP');
    if (/CERT|SSL|TLS/.test(code)) return unreachable('its TLS certificate is not valid');
  }
  return unreachable('the connection failed');
}

function unreachable(message: string): ImageFailure {
  return { code: 'INPUT_UNREACHABLE', message };
}
