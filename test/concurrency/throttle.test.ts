import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createThrottle } from '../../src/concurrency/throttle.ts';

describe('a throttle', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('hands on the first item at once, then the newest after each interval', () => {
    const taken: number[] = [];
    const throttle = createThrottle<number>(100, item => taken.push(item));
    for (let n = 1; n <= 5; n += 1) throttle.offer(n);
    expect(taken).toEqual([1]);
    vi.advanceTimersByTime(99);
    expect(taken).toEqual([1]);
    vi.advanceTimersByTime(1);
    expect(taken).toEqual([1, 5]);
    throttle.offer(6);
    vi.advanceTimersByTime(100);
    expect(taken).toEqual([1, 5, 6]);
  });

  it('has no timer while nothing is offered, nor after a stop', () => {
    const taken: number[] = [];
    const throttle = createThrottle<number>(100, item => taken.push(item));
    expect(vi.getTimerCount()).toBe(0);
    throttle.offer(1);
    vi.advanceTimersByTime(200);
    expect(vi.getTimerCount()).toBe(0);
    throttle.offer(2);
    throttle.offer(3);
    throttle.stop();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(1_000);
    expect(taken).toEqual([1, 2]);
  });

  it('may be stopped by the item that it hands on', () => {
    const throttle = createThrottle<number>(100, () => throttle.stop());
    throttle.offer(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});
