import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';

/** An image for the input folder of an engine. Name and subfolder have no quotes or line ends. */
export interface EngineUpload {
  readonly name: string;
  readonly subfolder: string;
  readonly bytes: Uint8Array;
  readonly mimeType: string;
}

/** Written to the socket at once. */
const PIECE_BYTES = 256 * 1024;

/**
 * The form of POST /upload/image (`server.py`, image_upload) as multipart/form-data (RFC 7578). Sends the bytes without copying them: a
 * FormData with a Blob copies them several times, which holds the event loop.
 */
export function uploadForm({ name, subfolder, bytes, mimeType }: EngineUpload): {
  body: Readable;
  headers: Record<string, string>;
} {
  const boundary = `qwen-edit-${randomUUID()}`;
  const partOf = (field: string, rest: string) =>
    `--${boundary}\r\ncontent-disposition: form-data; name="${field}"${rest}\r\n\r\n`;
  const image = partOf('image', `; filename="${name}"\r\ncontent-type: ${mimeType}`);
  const head = Buffer.from(
    `${partOf('type', '')}input\r\n${partOf('subfolder', '')}${subfolder}\r\n${image}`,
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  function* pieces(): Generator<Uint8Array, void> {
    yield head;
    for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
    yield tail;
  }
  return {
    body: Readable.from(pieces(), { objectMode: false }),
    headers: {
      'content-type': `multipart/form-data; boundary=${boundary}`,
      'content-length': String(head.byteLength + bytes.byteLength + tail.byteLength),
    },
  };
}
