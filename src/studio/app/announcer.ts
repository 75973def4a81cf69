import { type ReadonlySignal, signal } from '@preact/signals';

/** Speaks to assistive technology, by a live region. */
export interface Announcer {
  readonly text: ReadonlySignal<string>;
  /** Replaces what was said before. */
  say(text: string): void;
}

export function createAnnouncer(): Announcer {
  const text = signal('');
  return {
    text,
    say(words) {
      text.value = words;
    },
  };
}
