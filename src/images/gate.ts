/** Lets so many pieces of work run at once; others wait in line. */
export interface Gate {
  /** Rejects with the signal's reason when it aborts while waiting. */
  run<T>(work: () => Promise<T>, signal?: AbortSignal | undefined): Promise<T>;
}

/** `limit` is at least 1. */
export function createGate(limit: number): Gate {
  let free = limit;
  const line: (() => void)[] = [];

  async function enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (free > 0) {
      free -= 1;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const turn = (): void => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      const leave = (): void => {
        line.splice(line.indexOf(turn), 1);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', leave, { once: true });
      line.push(turn);
    });
  }

  return {
    async run(work, signal) {
      await enter(signal);
      try {
        return await work();
      } finally {
        const next = line.shift();
        if (next === undefined) free += 1;
        else next();
      }
    },
  };
}
