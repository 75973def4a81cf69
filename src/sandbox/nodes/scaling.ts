import { NodeFailure } from './failures.ts';
import { MAX_SIDE, type Picture, toPicture, toSharp } from './render.ts';

/** The 17 sizes that FluxKontextImageScale knows (`comfy_extras/nodes_flux.py`). */
const KONTEXT_SIZES: readonly (readonly [number, number])[] = [
  [672, 1568],
  [688, 1504],
  [720, 1456],
  [752, 1392],
  [800, 1328],
  [832, 1248],
  [880, 1184],
  [944, 1104],
  [1024, 1024],
  [1104, 944],
  [1184, 880],
  [1248, 832],
  [1328, 800],
  [1392, 752],
  [1456, 720],
  [1504, 688],
  [1568, 672],
];

/** The width and height that ImageScale makes of a request in which 0 means "to keep the shape" (`nodes.py`). */
export function scaledSize(
  picture: Picture,
  width: number,
  height: number,
): { width: number; height: number } {
  if (width === 0 && height === 0) return { width: picture.width, height: picture.height };
  if (width === 0)
    return { width: Math.max(1, Math.round((picture.width * height) / picture.height)), height };
  if (height === 0)
    return { width, height: Math.max(1, Math.round((picture.height * width) / picture.width)) };
  return { width, height };
}

/** The size of about so many megapixels (of 1024 * 1024) in the picture's shape, each side a multiple of `multiple`. */
export function megapixelSize(
  picture: Picture,
  megapixels: number,
  multiple: number,
): { width: number; height: number } {
  const scale = Math.sqrt((megapixels * 1024 * 1024) / (picture.width * picture.height));
  const side = (length: number): number =>
    Math.max(multiple, Math.round((length * scale) / multiple) * multiple);
  return { width: side(picture.width), height: side(picture.height) };
}

/** The Kontext size whose shape is nearest. */
export function kontextSize(picture: Picture): { width: number; height: number } {
  const shape = picture.width / picture.height;
  const [width, height] = KONTEXT_SIZES.reduce((best, size) =>
    Math.abs(size[0] / size[1] - shape) < Math.abs(best[0] / best[1] - shape) ? size : best,
  );
  return { width, height };
}

/** Scales; with `crop` the middle is kept in shape, without it the picture is stretched. */
export async function scale(
  picture: Picture,
  width: number,
  height: number,
  crop: boolean,
): Promise<Picture> {
  if (width > MAX_SIDE || height > MAX_SIDE) {
    throw new NodeFailure('RuntimeError', `a picture of ${width}x${height} is too large`);
  }
  if (width === picture.width && height === picture.height) return picture;
  return toPicture(
    toSharp(picture).resize(width, height, { fit: crop ? 'cover' : 'fill', kernel: 'lanczos3' }),
  );
}
