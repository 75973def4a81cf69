import { type Connection, readJson, request } from './connection.ts';
import { notFound, refusalOf, refused, unreachable, wordsOf } from './errors.ts';

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
  /** Errors with a GatewayError when the picture breaks off, with the signal's reason when that aborts. */
  readonly body: ReadableStream<Uint8Array>;
  bytes(): Promise<Uint8Array>;
}

/** Fetches a picture. Rejects with a GatewayError when it is not there: 400 before the job's end, 404 after it is gone. */
export async function download(
  connection: Connection,
  id: string,
  { index, format, quality }: Omit<DownloadOptions, 'signal'>,
  signal: AbortSignal,
): Promise<Download> {
  const url = connection.at(`download/${encodeURIComponent(id)}`);
  for (const [name, value] of Object.entries({ index, format, quality })) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  const answer = await request(connection, url, {}, signal);
  const { headers, status } = answer;
  if (!answer.ok) {
    const refusal = refusalOf(answer, await readJson(answer, signal));
    throw status === 404 ? notFound(refusal.message, { status }) : refusal;
  }
  if (answer.body === null) throw refused('The answer has no picture', { status });
  const body = telling(answer.body, signal);
  const length = headers.get('content-length');
  return {
    mimeType: headers.get('content-type') ?? 'application/octet-stream',
    filename: /filename="([^"]+)"/.exec(headers.get('content-disposition') ?? '')?.[1] ?? id,
    size: length === null ? null : Number(length),
    body,
    bytes: async () => new Uint8Array(await new Response(body).arrayBuffer()),
  };
}

/** The same bytes, read no sooner; when they break off it says so by an error of ours. */
function telling(body: ReadableStream<Uint8Array>, signal: AbortSignal): ReadableStream<Uint8Array> {
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
          throw unreachable(`The picture broke off: ${wordsOf(cause)}`, cause);
        }
      },
      cancel: reason => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
