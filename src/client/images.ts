import { type Connection, readJson, request } from './connection.ts';
import { errorOfHttp, messageOf, notFound, refused, unreachable } from './errors.ts';
import type { EditImageSource } from './generated/operations.ts';

/** An input image: its URL, its bytes, or an `EditImageSource` of the schema. */
export type ImageInput = string | URL | Blob | Uint8Array<ArrayBuffer> | EditImageSource;

/** Bytes per `String.fromCharCode`: the number of arguments is limited. */
const CHUNK = 0x8000;

/** The `EditImageSource` of an image; `send` decides how bytes are sent. */
export async function toImageSource(
  image: ImageInput,
  send: (bytes: Blob) => Promise<EditImageSource>,
): Promise<EditImageSource> {
  if (typeof image === 'string') return /^data:/i.test(image) ? { dataUri: image } : { url: image };
  if (image instanceof URL) return { url: image.href };
  if (image instanceof Blob) return send(image);
  if (image instanceof Uint8Array) return send(new Blob([image]));
  return image;
}

/** The bytes within the operation, without a media type: the gateway detects the format. */
export async function asDataUri(image: Blob): Promise<EditImageSource> {
  const bytes = new Uint8Array(await image.arrayBuffer());
  let text = '';
  for (let start = 0; start < bytes.length; start += CHUNK) {
    text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  }
  return { dataUri: `data:;base64,${btoa(text)}` };
}

/** Uploads an image by `POST /upload`. Resolves with its `uploadId`. */
export async function upload(connection: Connection, image: Blob, signal: AbortSignal): Promise<string> {
  const init = { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: image };
  const response = await request(connection, connection.at('upload'), init, signal);
  const body = await readJson(response, signal);
  if (!response.ok) throw errorOfHttp(response, body);
  if (
    typeof body === 'object' &&
    body !== null &&
    'upload_id' in body &&
    typeof body.upload_id === 'string'
  ) {
    return body.upload_id;
  }
  throw refused('The response to the upload has no upload_id', { status: response.status });
}

export interface DownloadOptions {
  /** Which of the job's output images, from 0. Default: 0. */
  readonly index?: number | undefined;
  /** Default: the format in which the engine wrote it. */
  readonly format?: 'png' | 'jpeg' | 'webp' | undefined;
  /** 1 to 100, for jpeg and webp. */
  readonly quality?: number | undefined;
  /** Scales the image down to this width, 16 to 8192 pixels. Default: its own. */
  readonly width?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An output image being downloaded. Read it once: as `body`, or with `bytes()`. */
export interface Download {
  readonly mimeType: string;
  readonly filename: string;
  /** In bytes; null when the gateway converts the image. */
  readonly size: number | null;
  /** Errors with a GatewayError when the download breaks off, with the signal's reason when that aborts. */
  readonly body: ReadableStream<Uint8Array>;
  bytes(): Promise<Uint8Array>;
}

/** Downloads an output image. Rejects with a GatewayError: status 400 until the job has completed, 404 once it is gone. */
export async function download(
  connection: Connection,
  id: string,
  { index, format, quality, width }: Omit<DownloadOptions, 'signal'>,
  signal: AbortSignal,
): Promise<Download> {
  const url = connection.at(`download/${encodeURIComponent(id)}`);
  for (const [name, value] of Object.entries({ index, format, quality, width })) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  const response = await request(connection, url, {}, signal);
  const { headers, status } = response;
  if (!response.ok) {
    const error = errorOfHttp(response, await readJson(response, signal));
    throw status === 404 ? notFound(error.message, { status }) : error;
  }
  if (response.body === null) throw refused('The response has no body', { status });
  const body = reportingErrors(response.body, signal);
  const length = headers.get('content-length');
  return {
    mimeType: headers.get('content-type') ?? 'application/octet-stream',
    filename: /filename="([^"]+)"/.exec(headers.get('content-disposition') ?? '')?.[1] ?? id,
    size: length === null ? null : Number(length),
    body,
    bytes: async () => new Uint8Array(await new Response(body).arrayBuffer()),
  };
}

/** The same bytes, read only on demand; a failure becomes a GatewayError. */
function reportingErrors(body: ReadableStream<Uint8Array>, signal: AbortSignal): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { value, done } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (cause) {
          if (signal.aborted) throw signal.reason;
          throw unreachable(`The download broke off: ${messageOf(cause)}`, cause);
        }
      },
      cancel: reason => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
