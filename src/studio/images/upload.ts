/** An upload that ended: its id and, in milliseconds since 1970, when that expires, or why it was rejected. */
export type UploadOutcome =
  | { readonly ok: true; readonly uploadId: string; readonly expiresAt: number }
  | { readonly ok: false; readonly status: number | null; readonly message: string | null };

/** How an image gets to the gateway. */
export interface UploadOptions {
  /** The address of POST `/upload`. */
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Called with the part that is sent, 0 to 1. */
  readonly onProgress: (part: number) => void;
}

/**
 * Sends an image to POST `/upload`. An XMLHttpRequest, because a browser tells how far an upload is in no other way.
 * `status` is null when there was no response. Rejects with the signal's reason when that aborts.
 */
export function sendImage(
  image: Blob,
  { url, headers, signal, onProgress }: UploadOptions,
): Promise<UploadOutcome> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = (): void => {
      request.abort();
      reject(signal.reason);
    };
    request.open('POST', url);
    request.responseType = 'json';
    request.setRequestHeader('content-type', 'application/octet-stream');
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener('progress', event => {
      if (event.lengthComputable && event.total > 0) onProgress(event.loaded / event.total);
    });
    request.addEventListener('error', () => resolve({ ok: false, status: null, message: null }));
    request.addEventListener('load', () => {
      const body: unknown = request.response;
      const uploadId = textIn(body, 'upload_id');
      if (request.status < 300 && uploadId !== null) {
        const expiresAt = Date.parse(textIn(body, 'expires_at') ?? '') || 0;
        resolve({ ok: true, uploadId, expiresAt });
      } else resolve({ ok: false, status: request.status, message: textIn(body, 'detail') });
    });
    request.addEventListener('loadend', () => signal.removeEventListener('abort', abort));
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort);
    request.send(image);
  });
}

function textIn(body: unknown, name: string): string | null {
  if (typeof body !== 'object' || body === null) return null;
  const value: unknown = Reflect.get(body, name);
  return typeof value === 'string' ? value : null;
}
