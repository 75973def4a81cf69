import type { Sharp } from 'sharp';
import type { ImageMimeType } from './formats.ts';

/** The image in a format; `quality` is 1 to 100, without effect on PNG. */
export function encodeAs(image: Sharp, mimeType: ImageMimeType, quality: number): Sharp {
  switch (mimeType) {
    case 'image/png':
      return image.png();
    case 'image/jpeg':
      // JPEG has no transparency, and the default background is black.
      return image.flatten({ background: 'white' }).jpeg({ quality });
    case 'image/webp':
      return image.webp({ quality });
    default:
      return mimeType satisfies never;
  }
}
