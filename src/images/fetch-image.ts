import type { AllowList } from './allow.ts';
import { readDataUri } from './data-uri.ts';
import { download } from './download.ts';
import { type ImageFailure, ImageRefused } from './failure.ts';
import { createFairGate, type FairGate } from './gate.ts';
import { createOutboundAgent } from './outbound-agent.ts';
import { tooLarge } from './too-large.ts';
import { toFailure } from './unreachable.ts';
import { createVerifier, type LoadedImage } from './verifier.ts';
import { createSystemLookup, type Lookup } from './vet.ts';

export type { ImageFailure } from './failure.ts';
export type { LoadedImage } from './verifier.ts';

export type ImageResult = { ok: true; image: LoadedImage } | { ok: false; failure: ImageFailure };

export interface ImageLoaderOptions {
  /** What may be fetched besides public addresses. */
  readonly allow: AllowList;
  readonly maxBytes: number;
  readonly maxPixels: number;
  /** From the first connection to the last byte, redirects included. Milliseconds, as the others. */
  readonly totalTimeoutMs: number;
  /** Resolving and connecting; 10,000 when left out. */
  readonly connectTimeoutMs?: number | undefined;
  /** From the request to the answer's headers; 15,000 when left out. */
  readonly headersTimeoutMs?: number | undefined;
  /** 3 when left out. */
  readonly maxRedirects?: number | undefined;
  /** Pictures that are fetched at once, 8 when left out; others wait. Each is held in memory whole, up to its cap. */
  readonly fetches?: number | undefined;
  /** Pictures in work that need no fetching, 4 when left out; others wait. Each is held in memory whole, too. */
  readonly atHand?: number | undefined;
  /** How names are resolved; left out: as the system does, by a look-up of its own. */
  readonly lookup?: Lookup | undefined;
  /** An HTTP proxy to go through; left out: none, whatever the environment says. */
  readonly proxy?: string | undefined;
}

/** On whose behalf a picture is taken. */
export interface Asker {
  /** Those of one share take turns with the others; null or left out: nobody's, which has no bound of its own. */
  readonly share?: string | null | undefined;
  /** Its abort ends the work, which rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Turns what strangers give into verified pictures. What is here already does not wait for what is fetched, and who has
 * many fetched from slow servers leaves places to others.
 */
export interface ImageLoader {
  fromUrl(url: string, asker?: Asker): Promise<ImageResult>;
  fromDataUri(uri: string, asker?: Asker): Promise<ImageResult>;
  /** Verifies what lies elsewhere, read when its turn has come; `read` gives no more than the cap. */
  fromReader(read: () => Promise<Uint8Array>, asker?: Asker): Promise<ImageResult>;
  /** Does what holds one whole picture of no more than the cap when its turn has come; settles as `work` does. */
  inTurn<T>(work: () => Promise<T>, asker?: Asker): Promise<T>;
  /** Keeps `bytes` and does not copy them: they must not change any more. */
  fromBytes(bytes: Uint8Array): Promise<ImageResult>;
  /** Ends downloads, as failures, and waits until every picture in work has left. */
  close(): Promise<void>;
}

const FETCHES_AT_ONCE = 8;
/** Of them for one share: as many as an edit has pictures, and so few that two who wait for silent servers leave room. */
const FETCHES_A_SHARE = 3;
/** Two that are decoded, and two that are read meanwhile. */
const AT_HAND_AT_ONCE = 4;
/** A decoder may need the whole picture in memory, and holds one of libuv's four threads. */
const DECODES_AT_ONCE = 2;

interface Given {
  readonly bytes: Uint8Array;
  readonly claimedType: string | null;
}

/** Makes a loader; nothing is opened until it is used. */
export function createImageLoader(options: ImageLoaderOptions): ImageLoader {
  const { allow, maxBytes, maxPixels, totalTimeoutMs, maxRedirects = 3 } = options;
  const lookup = options.lookup ?? createSystemLookup();
  const fetches = createFairGate(options.fetches ?? FETCHES_AT_ONCE, FETCHES_A_SHARE);
  const places = options.atHand ?? AT_HAND_AT_ONCE;
  const atHand = createFairGate(places, places);
  const decodes = createFairGate(DECODES_AT_ONCE, DECODES_AT_ONCE);
  const verify = createVerifier(maxPixels);
  const closing = new AbortController();
  const inWork = new Set<Promise<unknown>>();

  async function fetchPicture(url: string, { share, signal }: Asker): Promise<Given> {
    // An agent for each picture: whatever it opened ends with the picture, and nothing is shared between strangers.
    const agent = createOutboundAgent({
      proxy: options.proxy,
      allow,
      connectTimeoutMs: Math.min(options.connectTimeoutMs ?? 10_000, totalTimeoutMs),
      headersTimeoutMs: Math.min(options.headersTimeoutMs ?? 15_000, totalTimeoutMs),
      bodyTimeoutMs: totalTimeoutMs,
      lookup: (host, ended) => lookup(host, ended, share),
    });
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(tookTooLong(totalTimeoutMs)), totalTimeoutMs);
    const leave = (): void => stop.abort(signal?.reason);
    const shut = (): void => stop.abort(shuttingDown());
    signal?.addEventListener('abort', leave);
    closing.signal.addEventListener('abort', shut);
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    // undici hears of an abort only once it is connected, so that is not waited for.
    stop.signal.addEventListener('abort', () => reject(stop.signal.reason));
    try {
      if (signal?.aborted) leave();
      if (closing.signal.aborted) shut();
      const { dispatcher } = agent;
      const given = download(url, { dispatcher, signal: stop.signal, maxBytes, maxRedirects });
      return await Promise.race([stopped, given]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', leave);
      closing.signal.removeEventListener('abort', shut);
      await agent.close();
    }
  }

  /** The place in `gate` is kept until the picture is verified, because it is held that long. */
  async function load(
    gate: FairGate,
    get: () => Promise<Given>,
    { share = null, signal }: Asker,
  ): Promise<ImageResult> {
    const work = async (): Promise<ImageResult> => {
      try {
        const { bytes, claimedType } = await get();
        const image = await decodes.run(share, () => verify(bytes, claimedType), signal);
        signal?.throwIfAborted();
        return { ok: true, image };
      } catch (error) {
        signal?.throwIfAborted();
        return { ok: false, failure: toFailure(error) };
      }
    };
    return await gate.run(share, work, signal);
  }

  async function tracked<T>(work: Promise<T>): Promise<T> {
    inWork.add(work);
    try {
      return await work;
    } finally {
      inWork.delete(work);
    }
  }

  return {
    fromUrl: (url, asker = {}) => tracked(load(fetches, () => fetchPicture(url, asker), asker)),
    fromDataUri: (uri, asker = {}) =>
      tracked(load(atHand, async () => ({ bytes: readDataUri(uri, maxBytes), claimedType: null }), asker)),
    fromReader: (read, asker = {}) =>
      tracked(load(atHand, async () => ({ bytes: await read(), claimedType: null }), asker)),
    inTurn: (work, { share = null, signal } = {}) => tracked(atHand.run(share, work, signal)),
    fromBytes(bytes) {
      const get = async (): Promise<Given> => {
        if (bytes.byteLength > maxBytes) throw tooLarge(maxBytes);
        return { bytes, claimedType: null };
      };
      return tracked(load(atHand, get, {}));
    },
    async close() {
      closing.abort();
      await Promise.allSettled(inWork);
    },
  };
}

function tookTooLong(totalTimeoutMs: number): ImageRefused {
  return new ImageRefused(
    'INPUT_UNREACHABLE',
    `Connection timeout: not complete after ${Number((totalTimeoutMs / 1000).toFixed(1))} s`,
  );
}

function shuttingDown(): ImageRefused {
  return new ImageRefused('INPUT_UNREACHABLE', 'the gateway is shutting down');
}
