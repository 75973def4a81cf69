import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Delivery } from '../../src/jobs/delivery.ts';
import { afterTry, type TryOutcome } from '../../src/webhooks/retries.ts';

const HOUR = 3_600_000;
const DELIVERY: Delivery = {
  id: 'msg_1',
  share: null,
  jobId: '1',
  url: 'https://example.com/',
  event: 'COMPLETED',
  at: 0,
  job: {
    status: 'COMPLETED',
    revision: 4,
    attempt: 1,
    outputs: [],
    error: null,
    createdAt: 0,
    startedAt: 0,
    finishedAt: 0,
    expiresAt: null,
    label: null,
    metadata: {},
  },
  status: 'PENDING',
  attempts: [],
  nextAttemptAt: 0,
};
const AWAY: TryOutcome = {
  kind: 'failed',
  statusCode: 500,
  error: 'answered 500',
  retry: true,
  retryAfterMs: null,
};

/** When each try of a receiver that is never there happens, and what becomes of the delivery. */
function until(outcome: TryOutcome, random: () => number): { times: number[]; end: Delivery } {
  const times: number[] = [];
  let delivery = DELIVERY;
  for (let at = 0; ; ) {
    times.push(at);
    const { next, delayMs } = afterTry(delivery, { at, tookMs: 20 }, outcome, 5_000, random());
    delivery = next;
    if (delayMs === null) return { times, end: delivery };
    expect(next.nextAttemptAt).toBe(at + 20 + delayMs);
    at += 20 + delayMs;
  }
}

describe('the tries of a delivery', () => {
  it('come 5 s, 15 s, 45 s … after one another, at most 6 h, for a day', () => {
    const { times, end } = until(AWAY, () => 0.5);
    const pauses = times.slice(1).map((time, n) => Math.round((time - (times[n] ?? 0)) / 1000));
    expect(pauses).toEqual([5, 15, 45, 135, 405, 1215, 3645, 10935, 21600, 21600, 21600]);
    expect(end).toMatchObject({ status: 'FAILED', nextAttemptAt: null });
    expect(end.attempts).toHaveLength(times.length);
  });

  it('end within a day, and last most of it, whatever the jitter and Retry-After', () => {
    fc.assert(
      fc.property(
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        fc.nat(HOUR),
        (stream, retryAfterMs) => {
          const random = (): number => Number(stream.next().value);
          const { times } = until({ ...AWAY, retryAfterMs }, random);
          expect(times.at(-1)).toBeLessThanOrEqual(24 * HOUR);
          expect(times.at(-1)).toBeGreaterThan(16 * HOUR);
          const pauses = times.slice(1).map((time, n) => time - (times[n] ?? 0));
          for (const pause of pauses) expect(pause).toBeGreaterThanOrEqual(Math.max(retryAfterMs, 4_000));
        },
      ),
    );
  });

  it('end with a 2xx, and with a permanent failure', () => {
    expect(until({ kind: 'delivered', statusCode: 202 }, () => 0).end).toMatchObject({
      status: 'DELIVERED',
      attempts: [{ statusCode: 202, error: null }],
    });
    expect(until({ ...AWAY, retry: false }, () => 0).end).toMatchObject({ status: 'FAILED' });
  });
});
