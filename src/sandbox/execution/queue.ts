import type { JsonObject } from '../wire/json.ts';
import type { Graph } from './graph.ts';

/** Entries kept before the oldest goes (`execution.py`, MAXIMUM_HISTORY_SIZE). */
const MAX_HISTORY = 10_000;

/** What waits, runs or ran: the tuple of `execution.py`'s PromptQueue, by name. */
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

/** A history entry and when it was written. */
export interface HistoryEntry extends HistoryRecord {
  readonly at: number;
}

/** The engine's queue and history, in memory as in ComfyUI. */
export interface PromptQueue {
  /** Adds a prompt; lower numbers run first, ties by prompt id (`execution.py`, a heap of tuples). */
  put(item: QueueItem): void;
  /** Takes the next prompt out and makes it the running one; null when nothing waits. */
  take(): QueueItem | null;
  /** Ends the running prompt and writes its history entry; `at` is the time, in milliseconds since the epoch. */
  finish(record: HistoryRecord, at: number): void;
  running(): QueueItem | null;
  /** The raw heap, which is not sorted, as GET /queue shows it. */
  pending(): readonly QueueItem[];
  /** Waiting and running together, as `queue_remaining` counts. */
  remaining(): number;
  /** Removes one waiting prompt of this id; false when none waits. */
  remove(promptId: string): boolean;
  clearPending(): void;
  /** Oldest first. */
  history(): ReadonlyMap<string, HistoryEntry>;
  forget(promptId: string): void;
  forgetAll(): void;
  /** Everything gone, as when the process ends. */
  reset(): void;
}

function before(a: QueueItem, b: QueueItem): boolean {
  return a.number < b.number || (a.number === b.number && a.promptId < b.promptId);
}

/** Starts empty. */
export function createPromptQueue(): PromptQueue {
  let heap: QueueItem[] = [];
  let current: QueueItem | null = null;
  const history = new Map<string, HistoryEntry>();

  return {
    put: item => push(heap, item),
    take() {
      current = pop(heap);
      return current;
    },
    finish(record, at) {
      current = null;
      if (history.size > MAX_HISTORY) {
        const oldest = history.keys().next();
        if (!oldest.done) history.delete(oldest.value);
      }
      history.set(record.item.promptId, { ...record, at });
    },
    running: () => current,
    pending: () => heap,
    remaining: () => heap.length + (current === null ? 0 : 1),
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
    forget: promptId => void history.delete(promptId),
    forgetAll: () => history.clear(),
    reset() {
      heap = [];
      current = null;
      history.clear();
    },
  };
}

function push(heap: QueueItem[], item: QueueItem): void {
  let at = heap.length;
  heap.push(item);
  while (at > 0) {
    const above = (at - 1) >> 1;
    const parent = heap[above];
    if (parent === undefined || !before(item, parent)) break;
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
    const child = left !== undefined && right !== undefined && before(right, left) ? right : left;
    if (child === undefined || !before(child, last)) break;
    heap[at] = child;
    at = child === right ? 2 * at + 2 : 2 * at + 1;
  }
  heap[at] = last;
  return top;
}
