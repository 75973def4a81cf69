import { effect, type ReadonlySignal, signal } from '@preact/signals';
import type { Client } from '../../client/client.ts';
import type { Images } from '../images/images.ts';
import type { Parameters } from './parameters.ts';
import type { Size } from './shape.ts';

/** The size that the result of the edit will have. */
export interface ResultSize {
  /** Null: image 1 has not been read, or the workflow decides. */
  readonly size: ReadonlySignal<Size | null>;
  stop(): void;
}

/** How long a slider rests before the size is computed, in milliseconds. */
const REST_MS = 120;

/** Computed by the gateway, as it will be for the job. */
export function createResultSize({
  client,
  images,
  parameters,
}: {
  readonly client: Client;
  readonly images: Images;
  readonly parameters: Parameters;
}): ResultSize {
  const size = signal<Size | null>(null);
  const stop = effect(() => {
    const first = images.list.value[0]?.size ?? null;
    const workflow = parameters.workflow.value;
    const megapixels = parameters.values.value.megapixels;
    if (first === null || workflow === null) {
      size.value = null;
      return;
    }
    const leave = new AbortController();
    const image = { ...first, megapixels: typeof megapixels === 'number' ? megapixels : null };
    const timer = setTimeout(() => {
      client.resultSize(workflow.name, image, { signal: leave.signal }).then(
        found => {
          size.value = found;
        },
        () => {
          // Only a hint: what keeps the gateway from answering is shown where it matters.
          if (!leave.signal.aborted) size.value = null;
        },
      );
    }, REST_MS);
    return () => {
      clearTimeout(timer);
      leave.abort();
    };
  });
  return { size, stop };
}
