import { afterEach, expect, it, vi } from 'vitest';
import { createHeldBytes, type Held } from '../../../src/http/limits/held-bytes.ts';

const ended: string[] = [];
afterEach(() => ended.splice(0));

/** A body of which `came` bytes have arrived; `whole` ones cannot be ended. */
function body(name: string, key: string, came: number, whole = false): Held {
  return {
    key,
    from: 100,
    source: { bytesRead: 100 + came },
    end() {
      if (whole) return false;
      ended.push(name);
      return true;
    },
  };
}

it('ends the largest body of the client that holds most, until the limit is kept', async () => {
  const bytes = createHeldBytes(1_000, 5);
  bytes.add(body('largest of all', 'modest', 600));
  for (const [n, size] of [200, 300, 400].entries()) bytes.add(body(`greedy ${n}`, 'greedy', size));
  await expect.poll(() => ended).toEqual(['greedy 2', 'largest of all']);
  expect(bytes.full()).toBe(false);
});

it('lets complete bodies finish, and is full until then', async () => {
  const bytes = createHeldBytes(1_000, 5);
  const worked = body('worked on', 'a', 2_000, true);
  bytes.add(worked);
  bytes.add(body('coming', 'b', 1));
  await expect.poll(() => ended).toEqual(['coming']);
  expect(bytes.full()).toBe(true);
  bytes.remove(worked);
  expect(bytes.full()).toBe(false);
});

it('counts from the first byte of the current message', () => {
  const bytes = createHeldBytes(1_000, 60_000);
  const message = body('message', 'a', 2_000);
  bytes.add(message);
  expect(bytes.full()).toBe(true);
  message.from = 2_100;
  expect(bytes.full()).toBe(false);
});

it('runs a timer only while something is held', () => {
  vi.useFakeTimers();
  try {
    const bytes = createHeldBytes(1_000);
    expect(vi.getTimerCount()).toBe(0);
    const [one, other] = [body('one', 'a', 1), body('other', 'a', 1)];
    bytes.add(one);
    bytes.add(other);
    bytes.remove(one);
    expect(vi.getTimerCount()).toBe(1);
    bytes.remove(other);
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});
