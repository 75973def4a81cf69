/** Something to wait on that others can end early. */
export interface Pause {
  /** Resolves after so many milliseconds, or when woken. */
  sleep(milliseconds: number): Promise<void>;
  /** Resolves when woken. */
  parked(): Promise<void>;
  /** Ends every wait that is under way. */
  wake(): void;
}

/** Waits of one worker. Nothing is left running after `wake`. */
export function createPause(): Pause {
  const wakers = new Set<() => void>();
  function wait(milliseconds: number | null): Promise<void> {
    return new Promise(resolve => {
      let timer: NodeJS.Timeout | undefined;
      const end = (): void => {
        clearTimeout(timer);
        wakers.delete(end);
        resolve();
      };
      wakers.add(end);
      if (milliseconds !== null) timer = setTimeout(end, milliseconds);
    });
  }
  return {
    sleep: wait,
    parked: () => wait(null),
    wake() {
      for (const end of [...wakers]) end();
    },
  };
}
