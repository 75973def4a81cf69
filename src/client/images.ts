import type { ImageSource } from './generated/operations.ts';

/** A picture to edit: the URL of one, its bytes, or what `ImageSource` of the schema takes. */
export type ImageInput = string | URL | Blob | Uint8Array | ImageSource;

/** Bytes to characters at once: arguments of a call are limited. */
const CHUNK = 0x8000;

/** What is sent for a picture. Bytes go as a data URI: the gateway looks at them, whatever type they claim to be. */
export async function toImageSource(image: ImageInput): Promise<ImageSource> {
  if (typeof image === 'string') return /^data:/i.test(image) ? { dataUri: image } : { url: image };
  if (image instanceof URL) return { url: image.href };
  if (image instanceof Blob) return { dataUri: toDataUri(new Uint8Array(await image.arrayBuffer())) };
  if (image instanceof Uint8Array) return { dataUri: toDataUri(image) };
  return image;
}

function toDataUri(bytes: Uint8Array): string {
  let text = '';
  for (let start = 0; start < bytes.length; start += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  }
  return `data:;base64,${btoa(text)}`;
}
