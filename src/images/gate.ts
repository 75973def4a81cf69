/** Lets so many pieces of work run at once; others wait in line. */
export interface Gate {
  /** Rejects with the signal's reason when it aborts while waiting. */
  run<T>(work: () => Promise<T>, signal?: AbortSignal | undefined): Promise<T>;
}

/** Lets so many pieces of work run at once, and of the same share fewer; those that wait take turns by share. */
export interface FairGate {
  /**
   * Work of the share null is nobody's: it is bound by the places only. Rejects with the signal's reason when it aborts
   * while waiting.
   */
  run<T>(share: string | null, work: () => Promise<T>, signal?: AbortSignal | undefined): Promise<T>;
}

/** First come, first served. `limit` is at least 1. */
export function createGate(limit: number): Gate {
  const gate = createFairGate(limit, limit);
  return { run: (work, signal) => gate.run(null, work, signal) };
}

/**
 * @param places Pieces of work at once, at least 1.
 * @param most Of them of one share, at least 1. With fewer than all no share can make the others wait for its own work.
 */
export function createFairGate(places: number, most: number): FairGate {
  let free = places;
  const running = new Map<string | null, number>();
  /** Who waits, by share, the share whose turn is next first. No line is empty. */
  const lines = new Map<string | null, (() => void)[]>();

  const mayRun = (share: string | null): boolean =>
    free > 0 && (share === null || (running.get(share) ?? 0) < most);

  function take(share: string | null): void {
    free -= 1;
    running.set(share, (running.get(share) ?? 0) + 1);
  }

  function giveBack(share: string | null): void {
    free += 1;
    const left = (running.get(share) ?? 1) - 1;
    if (left === 0) running.delete(share);
    else running.set(share, left);
  }

  function callNext(): void {
    for (const [share, line] of lines) {
      if (!mayRun(share)) continue;
      take(share);
      const turn = line.shift();
      // The others' turns come before this share's next.
      lines.delete(share);
      if (line.length > 0) lines.set(share, line);
      turn?.();
      return;
    }
  }

  async function enter(share: string | null, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    // Whoever waits waits for a place or for its own share, so nobody is overtaken here.
    if (mayRun(share)) return take(share);
    await new Promise<void>((resolve, reject) => {
      const line = lines.get(share) ?? [];
      const turn = (): void => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        line.splice(line.indexOf(turn), 1);
        if (line.length === 0) lines.delete(share);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', leave, { once: true });
      line.push(turn);
      lines.set(share, line);
    });
  }

  return {
    async run(share, work, signal) {
      await enter(share, signal);
      try {
        return await work();
      } finally {
        giveBack(share);
        callNext();
      }
    },
  };
}
