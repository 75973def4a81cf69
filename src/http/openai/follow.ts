import type { PreviewImage } from '../../jobs/image-stores.ts';
import { type Caller, isFinal, type Job } from '../../jobs/job.ts';
import type { OpenAIOptions } from './context.ts';

/** What a request hears of its jobs. */
export type Happening =
  | { readonly kind: 'partial'; readonly job: Job; readonly index: number; readonly frame: PreviewImage }
  /** `job` has ended; null: it was deleted. */
  | { readonly kind: 'ended'; readonly job: Job | null };

/**
 * Follows a job to its end, with up to `partials` previews on the way, evenly over its steps. Ends without a word when
 * `stop` aborts.
 */
async function* follow(
  { services }: Pick<OpenAIOptions, 'services'>,
  id: string,
  caller: Caller,
  partials: number,
  stop: AbortSignal,
): AsyncGenerator<Happening, void> {
  const stream = await services.jobs.watch(id, caller, { previews: partials > 0 });
  if (stream === null) {
    yield { kind: 'ended', job: null };
    return;
  }
  const leave = (): void => void stream.return();
  stop.addEventListener('abort', leave);
  if (stop.aborted) leave();
  let index = 0;
  let shown = -1;
  try {
    for await (const job of stream) {
      if (isFinal(job.status)) {
        yield { kind: 'ended', job };
        return;
      }
      const due = index < partials && shareOf(job) >= (index + 1) / (partials + 1);
      if (!due || job.preview === null || job.preview.sequence === shown) continue;
      const frame = await services.previews.get(id);
      if (frame === null) continue;
      shown = job.preview.sequence;
      yield { kind: 'partial', job, index, frame };
      index += 1;
    }
    if (!stop.aborted) yield { kind: 'ended', job: null };
  } finally {
    stop.removeEventListener('abort', leave);
    await stream.return();
  }
}

/** How much of its sampling a job has done, 0 to 1. */
function shareOf({ step, totalSteps, progress }: Job): number {
  return step !== null && totalSteps !== null && totalSteps > 0 ? step / totalSteps : progress / 100;
}

/**
 * Follows several jobs, and tells of each as it comes. Ends without a word when `stop` aborts; when it is left, it does not
 * wait until something happens to the others.
 */
export async function* followAll(
  options: Pick<OpenAIOptions, 'services'>,
  ids: readonly string[],
  caller: Caller,
  partials: number,
  stop: AbortSignal,
): AsyncGenerator<Happening, void> {
  const left = new AbortController();
  const until = AbortSignal.any([stop, left.signal]);
  const sources = ids.map(id => follow(options, id, caller, partials, until));
  const next = (source: AsyncGenerator<Happening, void>) =>
    source.next().then(result => ({ source, result }));
  const pending = new Map(sources.map(source => [source, next(source)]));
  try {
    while (pending.size > 0) {
      const { source, result } = await Promise.race(pending.values());
      if (result.done === true) {
        pending.delete(source);
        continue;
      }
      pending.set(source, next(source));
      yield result.value;
    }
  } finally {
    // A generator's `return()` waits for the `next()` that is pending.
    left.abort();
    await Promise.allSettled([...pending.values(), ...sources.map(source => source.return())]);
  }
}
