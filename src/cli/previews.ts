import type { JobSnapshot } from '../client/client.ts';

/** Shows how a job's picture comes about, beside its progress. */
export interface Previews {
  /** Takes a snapshot; its preview is drawn soon, or never when a newer one comes first. */
  show(job: JobSnapshot): void;
  /** Stops; for a completed job it draws the picture before it resolves, unless the signal aborts. Never rejects. */
  finish(job: JobSnapshot | null, signal: AbortSignal): Promise<void>;
}

/** Where the pictures come from: bytes, or null when there is none. Rejects when the signal aborts. */
export interface PictureSource {
  preview(id: string, signal: AbortSignal): Promise<Uint8Array | null>;
  result(id: string, signal: AbortSignal): Promise<Uint8Array | null>;
}

/** Drawn at most twice a second: a preview over a slow line is some hundred kilobytes. */
const PAUSE_MS = 500;
/** How long the finished picture may take, in milliseconds. It is on the screen for show: the command goes on without. */
const RESULT_MS = 10_000;

/** Draws a job's previews one at a time. A preview that cannot be had or drawn is left out: the job does not need it. */
export function createPreviews(source: PictureSource, draw: (bytes: Uint8Array) => Promise<void>): Previews {
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
  coming: Promise<Uint8Array | null>,
  draw: (bytes: Uint8Array) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  try {
    const bytes = await coming;
    if (bytes !== null && !signal.aborted) await draw(bytes);
  } catch {
    // Gone, too late or not a picture: the bar goes on, and the outcome of the job is told by other means.
  }
}
