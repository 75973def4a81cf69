import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { broken, decodePixels, firstFrame, readHeader } from './decode.ts';
import { ImageError } from './errors.ts';
import { describeBytes, type ImageKind, type Size, sniffImage } from './formats.ts';
import { readStructure } from './structure.ts';

/** An image whose kind, size and structure were checked. */
export interface VerifiedImage extends ImageKind, Size {
  /** The given bytes, unless the image had to be converted. Its size is the one after EXIF rotation, as the engine sees it. */
  readonly bytes: Uint8Array;
  /** Of `bytes`, in hex. */
  readonly sha256: string;
}

/**
 * Checks images in two steps, because the second takes a hundred times as long as everything else of a submit. Both reject
 * with an ImageError. An image that is sent again is recognised by its SHA-256, because many prompts are tried on the
 * same image; those that have to be converted are not.
 */
export interface Verifier {
  /**
   * Checks that bytes are a complete JPEG, PNG or WebP of at most `maxPixels`: the kind by the first bytes, the size by the
   * header before anything is decoded, the rest as `readStructure` does. Keeps only the first frame of an animated image,
   * upright and as PNG, because ComfyUI's LoadImage would make a batch of it (`nodes.py`); that alone is decoded here, when
   * `inTurn` runs it. `claimedType` is the sender's content type, for messages only; `sha256` is that of the bytes
   * where it is known.
   */
  check(
    bytes: Uint8Array,
    claimedType: string | null,
    inTurn: InTurn,
    sha256?: string,
  ): Promise<VerifiedImage>;
  /** Whether `decode` has decoded the same bytes, as far as it remembers. */
  isDecoded(image: VerifiedImage): boolean;
  /** Decodes every pixel of an image that `check` has accepted. No bytes go to an engine before. */
  decode(image: VerifiedImage): Promise<void>;
}

/** Runs work when there is a slot, and settles as it does. */
export type InTurn = <T>(work: () => Promise<T>) => Promise<T>;

type Unhashed = Omit<VerifiedImage, 'sha256'>;

/** What is remembered of an image. */
interface Known extends ImageKind, Size {
  readonly decoded: boolean;
}

/** Images that are remembered. */
const REMEMBERED = 1_000;

/** A verifier of images of at most `maxPixels`. */
export function createVerifier(maxPixels: number): Verifier {
  const known = new LRUCache<string, Known>({ max: REMEMBERED });
  const isDecoded = ({ sha256 }: VerifiedImage): boolean => known.get(sha256)?.decoded === true;
  return {
    async check(bytes, claimedType, inTurn, sha256 = hash('sha256', bytes)) {
      const before = known.get(sha256);
      if (before !== undefined) {
        const { decoded: _, ...facts } = before;
        return { ...facts, bytes, sha256 };
      }
      const image = await checkImage(bytes, maxPixels, claimedType, inTurn);
      if (image.bytes !== bytes) return { ...image, sha256: hash('sha256', image.bytes) };
      const { bytes: _, ...facts } = image;
      known.set(sha256, { ...facts, decoded: false });
      return { ...image, sha256 };
    },
    isDecoded,
    async decode(image) {
      const { bytes, sha256, ...facts } = image;
      if (isDecoded(image)) return;
      await decodePixels(bytes, facts, maxPixels, facts);
      known.set(sha256, { ...facts, decoded: true });
    },
  };
}

async function checkImage(
  bytes: Uint8Array,
  maxPixels: number,
  claimedType: string | null,
  inTurn: InTurn,
): Promise<Unhashed> {
  const kind = sniffImage(bytes);
  if (kind === null) {
    const message = `${describeBytes(bytes, claimedType)}, not a JPEG, PNG or WebP image`;
    throw new ImageError('INPUT_NOT_AN_IMAGE', message);
  }
  const { size, complete, animated } = readStructure(bytes, kind);
  // The decoder takes ten times as long to read a header as the structure takes, so it is used only without a size.
  const header: Size & { readonly pages?: number; readonly orientation?: number } =
    size ?? (await readHeader(bytes, kind));
  const { width, height, pages = 1, orientation = 1 } = header;
  if (width * height > maxPixels) {
    const limit = `the limit is ${Number((maxPixels / 1e6).toFixed(2))} million pixels`;
    throw new ImageError('INPUT_TOO_LARGE', `${width} × ${height} pixels: ${limit}`);
  }
  if (!complete) throw broken(kind);
  if (pages > 1 || animated) return await inTurn(() => firstFrame(bytes, maxPixels, kind));
  // EXIF orientations 5 to 8 swap width and height.
  const rotated = orientation >= 5 && orientation <= 8;
  return { ...kind, bytes, ...(rotated ? { width: height, height: width } : { width, height }) };
}
