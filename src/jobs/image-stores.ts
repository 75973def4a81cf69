import type { Readable, Writable } from 'node:stream';
import { collectBytes, collectHashed, type HashedBytes } from '../images/collected-bytes.ts';
import type { ImageMimeType } from '../images/formats.ts';

/** An entry of a list of artifacts. */
export interface StoredArtifact {
  readonly key: string;
  readonly bytes: number;
  /**
   * Milliseconds since 1970 by the store's own clock, exact to the second. For a large artifact uploaded in parts
   * possibly when the upload started.
   */
  readonly modifiedAt: number;
}

/** Bytes by key. A key consists of parts of `[A-Za-z0-9._-]` joined by `/`. */
export interface Artifacts {
  /** Stores all or nothing. Returns the number of bytes. */
  put(key: string, source: Uint8Array | Readable): Promise<number>;
  /** Null if there is none. `range` is in bytes, both ends included. */
  get(key: string, range?: { start: number; end: number }): Promise<Readable | null>;
  /**
   * Like `get`, to send the bytes only: the function writes them to a sink and ends it. It resolves once all are
   * written, and rejects if they cannot be read or the sink closes. Call it once. Optional: streams work, too.
   */
  sender?(
    key: string,
    range?: { start: number; end: number },
  ): Promise<((sink: Writable) => Promise<void>) | null>;
  size(key: string): Promise<number | null>;
  remove(key: string): Promise<void>;
  /** Every stored key below the prefix. */
  list(prefix: string): Promise<StoredArtifact[]>;
  /** A URL from which a client can GET the bytes without the gateway. Null: this artifact has none. Optional. */
  signedUrl?(key: string, options: SignedUrlOptions): Promise<string | null>;
}

/** All bytes of an artifact, null if there is none. `expected`: their number where it is known. */
export async function readArtifact(
  artifacts: Artifacts,
  key: string,
  expected: number | null = null,
): Promise<Buffer | null> {
  const content = await artifacts.get(key);
  if (content === null) return null;
  const bytes = collectBytes(expected);
  for await (const chunk of content) {
    const next: Uint8Array = chunk;
    bytes.append(next);
  }
  return bytes.all();
}

/** The same with their hash. */
export async function readHashed(
  artifacts: Artifacts,
  key: string,
  expected: number | null = null,
): Promise<HashedBytes | null> {
  const content = await artifacts.get(key);
  return content === null ? null : collectHashed(content, expected);
}

export interface SignedUrlOptions {
  readonly expiresSeconds: number;
  /** `Content-Type` of the response, and the name in its `Content-Disposition`. */
  readonly mimeType: ImageMimeType;
  readonly filename: string;
}

export interface PreviewImage {
  readonly sequence: number;
  readonly mimeType: ImageMimeType;
  readonly bytes: Uint8Array;
}

/** The newest preview of each running job; dropped at its end. */
export interface Previews {
  put(jobId: string, preview: PreviewImage): Promise<void>;
  get(jobId: string): Promise<PreviewImage | null>;
  drop(jobId: string): Promise<void>;
}
