import { effect, type ReadonlySignal, signal } from '@preact/signals';
import type { Store } from './storage.ts';

export const THEMES = ['system', 'light', 'dark'] as const;
export type ThemeName = (typeof THEMES)[number];

/** Light, dark, or as the system has it. */
export interface Theme {
  readonly chosen: ReadonlySignal<ThemeName>;
  choose(name: ThemeName): void;
  stop(): void;
}

/** Applies the theme to `root` as `data-theme` and remembers it. */
export function createTheme(root: HTMLElement, store: Store): Theme {
  const saved = store.read('theme');
  const chosen = signal<ThemeName>(THEMES.find(name => name === saved) ?? 'system');
  const stop = effect(() => {
    if (chosen.value === 'system') delete root.dataset.theme;
    else root.dataset.theme = chosen.value;
    store.write('theme', chosen.value === 'system' ? undefined : chosen.value);
  });
  return {
    chosen,
    choose(name) {
      chosen.value = name;
    },
    stop,
  };
}
