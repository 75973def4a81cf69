/**
 * Settles as `work` does, unless that takes longer than `ms` milliseconds: then with what `late` returns or throws.
 * Leaves no timer behind. `work` is not stopped; what it settles with later is ignored.
 */
export async function withDeadline<T, L>(work: Promise<T>, ms: number, late: () => L): Promise<T | L> {
  const deadline = Promise.withResolvers<void>();
  const timer = setTimeout(deadline.resolve, Math.max(0, ms));
  try {
    return await Promise.race([work, deadline.promise.then(late)]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs `work` with a signal that aborts after `ms` milliseconds, with the reason that `late` returns, or as soon as one
 * of `signals` aborts, with that one's reason. Rejects with the reason at once, even while `work` has not noticed the
 * abort: undici does so only once it is connected. Leaves no timer and no listener behind.
 */
export async function runUntil<T>(
  ms: number,
  late: () => unknown,
  signals: readonly AbortSignal[],
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  for (const signal of signals) signal.throwIfAborted();
  const stop = new AbortController();
  const aborted = Promise.withResolvers<never>();
  const abort = (reason: unknown): void => {
    aborted.reject(reason);
    stop.abort(reason);
  };
  const timer = setTimeout(() => abort(late()), ms);
  const listeners = signals.map(signal => ({ signal, abort: () => abort(signal.reason) }));
  for (const listener of listeners) listener.signal.addEventListener('abort', listener.abort);
  try {
    return await Promise.race([aborted.promise, work(stop.signal)]);
  } finally {
    clearTimeout(timer);
    for (const listener of listeners) listener.signal.removeEventListener('abort', listener.abort);
  }
}
