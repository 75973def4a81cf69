/** Runs a limited number of tasks at once, fewer per share; shares with waiting tasks take turns. */
export interface FairQueue {
  /**
   * Runs `task` as soon as there is a slot, and settles as it does. Tasks of the share null are limited by the slots
   * only. Rejects with the signal's reason if it aborts while the task waits.
   */
  run<T>(share: string | null, task: () => Promise<T>, signal?: AbortSignal | undefined): Promise<T>;
}

/**
 * @param slots Tasks that run at once, at least 1.
 * @param perShare Tasks of one share that run at once, at least 1. If fewer than `slots`, no share can occupy all slots.
 */
export function createFairQueue(slots: number, perShare: number = slots): FairQueue {
  let free = slots;
  const running = new Map<string | null, number>();
  /** Waiting tasks by share, in the order of the shares' turns. Has no empty lines. */
  const lines = new Map<string | null, (() => void)[]>();

  const mayRun = (share: string | null): boolean =>
    free > 0 && (share === null || (running.get(share) ?? 0) < perShare);

  function take(share: string | null): void {
    free -= 1;
    running.set(share, (running.get(share) ?? 0) + 1);
  }

  function release(share: string | null): void {
    free += 1;
    const left = (running.get(share) ?? 1) - 1;
    if (left === 0) running.delete(share);
    else running.set(share, left);
  }

  function startNext(): void {
    for (const [share, line] of lines) {
      if (!mayRun(share)) continue;
      take(share);
      const start = line.shift();
      // The other shares' turns come before this share's next one.
      lines.delete(share);
      if (line.length > 0) lines.set(share, line);
      start?.();
      return;
    }
  }

  async function enter(share: string | null, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    // Waiting tasks lack a slot or are over their own share's limit, so this one overtakes none of them.
    if (mayRun(share)) return take(share);
    await new Promise<void>((resolve, reject) => {
      const line = lines.get(share) ?? [];
      const start = (): void => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        line.splice(line.indexOf(start), 1);
        if (line.length === 0) lines.delete(share);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', leave, { once: true });
      line.push(start);
      lines.set(share, line);
    });
  }

  return {
    async run(share, task, signal) {
      await enter(share, signal);
      try {
        return await task();
      } finally {
        release(share);
        startNext();
      }
    },
  };
}
