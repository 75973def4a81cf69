import type { JsonObject } from '../wire/json.ts';

/** The nodes of the running prompt that have begun, as `progress_state` tells them (`comfy_execution/progress.py`). */
export interface ProgressState {
  start(node: string): void;
  update(node: string, value: number, max: number): void;
  finish(node: string): void;
  /** The event's data: every node that has begun, each time. */
  event(): JsonObject;
}

/** Nothing has begun. */
export function createProgressState(promptId: string): ProgressState {
  const nodes = new Map<string, { value: number; max: number; state: 'running' | 'finished' }>();
  return {
    start: node => void nodes.set(node, { value: 0, max: 1, state: 'running' }),
    update: (node, value, max) => void nodes.set(node, { value, max, state: 'running' }),
    finish(node) {
      const max = nodes.get(node)?.max ?? 1;
      nodes.set(node, { value: max, max, state: 'finished' });
    },
    event() {
      const entries = [...nodes].map(([id, { value, max, state }]) => [
        id,
        {
          value,
          max,
          state,
          node_id: id,
          prompt_id: promptId,
          display_node_id: id,
          parent_node_id: null,
          real_node_id: id,
        },
      ]);
      return { prompt_id: promptId, nodes: Object.fromEntries(entries) };
    },
  };
}
