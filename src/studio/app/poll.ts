/** Work that is repeated while the page is visible. */
export interface Poll {
  /** Runs it now, or at once after the run in flight. */
  now(): void;
  stop(): void;
}

/** Runs `work` now, and again `everyMs` after each end, except while `document` is hidden. `work` handles its own errors. */
export function poll(document: Document, everyMs: number, work: () => Promise<void>): Poll {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running = false;
  let again = false;
  let stopped = false;

  function now(): void {
    clearTimeout(timer);
    if (stopped) return;
    again = running;
    if (running || document.hidden) return;
    running = true;
    void work().finally(() => {
      running = false;
      if (again) now();
      else if (!stopped) timer = setTimeout(now, everyMs);
    });
  }

  document.addEventListener('visibilitychange', now);
  now();
  return {
    now,
    stop() {
      stopped = true;
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', now);
    },
  };
}
