import { createHash } from 'node:crypto';
import { type LoadedImage, verifyImage } from './verify.ts';

/** Verifies pictures; see `verifyImage`. */
export type Verifier = (bytes: Uint8Array, claimedType: string | null) => Promise<LoadedImage>;

/** Pictures of which is remembered that they were verified. */
const REMEMBERED = 1_000;

/**
 * Verifies a picture once, however often it comes: people try many prompts on the same one. Known by its SHA-256, so that
 * nothing else passes for it. One that had to be changed (an animated one) is verified each time.
 */
export function createVerifier(maxPixels: number): Verifier {
  /** Insertion order is the order of last use. */
  const verified = new Map<string, Omit<LoadedImage, 'bytes'>>();
  return async (bytes, claimedType) => {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const known = verified.get(sha256);
    const image =
      known === undefined ? await verifyImage(bytes, maxPixels, claimedType) : { ...known, bytes };
    if (image.bytes !== bytes) return image;
    const { bytes: _, ...facts } = image;
    verified.delete(sha256);
    verified.set(sha256, facts);
    const oldest = verified.keys().next();
    if (verified.size > REMEMBERED && !oldest.done) verified.delete(oldest.value);
    return image;
  };
}
