import { computed, effect, type ReadonlySignal, signal, untracked } from '@preact/signals';
import type { Workflow } from '../../client/client.ts';
import type { Announcer } from '../app/announcer.ts';
import type { Drafts } from '../images/drafts.ts';
import type { Images } from '../images/images.ts';
import type { Parameters } from '../parameters/parameters.ts';
import { texts } from '../texts.ts';
import { createPainting, type Painting, type PaintingStart, TINT } from './painting.ts';
import { fromPng, maskSize } from './pixels.ts';

/** A mask that was painted. */
export interface Mask extends PaintingStart {
  /** Of the image that it belongs to. */
  readonly imageId: number;
  readonly png: Blob;
  /** Its address for the style sheet. */
  readonly url: string;
}

/** The mask of image 1: what may change. */
export interface Masks {
  /** Null: all of image 1 may change. */
  readonly mask: ReadonlySignal<Mask | null>;
  /** The workflow that a mask is for: the chosen one or another. Null: there is none. */
  readonly workflow: ReadonlySignal<Workflow | null>;
  /** Whether a mask can be painted: there is a workflow for it, and image 1 is shown. */
  readonly offered: ReadonlySignal<boolean>;
  /** Why the gateway cannot use it. */
  readonly fault: ReadonlySignal<string | null>;
  /** Whether it is gone because its image is. */
  readonly dropped: ReadonlySignal<boolean>;
  /** The mask while it is painted. */
  readonly painting: ReadonlySignal<Painting | null>;
  /** Starts to paint, on the mask that is there. */
  open(): void;
  /** Leaves the mask as it was. */
  cancel(): void;
  /** Takes what was painted, and a workflow that makes use of it. Rejects when the browser cannot encode it. */
  accept(): Promise<void>;
  remove(): void;
  reject(message: string): void;
  /** Takes a grey PNG, white where image 1 may change, as the mask of the image that is the first now. */
  take(png: Blob): Promise<void>;
  /** Chooses the workflow that a mask is for. */
  chooseWorkflow(): void;
  /** Takes up the mask of the time when the page was closed. The images must be there already. */
  load(): Promise<void>;
  stop(): void;
}

export function createMasks({
  images,
  parameters,
  drafts,
  announcer,
}: {
  readonly images: Images;
  readonly parameters: Parameters;
  readonly drafts: Drafts;
  readonly announcer: Announcer;
}): Masks {
  const mask = signal<Mask | null>(null);
  const painting = signal<Painting | null>(null);
  const fault = signal<string | null>(null);
  const dropped = signal(false);
  /** The image that is painted on. */
  let paintedId: number | null = null;
  /** The workflow of the time before the mask, where accepting that chose another one. */
  let before: string | null = null;

  const first = computed(() => images.list.value[0] ?? null);
  // An image changes with every step of its upload.
  const firstId = computed(() => first.value?.id ?? null);
  const workflow = computed(() => {
    const able = parameters.workflows.value?.filter(({ takesMask }) => takesMask) ?? [];
    const chosen = parameters.workflow.value?.name;
    return (
      able.find(({ name }) => name === chosen) ?? able.find(({ runnable }) => runnable) ?? able[0] ?? null
    );
  });

  function show(next: Mask | null): void {
    const old = mask.peek();
    if (old !== null) URL.revokeObjectURL(old.url);
    mask.value = next;
    drafts.saveMask(next?.png ?? null);
    fault.value = null;
    dropped.value = false;
  }

  function chooseWorkflow(): void {
    const chosen = parameters.workflow.peek();
    const target = workflow.peek();
    if (target === null || chosen?.takesMask === true) return;
    before = chosen?.name ?? null;
    parameters.choose(target.name);
  }

  /** Removes the mask, and with it the workflow, which runs with a mask only. */
  function discard(): void {
    if (mask.peek() === null) return;
    show(null);
    const others = parameters.workflows.peek()?.filter(({ takesMask }) => !takesMask) ?? [];
    const other = others.find(({ name }) => name === before) ?? others.find(({ runnable }) => runnable);
    if (other !== undefined && parameters.workflow.peek()?.takesMask === true) parameters.choose(other.name);
    before = null;
  }

  async function take(png: Blob): Promise<void> {
    const imageId = firstId.peek();
    const image = await fromPng(png, TINT);
    if (imageId === null || imageId !== firstId.peek()) return;
    const url = URL.createObjectURL(png);
    show({ imageId, png, url, operations: [{ kind: 'image', image }], feather: 0 });
  }

  const stopFollowing = effect(() => {
    if (paintedId !== firstId.value) painting.value = null;
    if (mask.value === null || mask.value.imageId === firstId.value) return;
    untracked(discard);
    dropped.value = true;
    announcer.say(texts.mask.dropped);
  });

  return {
    mask,
    workflow,
    offered: computed(() => workflow.value !== null && first.value !== null && first.value.size !== null),
    fault,
    dropped,
    painting,
    open() {
      const size = first.peek()?.size;
      if (!size) return;
      paintedId = firstId.peek();
      painting.value = createPainting(maskSize(size), mask.peek() ?? { operations: [], feather: 0 });
    },
    cancel() {
      painting.value = null;
    },
    async accept() {
      const painted = painting.peek();
      const imageId = firstId.peek();
      if (painted === null || imageId === null) return;
      const png = await painted.toPng();
      painting.value = null;
      if (png === null) return discard();
      const { operations, feather } = painted;
      const url = URL.createObjectURL(png);
      show({ imageId, png, url, operations: operations.peek(), feather: feather.peek() });
      chooseWorkflow();
      announcer.say(texts.mask.accepted(workflow.peek()?.title ?? ''));
    },
    remove: discard,
    reject(message) {
      fault.value = message;
    },
    take,
    chooseWorkflow,
    async load() {
      const png = await drafts.loadMask();
      // One that cannot be read is as good as none.
      if (png !== null && mask.peek() === null) await take(png).catch(() => undefined);
    },
    stop() {
      stopFollowing();
      const shown = mask.peek();
      if (shown !== null) URL.revokeObjectURL(shown.url);
    },
  };
}
