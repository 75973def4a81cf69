import type { JobSnapshot } from '../client/client.ts';
import { createConnection, request } from '../client/connection.ts';
import { chooseProtocol, createPane, loadSharp, type PreviewChoice } from './graphics.ts';
import type { Remote } from './remote.ts';

/** Draws a job's previews while it runs. */
export interface Previews {
  /** Takes a snapshot. Its preview is drawn soon, or never when a newer one comes first. */
  show(job: JobSnapshot): void;
  /** Stops. For a completed job, draws the output image before it resolves, unless the signal aborts. Never rejects. */
  finish(job: JobSnapshot | null, signal: AbortSignal): Promise<void>;
}

/** Where the images come from: bytes, or null when there is none. Rejects when the signal aborts. */
export interface PreviewSource {
  preview(id: string, signal: AbortSignal): Promise<Uint8Array | null>;
  result(id: string, signal: AbortSignal): Promise<Uint8Array | null>;
}

/** Time between drawings, in milliseconds: over a slow line, a preview is some hundred kilobytes. */
const PAUSE_MS = 500;
/** How long the output image may take, in milliseconds. It is only decoration: the command goes on without it. */
const RESULT_MS = 10_000;
/** Larger images are not read: a preview is some kilobytes, an output image in WebP a megabyte or two. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Previews on standard error by the protocol chosen for the terminal; null when it shows no images. */
export async function choosePreviews(remote: Remote, choice: PreviewChoice): Promise<Previews | null> {
  const protocol = chooseProtocol(choice, process);
  if (protocol === null) return null;
  // Here, not with the first preview: loading it would delay the progress.
  await loadSharp();
  const pane = createPane(process.stderr, protocol);
  return createPreviews(createSource(remote), bytes => pane.draw(bytes));
}

/** Draws previews one at a time. Skips one that cannot be fetched or drawn: the job does not depend on it. */
export function createPreviews(source: PreviewSource, draw: (bytes: Uint8Array) => Promise<void>): Previews {
  const stopped = new AbortController();
  let newest: JobSnapshot | null = null;
  let drawn: string | null = null;
  let drawing: Promise<void> | null = null;
  let pause: NodeJS.Timeout | null = null;

  function next(): void {
    const url = newest?.preview?.url;
    if (newest === null || url == null || url === drawn) return;
    if (drawing !== null || pause !== null || stopped.signal.aborted) return;
    drawn = url;
    drawing = drawOne(source.preview(newest.id, stopped.signal), draw, stopped.signal).finally(() => {
      drawing = null;
      if (stopped.signal.aborted) return;
      pause = setTimeout(() => {
        pause = null;
        next();
      }, PAUSE_MS);
    });
  }

  return {
    show(job) {
      newest = job;
      next();
    },
    async finish(job, signal) {
      stopped.abort();
      if (pause !== null) clearTimeout(pause);
      await drawing;
      if (job?.status !== 'COMPLETED' || signal.aborted) return;
      const either = AbortSignal.any([signal, AbortSignal.timeout(RESULT_MS)]);
      await drawOne(source.result(job.id, either), draw, either);
    },
  };
}

async function drawOne(
  fetched: Promise<Uint8Array | null>,
  draw: (bytes: Uint8Array) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  try {
    const bytes = await fetched;
    if (bytes !== null && !signal.aborted) await draw(bytes);
  } catch {
    // Expired, too late or not an image: the bar goes on, and the outcome of the job is printed anyway.
  }
}

/** Builds the URLs itself instead of taking those of a snapshot, so that the key is sent to the gateway alone. */
function createSource({ url, apiKey }: Remote): PreviewSource {
  const connection = createConnection({ url, apiKey });
  const read = async (path: string, signal: AbortSignal): Promise<Uint8Array | null> => {
    const { ok, body } = await request(connection, connection.at(path), {}, signal);
    if (ok && body !== null) return readAtMost(body, MAX_BYTES);
    await body?.cancel();
    return null;
  };
  return {
    preview: (id, signal) => read(`preview/${encodeURIComponent(id)}`, signal),
    result: (id, signal) => read(`download/${encodeURIComponent(id)}?format=webp`, signal),
  };
}

async function readAtMost(body: ReadableStream<Uint8Array>, limit: number): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    // Leaving the loop cancels the body.
    if (size > limit) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
