import { type ReadonlySignal, signal } from '@preact/signals';
import type { Jobs, LiveJob } from '../jobs/jobs.ts';

export const MODES = ['result', 'before', 'compare'] as const;
/** The result alone, over the image before the edit, or beside other results. */
export type Mode = (typeof MODES)[number];

/** As many as fit beside each other. */
const MAX_COMPARED = 4;

/** How results are looked at. */
export interface Viewer {
  readonly mode: ReadonlySignal<Mode>;
  /** The ids of the compared jobs. */
  readonly compared: ReadonlySignal<readonly string[]>;
  /** Changes the mode. A comparison starts with the newest results of the same prompt, or else with the newest ones. */
  show(mode: Mode): void;
  /** Opens a job; in a comparison, adds its result or removes it. */
  pick(id: string): void;
}

export function createViewer(jobs: Jobs): Viewer {
  const mode = signal<Mode>('result');
  const compared = signal<readonly string[]>([]);

  function first(selected: LiveJob): string[] {
    const others = jobs.list.value.filter(job => job.id !== selected.id && isComparable(job));
    const alike = others.filter(({ prompt }) => prompt === selected.prompt);
    const beside = alike.length > 0 ? alike.slice(0, MAX_COMPARED - 1) : others.slice(0, 1);
    return [selected, ...beside].map(({ id }) => id);
  }

  return {
    mode,
    compared,
    show(next) {
      const selected = jobs.selected.value;
      if (next === 'compare' && selected !== null) compared.value = first(selected);
      mode.value = next;
    },
    pick(id) {
      const job = jobs.list.value.find(known => known.id === id);
      if (mode.value !== 'compare' || job === undefined || !isComparable(job)) {
        if (mode.value === 'compare') mode.value = 'result';
        jobs.select(id);
        return;
      }
      const others = compared.value.filter(known => known !== id);
      if (others.length < compared.value.length) {
        if (others.length > 0) compared.value = others;
      } else compared.value = [...others.slice(1 - MAX_COMPARED), id];
    },
  };
}

/** Whether there is a result to compare. */
export function isComparable({ snapshot }: LiveJob): boolean {
  return snapshot.value.images.length > 0;
}
