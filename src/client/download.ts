import { type Connection, request } from './connection.ts';
import { GatewayError, refusalOf } from './errors.ts';

export interface DownloadOptions {
  /** Which of the job's pictures, from 0. Left out: the first. */
  readonly index?: number;
  /** Left out: as the engine wrote it. */
  readonly format?: 'png' | 'jpeg' | 'webp';
  /** 1 to 100, for jpeg and webp. */
  readonly quality?: number;
  readonly signal?: AbortSignal;
}

/** A finished picture on its way. Read it once: as `body`, or by `bytes()`. */
export interface Download {
  readonly mimeType: string;
  readonly filename: string;
  /** Null when it is converted on the way. */
  readonly size: number | null;
  readonly body: ReadableStream<Uint8Array>;
  bytes(): Promise<Uint8Array>;
}

/** Fetches a picture. Rejects with a GatewayError when it is not there: 400 before the job's end, 404 after it is gone. */
export async function download(
  connection: Connection,
  id: string,
  { index, format, quality, signal }: DownloadOptions,
): Promise<Download> {
  const url = connection.at(`download/${encodeURIComponent(id)}`);
  for (const [name, value] of Object.entries({ index, format, quality })) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  const answer = await request(connection, url, { signal: signal ?? null });
  if (!answer.ok) throw await refusalOf(answer);
  const { body, headers } = answer;
  if (body === null) throw new GatewayError('unreachable', 'The answer has no picture');
  const length = headers.get('content-length');
  return {
    mimeType: headers.get('content-type') ?? 'application/octet-stream',
    filename: /filename="([^"]+)"/.exec(headers.get('content-disposition') ?? '')?.[1] ?? id,
    size: length === null ? null : Number(length),
    body,
    async bytes() {
      try {
        return new Uint8Array(await answer.arrayBuffer());
      } catch (cause) {
        if (signal?.aborted) throw signal.reason;
        throw new GatewayError('unreachable', 'The picture broke off', { cause });
      }
    },
  };
}
