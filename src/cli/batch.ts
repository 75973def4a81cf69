import { mkdir, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import type {
  BatchSnapshot,
  Client,
  EditManyResult,
  JobSnapshot,
  RetryFailedResult,
} from '../client/client.ts';
import type { SubmitOptions, WaitOptions } from './follow.ts';
import { saveImage } from './image-files.ts';
import { CommandFailure, failureCode, note, printJson, say, untilInterrupted } from './outcome.ts';
import { createBatchView } from './progress.ts';

/** The file name of a job's output image; `index` is the job's place in the batch, from 0. */
export type NameOf = (job: JobSnapshot, index: number) => string;

/** Jobs of a batch that are read at once. */
const PAGE = 100;

/** The batch of a submit. Throws CommandFailure for one that was rejected. */
export function batchOf(result: EditManyResult | RetryFailedResult): BatchSnapshot {
  switch (result.__typename) {
    case 'EditBatch':
      return result;
    case 'EditInvalidInput':
    case 'EditImageRejected':
    case 'EditQueueFull':
    case 'EditLimitReached':
    case 'EditNotAllowed':
    case 'EditBatchNotFound':
      throw new CommandFailure(`${result.code}: ${result.message}`, failureCode(result.retryable));
    default:
      return result satisfies never;
  }
}

/** Throws CommandFailure for options of a batch that could only fail once it has ended. Makes the directory of `--out`. */
export async function prepareBatchOutput({ out, open }: WaitOptions): Promise<void> {
  if (open === true) throw new CommandFailure('--open opens one image, and a batch has several', 2);
  if (out === undefined) return;
  if (out === '-') throw new CommandFailure('A batch has several images: --out <directory>', 2);
  const found = await stat(out).catch(() => null);
  if (found !== null && !found.isDirectory()) {
    throw new CommandFailure(`A batch has several images: --out names a directory, and ${out} is a file`, 2);
  }
  try {
    await mkdir(out, { recursive: true });
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new CommandFailure(`Cannot make the directory ${out}: ${reason}`);
  }
}

/** Waits for a batch that was just submitted, with `--out` and `--watch`; otherwise prints its id. */
export async function followBatch(
  client: Client,
  batch: BatchSnapshot,
  options: SubmitOptions,
  nameOf: NameOf,
): Promise<void> {
  const { out, watch, json } = options;
  if (out !== undefined || watch === true) await waitForBatch(client, batch.id, options, nameOf);
  else if (json === true) printJson(batch);
  if (out === undefined && json !== true) say(batch.id);
}

/**
 * Shows a batch as one bar until all jobs have ended, and saves the images of those that have completed to the directory `out`,
 * by the names that `nameOf` gives them. Throws CommandFailure unless all have completed.
 */
export async function waitForBatch(
  client: Client,
  id: string,
  options: WaitOptions,
  nameOf: NameOf,
): Promise<void> {
  const { out, json } = options;
  const goOn = `The jobs go on.\n  qwen-edit watch ${id}\n  qwen-edit cancel ${id}`;
  const last = await untilInterrupted(goOn, async signal => {
    const state = await showBatch(client, id, json === true, signal);
    if (out !== undefined) await saveAll(client, id, out, nameOf, json === true, signal);
    return state;
  });
  if (last === null) throw new CommandFailure(`The batch ${id} was deleted`);
  const { completed, total, failed, canceled } = last;
  if (completed === total) return;
  const retry = failed > 0 ? `\n  qwen-edit retry ${id}` : '';
  throw new CommandFailure(
    `${completed} of ${total} completed, ${failed} failed, ${canceled} canceled${retry}`,
  );
}

async function showBatch(
  client: Client,
  id: string,
  json: boolean,
  signal: AbortSignal,
): Promise<BatchSnapshot | null> {
  const view = createBatchView(process.stderr, json);
  let last: BatchSnapshot | null = null;
  try {
    for await (const batch of client.watchBatch(id, {
      signal,
      onRetry: ({ message }) => view.lost(message),
    })) {
      view.show(batch);
      last = batch;
    }
  } finally {
    view.done();
  }
  return last;
}

async function saveAll(
  client: Client,
  id: string,
  out: string,
  nameOf: NameOf,
  json: boolean,
  signal: AbortSignal,
): Promise<void> {
  let after: string | null | undefined = null;
  let index = 0;
  let saved = 0;
  do {
    const page = await client.batchJobs(id, { first: PAGE, after }, { signal });
    if (page === null) throw new CommandFailure(`The batch ${id} was deleted`);
    for (const job of page.nodes) {
      const file = join(out, nameOf(job, index));
      index += 1;
      if (job.status === 'COMPLETED') {
        await saveImage(client, job.id, file, { signal });
        saved += 1;
      } else if (job.error != null) note(`${file}  ${job.error.code}: ${job.error.message}`);
    }
    after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
  } while (after != null);
  if (!json) say(`Saved ${saved} image${saved === 1 ? '' : 's'} in ${out}`);
}

/** Names for the output images of edits, each of one input image or of all of them, with some variations. */
export function outputNames(words: readonly string[], each: boolean, variations: number): NameOf {
  const stems = (each ? words : words.slice(0, 1)).map(stemOf);
  const taken = new Map<string, number>();
  const unique = stems.map(stem => {
    const before = taken.get(stem) ?? 0;
    taken.set(stem, before + 1);
    return before === 0 ? stem : `${stem}_${before + 1}`;
  });
  return (job, index) => {
    const stem = unique[Math.floor(index / variations)] ?? job.id;
    const [image] = job.images;
    const extension = image === undefined ? '.png' : extname(image.filename) || '.png';
    return variations === 1 ? `${stem}${extension}` : `${stem}-${(index % variations) + 1}${extension}`;
  };
}

/** Names by the ids of the jobs, where the names of the input images are unknown. */
export function namesById(job: JobSnapshot): string {
  return `${job.id.replace(/[^\w-]/g, '')}.png`;
}

/** The name of an input image without its folder and extension. */
function stemOf(word: string): string {
  if (/^data:/i.test(word) || word === '-') return 'image';
  const path = URL.canParse(word) && /^https?:/i.test(word) ? new URL(word).pathname : word;
  const stem = basename(path, extname(path))
    .replace(/[^\p{L}\p{N}_ .-]/gu, '_')
    .replace(/^[.-]+/, '');
  return stem === '' ? 'image' : stem;
}
