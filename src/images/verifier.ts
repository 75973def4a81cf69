import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type VerifiedImage, verifyImage } from './verify.ts';

/** A picture that was verified, and what it is known by. */
export interface LoadedImage extends VerifiedImage {
  /** Of `bytes`, in hex. */
  readonly sha256: string;
}

/** Verifies pictures; see `verifyImage`. */
export type Verifier = (bytes: Uint8Array, claimedType: string | null) => Promise<LoadedImage>;

/** Pictures of which is remembered that they were verified. */
const REMEMBERED = 1_000;

/**
 * Verifies a picture once, however often it comes: people try many prompts on the same one. Known by its SHA-256, so that
 * nothing else passes for it. One that had to be changed (an animated one) is verified each time.
 */
export function createVerifier(maxPixels: number): Verifier {
  const verified = new LRUCache<string, Omit<VerifiedImage, 'bytes'>>({ max: REMEMBERED });
  return async (bytes, claimedType) => {
    const sha256 = hash('sha256', bytes);
    const known = verified.get(sha256);
    if (known !== undefined) return { ...known, bytes, sha256 };
    const image = await verifyImage(bytes, maxPixels, claimedType);
    if (image.bytes !== bytes) return { ...image, sha256: hash('sha256', image.bytes) };
    const { bytes: _, ...facts } = image;
    verified.set(sha256, facts);
    return { ...image, sha256 };
  };
}
