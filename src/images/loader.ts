import { runUntil } from '../concurrency/deadline.ts';
import { createFairQueue, type FairQueue } from '../concurrency/fair-queue.ts';
import { createOutboundAgent, type OutboundProxy } from '../outbound/agent.ts';
import type { AllowList } from '../outbound/allow-list.ts';
import { OutboundError } from '../outbound/errors.ts';
import { createSystemLookup, type Lookup } from '../outbound/vet.ts';
import type { HashedBytes } from './collected-bytes.ts';
import { readDataUri } from './data-uri.ts';
import { type Download, download } from './download.ts';
import { ImageError, type ImageFailure, toImageFailure, tooLarge } from './errors.ts';
import type { Size } from './formats.ts';
import type { InlineImage } from './inline.ts';
import { type MaskResult, toMask } from './mask.ts';
import { createVerifier, type VerifiedImage } from './verify.ts';

/** Bytes, with their hash where it was computed as they were read. */
export type ReadBytes = Pick<HashedBytes, 'bytes'> & Partial<HashedBytes>;

export type ImageResult = { ok: true; image: VerifiedImage } | { ok: false; failure: ImageFailure };

export interface ImageLoaderOptions {
  /** What may be fetched besides public addresses. */
  readonly allow: AllowList;
  readonly maxBytes: number;
  readonly maxPixels: number;
  /** From the first connection to the last byte, including redirects. Milliseconds, like the other timeouts. */
  readonly totalTimeoutMs: number;
  /** For resolving and connecting; default 10,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** From the request to the response headers; default 15,000. */
  readonly headersTimeoutMs?: number | undefined;
  /** Default 3. */
  readonly maxRedirects?: number | undefined;
  /** Images that are fetched at once, default 8. Each is held in memory as a whole, up to `maxBytes`. */
  readonly fetches?: number | undefined;
  /** Images that are processed at once without fetching, default 4. Each is held in memory, too. */
  readonly local?: number | undefined;
  /** Default: a look-up of its own that resolves names as the system does. */
  readonly lookup?: Lookup | undefined;
  /** An HTTP proxy to use. Without it there is none, whatever the environment says. */
  readonly proxy?: OutboundProxy | undefined;
}

/** The request that an image is loaded for. */
export interface LoadOptions {
  /** The caller, whose images take turns with other callers'. Null or unset: not limited per caller. */
  readonly share?: string | null | undefined;
  /** Its abort ends the work, which rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface CheckOptions extends LoadOptions {
  /** Decodes the pixels, too. Unset: that is left to `decode`. */
  readonly decode?: boolean | undefined;
}

/**
 * Turns what callers send into verified images. Images that are here already do not wait for those being fetched, and a
 * caller of many slow servers leaves slots to others.
 */
export interface ImageLoader {
  fromUrl(url: string, options?: CheckOptions): Promise<ImageResult>;
  fromDataUri(uri: string, options?: CheckOptions): Promise<ImageResult>;
  fromInline(image: InlineImage, options?: CheckOptions): Promise<ImageResult>;
  /** Verifies the image that `read` gets, at most `maxBytes` of it, when there is a slot. Does not copy the bytes. */
  fromReader(read: () => Promise<ReadBytes>, options?: CheckOptions): Promise<ImageResult>;
  /**
   * Decodes the pixels of an image when there is a slot. Those that were decoded need none, unless a thousand other images came
   * since. Resolves with what is wrong with them; null: nothing.
   *
   * An abort ends the wait for a slot, not the decoding.
   */
  decode(image: VerifiedImage, options?: LoadOptions): Promise<ImageFailure | null>;
  /** Makes a mask for an image 1 of this size, as `toMask` does, in turn with the images that are decoded. */
  toMask(image: VerifiedImage, size: Size, options?: LoadOptions): Promise<MaskResult>;
  /** Runs work that holds a whole image of at most `maxBytes` when there is a slot; settles as `work` does. */
  inTurn<T>(work: () => Promise<T>, options?: LoadOptions): Promise<T>;
  /** Makes downloads fail and waits until no image is being processed. */
  close(): Promise<void>;
}

const CONCURRENT_FETCHES = 8;
/** Of these per share: the images of one edit; two callers of servers that do not answer still leave slots free. */
const FETCHES_PER_SHARE = 3;
/** Two that are decoded and two that are read meanwhile. */
const CONCURRENT_LOCAL = 4;
/** Of these per share: images that wait to be decoded hold their slots, and leave one to other callers. */
const LOCAL_PER_SHARE = 3;
/** A decoder may need the whole image in memory, and blocks one of libuv's four threads. */
const CONCURRENT_DECODES = 2;
/** Of these per share: images that take long to decode, 20 s at most each, leave a slot to other callers. */
const DECODES_PER_SHARE = 1;

/** Makes a loader; opens nothing until it is used. */
export function createImageLoader(options: ImageLoaderOptions): ImageLoader {
  const { allow, maxBytes, maxPixels, totalTimeoutMs, maxRedirects = 3 } = options;
  const lookup = options.lookup ?? createSystemLookup();
  const fetches = createFairQueue(options.fetches ?? CONCURRENT_FETCHES, FETCHES_PER_SHARE);
  const local = createFairQueue(options.local ?? CONCURRENT_LOCAL, LOCAL_PER_SHARE);
  const decodes = createFairQueue(CONCURRENT_DECODES, DECODES_PER_SHARE);
  const verifier = createVerifier(maxPixels);
  const closing = new AbortController();
  const inFlight = new Set<Promise<unknown>>();

  async function fetchImage(url: string, { share, signal }: LoadOptions): Promise<Download> {
    // One agent per image: its connections end with the image, and callers share nothing.
    const agent = createOutboundAgent(options.proxy, {
      allow,
      connectTimeoutMs: Math.min(options.connectTimeoutMs ?? 10_000, totalTimeoutMs),
      headersTimeoutMs: Math.min(options.headersTimeoutMs ?? 15_000, totalTimeoutMs),
      bodyTimeoutMs: totalTimeoutMs,
      lookup: (host, ended) => lookup(host, ended, share),
    });
    const signals = signal === undefined ? [closing.signal] : [signal, closing.signal];
    try {
      return await runUntil(totalTimeoutMs, incomplete, signals, stop =>
        download(url, { dispatcher: agent.dispatcher, signal: stop, maxBytes, maxRedirects }),
      );
    } finally {
      await agent.close();
    }
  }

  /** Keeps the slot of `queue` until the image is verified, because it is in memory that long. */
  async function load(
    queue: FairQueue,
    get: () => Promise<ReadBytes & Pick<Download, 'claimedType'>>,
    { share = null, signal, decode = false }: CheckOptions,
  ): Promise<ImageResult> {
    const inTurn = <T>(decoding: () => Promise<T>): Promise<T> => decodes.run(share, decoding, signal);
    const work = async (): Promise<ImageResult> => {
      try {
        const { bytes, sha256, claimedType } = await get();
        const image = await verifier.check(bytes, claimedType, inTurn, sha256);
        if (decode && !verifier.isDecoded(image)) await inTurn(() => verifier.decode(image));
        signal?.throwIfAborted();
        return { ok: true, image };
      } catch (error) {
        signal?.throwIfAborted();
        return { ok: false, failure: toImageFailure(error) };
      }
    };
    return await queue.run(share, work, signal);
  }

  async function decode(
    image: VerifiedImage,
    { share = null, signal }: LoadOptions,
  ): Promise<ImageFailure | null> {
    signal?.throwIfAborted();
    if (verifier.isDecoded(image)) return null;
    try {
      await decodes.run(share, () => verifier.decode(image), signal);
      return null;
    } catch (error) {
      if (error instanceof ImageError) return error.failure;
      throw error;
    }
  }

  async function tracked<T>(work: Promise<T>): Promise<T> {
    inFlight.add(work);
    try {
      return await work;
    } finally {
      inFlight.delete(work);
    }
  }

  function incomplete(): OutboundError {
    const seconds = Number((totalTimeoutMs / 1000).toFixed(1));
    return new OutboundError('unreachable', `Connection timeout: not complete after ${seconds} s`);
  }

  return {
    fromUrl: (url, given = {}) => tracked(load(fetches, () => fetchImage(url, given), given)),
    fromDataUri: (uri, given = {}) =>
      tracked(load(local, async () => ({ bytes: readDataUri(uri, maxBytes), claimedType: null }), given)),
    fromInline: ({ bytes, sha256 }, given = {}) =>
      tracked(
        load(
          local,
          async () => {
            if (bytes.byteLength > maxBytes) throw tooLarge(maxBytes);
            return { bytes, sha256, claimedType: null };
          },
          given,
        ),
      ),
    fromReader: (read, given = {}) =>
      tracked(load(local, async () => ({ ...(await read()), claimedType: null }), given)),
    decode: (image, given = {}) => tracked(decode(image, given)),
    toMask: (image, size, { share = null, signal } = {}) =>
      tracked(decodes.run(share, () => toMask(image, size), signal)),
    inTurn: (work, { share = null, signal } = {}) => tracked(local.run(share, work, signal)),
    async close() {
      closing.abort(new OutboundError('unreachable', 'the gateway is shutting down'));
      await Promise.allSettled(inFlight);
    },
  };
}
