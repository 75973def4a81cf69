import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterCall, type Need, nextNeed, readNeed, type Sight } from '../../src/jobs/engine-needs.ts';

const PAUSES = { repeatMs: 60_000, retryMs: 5_000, callMs: 20_000 };
const wanted = (since: number, isLasting = true): Sight => ({ kind: 'wanted', since, isLasting });
const idle = (since: number): Sight => ({ kind: 'idle', since, isLasting: true });

function begin(at = 100_000): Need {
  const next = nextNeed(null, wanted(at - 2_000), at, 'first', PAUSES);
  if (next === null || !next.call) throw new Error('not called');
  return next.need;
}
const accept = (need: Need, at: number) => afterCall(need, { accepted: true }, at, PAUSES);
const fail = (need: Need, at: number, retryAfterMs: number | null = null) =>
  afterCall(need, { accepted: false, retryAfterMs }, at, PAUSES);

describe('nextNeed', () => {
  it('calls for a need that lasts, and again with longer and longer pauses', () => {
    expect(nextNeed(null, wanted(0, false), 1_000, 'x', PAUSES)).toBeNull();
    let need = begin();
    expect(need).toMatchObject({ id: 'first', since: 98_000, calls: 1 });
    // Another gateway, while the call is made.
    expect(nextNeed(need, wanted(0), 119_999, 'x', PAUSES)).toBeNull();
    const pauses: number[] = [];
    let at = 100_500;
    for (let n = 0; n < 8; n += 1) {
      need = accept(need, at);
      pauses.push((need.nextAt - at) / 60_000);
      at = need.nextAt;
      expect(nextNeed(need, wanted(0), at - 1, 'x', PAUSES)).toBeNull();
      const next = nextNeed(need, wanted(0, false), at, 'x', PAUSES);
      expect(next).toMatchObject({ call: true, need: { id: 'first', calls: n + 2 } });
      need = next?.need ?? need;
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    expect(need.acceptedAt).toBe(100_500);
  });

  it('tries again after a failure, sooner than it repeats, and as late as the receiver says', () => {
    let need = fail(begin(), 100_000);
    expect(need).toMatchObject({ nextAt: 105_000, accepted: 0, acceptedAt: null });
    need = fail(need, 105_000);
    expect(need.nextAt).toBe(120_000);
    expect(fail(need, 120_000, 90_000).nextAt).toBe(210_000);
    expect(accept(need, 130_000)).toMatchObject({ nextAt: 190_000, failures: 0 });
  });

  it('makes another need of another kind at once, and of the same kind after a pause', () => {
    const need = accept(begin(), 100_000);
    const over = nextNeed(need, { kind: 'nothing' }, 101_000, 'x', PAUSES);
    expect(over).toEqual({ need: { ...need, active: false }, call: false });
    if (over === null) return;
    expect(nextNeed(over.need, { kind: 'nothing' }, 102_000, 'x', PAUSES)).toBeNull();
    expect(nextNeed(over.need, wanted(101_000), 159_999, 'x', PAUSES)).toBeNull();
    expect(nextNeed(over.need, wanted(101_000), 160_000, 'x', PAUSES)).toMatchObject({
      call: true,
      need: { id: 'x', calls: 1, accepted: 0, acceptedAt: null },
    });
    expect(nextNeed(need, idle(50_000), 102_000, 'x', PAUSES)).toMatchObject({
      call: true,
      need: { id: 'x', kind: 'idle', calls: 1 },
    });
  });

  it('calls three times for workflows that no ready engine can run, and again for another one', () => {
    const unfit = (...workflows: string[]): Sight => ({
      kind: 'unfit',
      since: 0,
      isLasting: true,
      workflows,
    });
    let need = nextNeed(null, unfit('a', 'b'), 100_000, 'first', PAUSES)?.need;
    const calledAt: number[] = [];
    while (need !== undefined && calledAt.length < 9) {
      calledAt.push(need.calledAt);
      const known = accept(need, need.calledAt);
      // What is no longer needed makes no difference.
      need = nextNeed(known, unfit('a'), known.nextAt, 'x', PAUSES)?.need;
      if (known.nextAt < Number.MAX_SAFE_INTEGER) continue;
      expect(nextNeed(known, unfit('b'), 9e12, 'x', PAUSES)).toBeNull();
      const another = nextNeed(known, unfit('a', 'c'), known.calledAt + 60_000, 'second', PAUSES);
      expect(another).toMatchObject({ call: true, need: { id: 'second', calls: 1, workflows: ['a', 'c'] } });
      expect(nextNeed(known, unfit('a', 'c'), known.calledAt + 59_999, 'second', PAUSES)).toBeNull();
      const over = nextNeed(known, { kind: 'nothing' }, 9e12, 'x', PAUSES);
      expect(over).toMatchObject({ call: false, need: { active: false } });
      break;
    }
    expect(calledAt).toEqual([100_000, 160_000, 280_000]);
  });

  it('goes from engines that are unfit to none at all, and back', () => {
    const need = accept(begin(), 100_000);
    const sight: Sight = { kind: 'unfit', since: 0, isLasting: true, workflows: ['a'] };
    const unfit = nextNeed(need, sight, 100_001, 'second', PAUSES);
    expect(unfit).toMatchObject({ call: true, need: { id: 'second', kind: 'unfit' } });
    expect(nextNeed(unfit?.need ?? null, wanted(0), 100_002, 'third', PAUSES)).toMatchObject({
      call: true,
      need: { id: 'third', kind: 'wanted', workflows: [] },
    });
  });

  it('leaves a need to others while the engines are unknown', () => {
    const need = begin();
    expect(nextNeed(need, { kind: 'unknown' }, 10_000_000, 'x', PAUSES)).toBeNull();
  });

  it('never calls twice for a kind within the pauses, whatever gateways see', () => {
    const sight: fc.Arbitrary<Sight> = fc.oneof(
      fc.constantFrom<Sight>({ kind: 'unknown' }, { kind: 'nothing' }),
      fc.record({
        kind: fc.constantFrom('wanted' as const, 'idle' as const),
        since: fc.nat(),
        isLasting: fc.boolean(),
      }),
      fc.record({
        kind: fc.constant('unfit' as const),
        since: fc.nat(),
        isLasting: fc.boolean(),
        workflows: fc.subarray(['a', 'b', 'c'], { minLength: 1 }),
      }),
    );
    const step = fc.record({ sight, passed: fc.nat(90_000), accepted: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        let known: Need | null = null;
        let at = 1_000_000_000;
        const calledAt = new Map<string, number>();
        let latest = '';
        for (const { sight: seen, passed, accepted } of steps) {
          at += passed;
          const next = nextNeed(known, seen, at, String(at), PAUSES);
          if (next === null) continue;
          known = readNeed(JSON.stringify(next.need));
          if (!next.call) continue;
          const { kind } = next.need;
          expect(seen.kind).toBe(kind);
          const before = calledAt.get(kind) ?? 0;
          if (latest === kind) expect(at - before).toBeGreaterThanOrEqual(PAUSES.retryMs);
          calledAt.set(kind, at);
          latest = kind;
          known = accepted ? accept(next.need, at) : fail(next.need, at);
        }
      }),
    );
  });
});
