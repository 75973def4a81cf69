import { effect, type Signal, signal } from '@preact/signals';
import type { Store } from '../app/storage.ts';
import { texts } from '../texts.ts';

/** The words of the next edit. */
export interface Prompt {
  readonly text: Signal<string>;
  readonly negative: Signal<string>;
  /** What the gateway said about them. */
  readonly fault: Signal<string | null>;
  stop(): void;
}

/** Starts with what `store` has kept, else with a prompt for the samples. */
export function createPrompt(store: Store): Prompt {
  const saved = (name: string, otherwise: string): string => {
    const value = store.read(name);
    return typeof value === 'string' ? value : otherwise;
  };
  const text = signal(saved('prompt', texts.prompt.sample));
  const negative = signal(saved('negative', ''));
  const fault = signal<string | null>(null);
  const stop = effect(() => {
    store.write('prompt', text.value === texts.prompt.sample ? undefined : text.value);
    store.write('negative', negative.value === '' ? undefined : negative.value);
    fault.value = null;
  });
  return { text, negative, fault, stop };
}
