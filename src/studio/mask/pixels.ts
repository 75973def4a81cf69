import { imageDataRGB } from 'stackblur-canvas';

/** A width and a height in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** As many pixels as iOS gives a canvas. The gateway scales a mask of the shape of its image. */
const MAX_PIXELS = 4096 * 4096;
/** Side of the picture that is averaged for `coverage`. */
const SAMPLE = 64;

/** The size of the mask of an image: that of the image, or the largest of its shape that a canvas can have. */
export function maskSize({ width, height }: Size): Size {
  const scale = Math.min(1, Math.sqrt(MAX_PIXELS / (width * height)));
  return { width: Math.round(width * scale), height: Math.round(height * scale) };
}

/**
 * The painted canvas as a grey PNG: white where it is opaque, black where it is not. Edges are softened over `feather`
 * pixels to both sides. Null: nothing is painted.
 */
export async function toPng(painted: HTMLCanvasElement, feather: number): Promise<Blob | null> {
  const { width, height } = painted;
  const { canvas, context } = makeCanvas({ width, height });
  context.drawImage(painted, 0, 0);
  context.globalCompositeOperation = 'source-in';
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = 'destination-over';
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  if (isBlack(pixels.data)) return null;
  // Not context.filter, which Safari lacks.
  if (feather >= 1)
    context.putImageData(imageDataRGB(pixels, 0, 0, width, height, Math.round(feather)), 0, 0);
  return new Promise((resolve, reject) => {
    canvas.toBlob(
      blob => (blob === null ? reject(new Error('The browser cannot encode the mask')) : resolve(blob)),
      'image/png',
    );
  });
}

/** The reverse of `toPng`: a canvas of one color, opaque where the image is white. */
export async function fromPng(png: Blob, color: string): Promise<HTMLCanvasElement> {
  const bitmap = await createImageBitmap(png);
  const { canvas, context } = makeCanvas(bitmap);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < pixels.data.length; at += 4) pixels.data[at + 3] = pixels.data[at] ?? 0;
  context.putImageData(pixels, 0, 0);
  context.globalCompositeOperation = 'source-in';
  context.fillStyle = color;
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

/** How much of the canvas is painted, 0 to 1. About: it is measured on a smaller picture. */
export function coverage(painted: HTMLCanvasElement): number {
  const { context } = makeCanvas({ width: SAMPLE, height: SAMPLE });
  context.imageSmoothingQuality = 'high';
  context.drawImage(painted, 0, 0, SAMPLE, SAMPLE);
  const { data } = context.getImageData(0, 0, SAMPLE, SAMPLE);
  let sum = 0;
  for (let at = 3; at < data.length; at += 4) sum += data[at] ?? 0;
  return sum / (255 * SAMPLE * SAMPLE);
}

export function contextOf(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext('2d');
  if (context === null) throw new Error('The browser has no 2D canvas');
  return context;
}

function makeCanvas({ width, height }: Size): {
  canvas: HTMLCanvasElement;
  context: CanvasRenderingContext2D;
} {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  return { canvas, context: contextOf(canvas) };
}

function isBlack(data: Uint8ClampedArray): boolean {
  for (let at = 0; at < data.length; at += 4) {
    if (data[at] !== 0) return false;
  }
  return true;
}
