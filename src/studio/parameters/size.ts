import { computed, effect, type ReadonlySignal, signal } from '@preact/signals';
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
  // The images change with every step of an upload, their sizes do not.
  const width = computed(() => images.list.value[0]?.size?.width);
  const height = computed(() => images.list.value[0]?.size?.height);
  const megapixels = computed(() => {
    const { megapixels: value } = parameters.values.value;
    return typeof value === 'number' ? value : null;
  });
  const stop = effect(() => {
    const workflow = parameters.workflow.value?.name;
    if (width.value === undefined || height.value === undefined || workflow === undefined) {
      size.value = null;
      return;
    }
    const leave = new AbortController();
    const image = { width: width.value, height: height.value, megapixels: megapixels.value };
    const timer = setTimeout(() => {
      client.resultSize(workflow, image, { signal: leave.signal }).then(
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
