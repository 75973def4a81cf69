import type { JsonObject } from '../wire/json.ts';
import type { Graph } from './graph.ts';

/** History entries kept before the oldest is dropped (`execution.py`, MAXIMUM_HISTORY_SIZE). */
const MAX_HISTORY = 10_000;

/** A prompt in the queue, running or in history: the tuple of `execution.py`'s PromptQueue with named fields. */
export interface QueueItem {
  readonly number: number;
  readonly promptId: string;
  readonly graph: Graph;
  readonly extraData: JsonObject;
  readonly outputs: readonly string[];
}

export interface HistoryRecord {
  readonly item: QueueItem;
  readonly outputs: JsonObject;
  readonly status: JsonObject;
  readonly meta: JsonObject;
}

export interface HistoryEntry extends HistoryRecord {
  /** When the entry was written, in milliseconds since the epoch. */
  readonly at: number;
}

/** The queue and history, in memory as in ComfyUI (`execution.py`, PromptQueue). */
export interface PromptQueue {
  /** Adds a prompt. Lower numbers run first, ties by prompt id, as in ComfyUI's heap of tuples. */
  put(item: QueueItem): void;
  /** Removes the next prompt and makes it the running one; null when the queue is empty. */
  take(): QueueItem | null;
  /** Ends the running prompt and writes its history entry; `at` is in milliseconds since the epoch. */
  finish(record: HistoryRecord, at: number): void;
  running(): QueueItem | null;
  /** The heap as it is, not sorted: GET /queue shows it like this. */
  pending(): readonly QueueItem[];
  /** The number of prompts pending and running, `queue_remaining`. */
  remaining(): number;
  /** Removes one pending prompt of this id; false when there is none. */
  remove(promptId: string): boolean;
  clearPending(): void;
  /** Oldest first. */
  history(): ReadonlyMap<string, HistoryEntry>;
  deleteHistory(promptId: string): void;
  clearHistory(): void;
  /** Loses everything, as when the process ends. */
  reset(): void;
}

/** Starts empty. */
export function createPromptQueue(): PromptQueue {
  let heap: QueueItem[] = [];
  let running: QueueItem | null = null;
  const history = new Map<string, HistoryEntry>();

  return {
    put: item => push(heap, item),
    take() {
      running = pop(heap);
      return running;
    },
    finish(record, at) {
      running = null;
      if (history.size > MAX_HISTORY) {
        const oldest = history.keys().next();
        if (!oldest.done) history.delete(oldest.value);
      }
      history.set(record.item.promptId, { ...record, at });
    },
    running: () => running,
    pending: () => heap,
    remaining: () => heap.length + (running === null ? 0 : 1),
    remove(promptId) {
      const index = heap.findIndex(item => item.promptId === promptId);
      if (index < 0) return false;
      const rest = heap.toSpliced(index, 1);
      heap = [];
      for (const item of rest) push(heap, item);
      return true;
    },
    clearPending() {
      heap = [];
    },
    history: () => history,
    deleteHistory: promptId => void history.delete(promptId),
    clearHistory: () => history.clear(),
    reset() {
      heap = [];
      running = null;
      history.clear();
    },
  };
}

function isBefore(a: QueueItem, b: QueueItem): boolean {
  return a.number < b.number || (a.number === b.number && a.promptId < b.promptId);
}

function push(heap: QueueItem[], item: QueueItem): void {
  let at = heap.length;
  heap.push(item);
  while (at > 0) {
    const above = (at - 1) >> 1;
    const parent = heap[above];
    if (parent === undefined || !isBefore(item, parent)) break;
    heap[at] = parent;
    at = above;
  }
  heap[at] = item;
}

function pop(heap: QueueItem[]): QueueItem | null {
  const top = heap[0];
  const last = heap.pop();
  if (top === undefined || last === undefined) return null;
  if (heap.length === 0) return top;
  let at = 0;
  for (;;) {
    const left = heap[2 * at + 1];
    const right = heap[2 * at + 2];
    const child = left !== undefined && right !== undefined && isBefore(right, left) ? right : left;
    if (child === undefined || !isBefore(child, last)) break;
    heap[at] = child;
    at = child === right ? 2 * at + 2 : 2 * at + 1;
  }
  heap[at] = last;
  return top;
}
