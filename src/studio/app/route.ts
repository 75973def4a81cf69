import { type ReadonlySignal, signal } from '@preact/signals';

export const VIEWS = ['edit', 'history', 'engines'] as const;
export type View = (typeof VIEWS)[number];

/** What the address names after `#`: a view, and in the `edit` view a job. `#edit/<job id>`. */
export interface Route {
  readonly view: ReadonlySignal<View>;
  readonly jobId: ReadonlySignal<string | null>;
  /** Opens a view. A job replaces the entry of the browser’s history, another view adds one. */
  open(view: View, jobId?: string | null): void;
  stop(): void;
}

/** Follows the address of `window`. */
export function createRoute(window: Window): Route {
  const view = signal<View>('edit');
  const jobId = signal<string | null>(null);
  const read = (): void => {
    const [name = '', id = ''] = window.location.hash.slice(1).split('/');
    view.value = VIEWS.find(known => known === name) ?? 'edit';
    jobId.value = view.value === 'edit' && id !== '' ? decodeURIComponent(id) : null;
  };
  read();
  window.addEventListener('hashchange', read);
  return {
    view,
    jobId,
    open(name, id = null) {
      const hash = id === null ? `#${name}` : `#${name}/${encodeURIComponent(id)}`;
      const how = view.peek() === name ? 'replaceState' : 'pushState';
      window.history[how](null, '', hash);
      read();
    },
    stop: () => window.removeEventListener('hashchange', read),
  };
}
