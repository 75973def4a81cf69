import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runUntil, withDeadline } from '../../src/concurrency/deadline.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const never = new Promise<never>(() => {});
const fail = (): never => {
  throw new Error('late');
};

describe('withDeadline', () => {
  it('settles as the work does and clears its timer', async () => {
    expect(await withDeadline(Promise.resolve('done'), 1_000, fail)).toBe('done');
    await expect(withDeadline(Promise.reject(new Error('broken')), 1_000, fail)).rejects.toThrow('broken');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('returns what `late` returns, or rejects with what it throws, once the time is over', async () => {
    const value = withDeadline(never, 1_000, () => null);
    const error = expect(withDeadline(never, -5, fail)).rejects.toThrow('late');
    await vi.advanceTimersByTimeAsync(999);
    await error;
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await value).toBeNull();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('ignores a failure of the work after the deadline', async () => {
    const work = Promise.withResolvers<never>();
    const value = withDeadline(work.promise, 10, () => 'late');
    await vi.advanceTimersByTimeAsync(10);
    expect(await value).toBe('late');
    // An unhandled rejection would fail this run.
    work.reject(new Error('too late'));
  });
});

describe('runUntil', () => {
  const late = (): Error => new Error('late');

  it('settles as the work does, and leaves no timer and no listener', async () => {
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, 'addEventListener');
    const removed = vi.spyOn(signal, 'removeEventListener');
    expect(await runUntil(1_000, late, [signal], async () => 'done')).toBe('done');
    expect(vi.getTimerCount()).toBe(0);
    expect(removed.mock.calls).toEqual(added.mock.calls);
  });

  it('rejects and aborts the work when the time is over', async () => {
    let given: AbortSignal | undefined;
    const work = runUntil(1_000, late, [], signal => {
      given = signal;
      return never;
    });
    const rejected = expect(work).rejects.toThrow('late');
    await vi.advanceTimersByTimeAsync(1_000);
    await rejected;
    expect(given?.reason).toEqual(new Error('late'));
  });

  it('rejects with the reason of the first signal that aborts, even if the work ignores it', async () => {
    const one = new AbortController();
    const other = new AbortController();
    const work = runUntil(1_000, late, [one.signal, other.signal], () => never);
    const rejected = expect(work).rejects.toThrow('stopped');
    other.abort(new Error('stopped'));
    one.abort(new Error('too late'));
    await rejected;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not start the work if a signal has aborted already', async () => {
    const start = vi.fn(async () => 'done');
    const reason = new Error('stopped');
    await expect(runUntil(1_000, late, [AbortSignal.abort(reason)], start)).rejects.toBe(reason);
    expect(start).not.toHaveBeenCalled();
  });
});
