/** What the sandbox did, for tests to look at. Survives its restarts. */
export interface Stats {
  executed: Record<string, number>;
  completed: Record<string, number>;
  interrupted: Record<string, number>;
  uploads: number;
  prompts: number;
  frees: number;
  /** Milliseconds since the epoch. */
  timeline: { id: string; startedAt: number; endedAt: number | null }[];
}

/** All zero. */
export function emptyStats(): Stats {
  return { executed: {}, completed: {}, interrupted: {}, uploads: 0, prompts: 0, frees: 0, timeline: [] };
}

/** Counts one more under this id. */
export function count(table: Record<string, number>, id: string): void {
  table[id] = (table[id] ?? 0) + 1;
}

/** Milliseconds since the epoch, with fractions. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
