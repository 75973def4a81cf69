import { type Connection, readJson, request } from './connection.ts';
import { refusalOf, refused } from './errors.ts';
import type { ImageSource } from './generated/operations.ts';

/** A picture to edit: the URL of one, its bytes, or what `ImageSource` of the schema takes. */
export type ImageInput = string | URL | Blob | Uint8Array<ArrayBuffer> | ImageSource;

/** Bytes to characters at once: arguments of a call are limited. */
const CHUNK = 0x8000;

/** What is sent for a picture; bytes go the way that `send` says. */
export async function toImageSource(
  image: ImageInput,
  send: (bytes: Blob) => Promise<ImageSource>,
): Promise<ImageSource> {
  if (typeof image === 'string') return /^data:/i.test(image) ? { dataUri: image } : { url: image };
  if (image instanceof URL) return { url: image.href };
  if (image instanceof Blob) return send(image);
  if (image instanceof Uint8Array) return send(new Blob([image]));
  return image;
}

/** The bytes within the operation. The gateway looks at them, whatever type they claim to be. */
export async function asDataUri(picture: Blob): Promise<ImageSource> {
  const bytes = new Uint8Array(await picture.arrayBuffer());
  let text = '';
  for (let start = 0; start < bytes.length; start += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  }
  return { dataUri: `data:;base64,${btoa(text)}` };
}

/** Sends a picture ahead by `POST /upload`. Resolves with its `uploadId`. */
export async function upload(connection: Connection, picture: Blob, signal: AbortSignal): Promise<string> {
  const init = { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: picture };
  const answer = await request(connection, connection.at('upload'), init, signal);
  const body = await readJson(answer, signal);
  if (!answer.ok) throw refusalOf(answer, body);
  if (
    typeof body === 'object' &&
    body !== null &&
    'upload_id' in body &&
    typeof body.upload_id === 'string'
  ) {
    return body.upload_id;
  }
  throw refused('The answer to the upload names none', { status: answer.status });
}
