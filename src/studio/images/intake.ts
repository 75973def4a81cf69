import { type ReadonlySignal, signal } from '@preact/signals';
import type { Images } from './images.ts';

/** The type under which an image of the form is dragged to another place. */
export const DRAGGED_IMAGE = 'application/x-studio-image';

/** Images that are dropped or pasted anywhere on the page. */
export interface Intake {
  /** Whether something that can be dropped is over the page. */
  readonly hovered: ReadonlySignal<boolean>;
  stop(): void;
}

/** Listens on `window`. A drop that a place for an image has handled is left alone. */
export function createIntake(window: Window, images: Images): Intake {
  const hovered = signal(false);
  const stopped = new AbortController();
  const { signal: until } = stopped;
  const types = (event: DragEvent): readonly string[] => event.dataTransfer?.types ?? [];
  const brings = (event: DragEvent): boolean =>
    types(event).some(type => type === 'Files' || type === 'text/uri-list') &&
    !types(event).includes(DRAGGED_IMAGE);

  window.addEventListener(
    'dragover',
    event => {
      if (!brings(event)) return;
      event.preventDefault();
      hovered.value = true;
    },
    { signal: until },
  );
  window.addEventListener(
    'dragleave',
    event => {
      // Null: the pointer left the window, not only an element in it.
      if (event.relatedTarget === null) hovered.value = false;
    },
    { signal: until },
  );
  window.addEventListener(
    'drop',
    event => {
      hovered.value = false;
      if (event.defaultPrevented || !brings(event)) return;
      event.preventDefault();
      take(images, event.dataTransfer);
    },
    { signal: until },
  );
  window.addEventListener(
    'paste',
    event => {
      const files = [...(event.clipboardData?.files ?? [])];
      // Text in a field is for the field.
      const inField = event.target instanceof Element && event.target.matches('input, textarea');
      if (files.length > 0) event.preventDefault();
      if (files.length > 0 || !inField) take(images, event.clipboardData);
    },
    { signal: until },
  );
  return { hovered, stop: () => stopped.abort() };
}

/** Adds what was dropped or pasted, in place of image `at` (from 0) if given. Returns false if it has no image. */
export function take(images: Images, data: DataTransfer | null, at?: number): boolean {
  const files = [...(data?.files ?? [])];
  if (files.length > 0) {
    images.addFiles(files, at);
    return true;
  }
  const text = (data?.getData('text/uri-list') || data?.getData('text/plain') || '').trim();
  const url = /^https?:\/\/\S+$/.exec(text.split('\n', 1)[0] ?? '')?.[0];
  if (url === undefined || !URL.canParse(url)) return false;
  images.addLink(url, at);
  return true;
}
