import { createConnection, request } from '../client/connection.ts';
import type { Remote } from './commands/remote.ts';
import type { PictureSource } from './previews.ts';

/** Larger ones are not read: a frame of a preview is some kilobytes, a finished picture in WebP a megabyte or two. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Pictures of jobs from the gateway that the command speaks to. The addresses are made of its own, not taken from a
 * snapshot, so that the key goes nowhere else.
 */
export function createPictureSource({ url, apiKey }: Pick<Remote, 'url' | 'apiKey'>): PictureSource {
  const connection = createConnection({ url, apiKey });
  const read = async (path: string, signal: AbortSignal): Promise<Uint8Array | null> => {
    const { ok, body } = await request(connection, connection.at(path), {}, signal);
    if (ok && body !== null) return readSome(body);
    await body?.cancel();
    return null;
  };
  return {
    preview: (id, signal) => read(`preview/${encodeURIComponent(id)}`, signal),
    result: (id, signal) => read(`download/${encodeURIComponent(id)}?format=webp`, signal),
  };
}

async function readSome(body: ReadableStream<Uint8Array>): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    // Leaving the loop cancels the body.
    if (size > MAX_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
