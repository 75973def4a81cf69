import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Clock } from './ports.ts';

/** The paths and queries under which the gateway serves the images of a job. */
export interface ImageUrls {
  /** An output image; 0 is the first. */
  output(jobId: string, index: number): string;
  /** An input image by its number, or the mask. */
  input(jobId: string, slot: number | 'mask'): string;
  /** The newest preview. `sequence` changes with each, so that browsers load it again. */
  preview(jobId: string, sequence: number): string;
}

/** `unsigned`: the URL has no signature. */
export type Verdict = 'valid' | 'expired' | 'invalid' | 'unsigned';

/** Image URLs that need no credentials for a while, as `<img>` sends none. */
export interface SignedImageUrls extends ImageUrls {
  verify(path: string, query: Readonly<Record<string, unknown>>): Verdict;
}

export interface SigningOptions {
  /** The same on all gateways that share a store. */
  readonly key: Buffer;
  /** For how long a URL is valid at least, in milliseconds; at most twice as long. */
  readonly lifetimeMs: number;
  readonly now: Clock;
}

/** What may be added to a signed URL: it changes how the image is sent, not which. */
const FREE: ReadonlySet<string> = new Set(['format', 'quality', 'width', 'frame', 'signature', 'expires']);
/** What is signed together with the path: it selects the image. */
const SELECTING = ['index', 'slot'] as const;

/** URLs without signatures, for gateways that do not identify callers. */
export const PLAIN_IMAGE_URLS: ImageUrls = {
  output: (jobId, index) => `/download/${jobId}${index > 0 ? `?index=${index}` : ''}`,
  input: (jobId, slot) => `/input/${jobId}?slot=${slot}`,
  preview: (jobId, sequence) => `/preview/${jobId}?frame=${sequence}`,
};

/**
 * Signs the URL of each image by HMAC-SHA256. A signature is valid for that image alone and expires. URLs of one image are
 * the same for `lifetimeMs`, so that clients recognize an image that they have.
 */
export function createSignedImageUrls({ key, lifetimeMs, now }: SigningOptions): SignedImageUrls {
  function signatureOf(path: string, selected: string, expires: string): Buffer {
    return createHmac('sha256', key).update(`image\n${path}\n${selected}\n${expires}`).digest();
  }

  function sign(url: string): string {
    const parts = new URL(url, 'http://localhost');
    const expires = String(Math.ceil((Math.ceil(now() / lifetimeMs) + 1) * (lifetimeMs / 1000)));
    const query = Object.fromEntries(parts.searchParams);
    const signature = signatureOf(parts.pathname, selectedBy(query), expires).toString('base64url');
    return `${url}${parts.search === '' ? '?' : '&'}expires=${expires}&signature=${signature}`;
  }

  return {
    output: (jobId, index) => sign(PLAIN_IMAGE_URLS.output(jobId, index)),
    input: (jobId, slot) => sign(PLAIN_IMAGE_URLS.input(jobId, slot)),
    preview: (jobId, sequence) => sign(PLAIN_IMAGE_URLS.preview(jobId, sequence)),
    verify(path, query) {
      const { signature, expires } = query;
      if (signature === undefined) return 'unsigned';
      if (typeof signature !== 'string' || typeof expires !== 'string') return 'invalid';
      const known = Object.keys(query).every(
        name => FREE.has(name) || SELECTING.some(other => other === name),
      );
      if (!known) return 'invalid';
      const expected = signatureOf(path, selectedBy(query), expires);
      const given = Buffer.from(signature, 'base64url');
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) return 'invalid';
      return Number(expires) * 1000 > now() ? 'valid' : 'expired';
    },
  };
}

function selectedBy(query: Readonly<Record<string, unknown>>): string {
  return SELECTING.map(name => query[name])
    .map(value => (value === undefined ? '' : JSON.stringify(value)))
    .join(',');
}
