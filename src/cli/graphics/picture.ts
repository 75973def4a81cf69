import sharp, { type Sharp } from 'sharp';

/** A picture of a size for a terminal: four bytes a pixel, red, green, blue and alpha, row by row. */
export interface Thumbnail {
  readonly rgba: Buffer;
  readonly width: number;
  readonly height: number;
}

/** More than any workflow makes; a file of few bytes can claim to be a picture that fills the memory. */
const MAX_PIXELS = 100_000_000;

/** Reads a picture of any format and scales it to fit. Rejects for bytes that are none. */
export async function toThumbnail(
  bytes: Uint8Array,
  fit: { readonly width: number; readonly height: number },
): Promise<Thumbnail> {
  const { data: rgba, info } = await sharp(bytes, { limitInputPixels: MAX_PIXELS, pages: 1 })
    .autoOrient()
    .resize({ ...fit, fit: 'inside' })
    .toColourspace('srgb')
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { rgba, width: info.width, height: info.height };
}

/** As a PNG of at most 256 colours, a third of the size of one with all. */
export function toPng(picture: Thumbnail): Promise<Buffer> {
  return image(picture).png({ palette: true, effort: 3 }).toBuffer();
}

/** As a JPEG, over black where it is transparent. */
export function toJpeg(picture: Thumbnail): Promise<Buffer> {
  return image(picture).flatten({ background: 'black' }).jpeg({ quality: 85 }).toBuffer();
}

function image({ rgba, width, height }: Thumbnail): Sharp {
  return sharp(rgba, { raw: { width, height, channels: 4 } });
}
