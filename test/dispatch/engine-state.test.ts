import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type EngineHealth,
  type EngineHealthEvent,
  needsInventory,
  nextHealth,
  startHealth,
} from '../../src/dispatch/engines/engine-state.ts';

const PROBE_MS = 10_000;
/** The longest that an engine is set aside. */
const LONGEST_ASIDE_MS = 300_000;

const responds = { type: 'responded', readInventory: true, abandoned: 0, unfit: null } as const;

function healthAfter(events: readonly EngineHealthEvent[], at = 0): EngineHealth {
  return events.reduce((health, event) => nextHealth(health, event, at, PROBE_MS), startHealth(at));
}

describe('the health of an engine', () => {
  it('becomes READY with the first response, and is probed regularly', () => {
    expect(healthAfter([responds])).toMatchObject({
      state: 'READY',
      reason: null,
      probeAt: PROBE_MS,
      inventoryAt: 0,
    });
  });

  it('is DOWN after a failed probe, and probed again with growing pauses of at most 15 s', () => {
    const failed = { type: 'probeFailed', reason: 'connection refused' } as const;
    const pauses = [1, 2, 3, 4, 5, 6, 7, 8].map(count => healthAfter(Array(count).fill(failed)).probeAt);
    expect(pauses).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
    expect(healthAfter([responds, failed])).toMatchObject({
      state: 'DOWN',
      reason: 'connection refused',
      inventoryAt: null,
    });
  });

  it('is DOWN when a run lost it, and probed at once', () => {
    const lost = nextHealth(healthAfter([responds]), { type: 'lost', reason: 'timed out' }, 4_000, PROBE_MS);
    expect(lost).toMatchObject({ state: 'DOWN', reason: 'timed out', probeAt: 4_000, inventoryAt: null });
    expect(nextHealth(lost, responds, 4_010, PROBE_MS).state).toBe('READY');
  });

  it('is SET_ASIDE after four losses in a row, for longer each time', () => {
    const lose = (count: number) =>
      healthAfter(
        Array.from({ length: count }, () => [{ type: 'lost', reason: 'stuck' } as const, responds]).flat(),
      );
    expect(lose(3).state).toBe('READY');
    expect(lose(4)).toMatchObject({ state: 'SET_ASIDE', setAside: { until: 500 }, probeAt: 500 });
    expect(lose(6)).toMatchObject({ state: 'SET_ASIDE', setAside: { until: 2_000 }, probeAt: 2_000 });
    expect(lose(4).reason).toBe('was lost 4 times in a row: stuck');
  });

  it('trusts the engine again after a good run', () => {
    const lost = { type: 'lost', reason: 'stuck' } as const;
    expect(healthAfter([lost, lost, lost, { type: 'ranWell' }, lost, responds]).state).toBe('READY');
  });

  it('is SET_ASIDE after three runs in a row without memory', () => {
    const failed = { type: 'ranOutOfMemory' } as const;
    expect(healthAfter([responds, failed, failed]).state).toBe('READY');
    expect(healthAfter([responds, failed, { type: 'ranWell' }, failed, failed]).state).toBe('READY');
    const aside = healthAfter([responds, failed, failed, failed]);
    expect(aside).toMatchObject({ state: 'SET_ASIDE', setAside: { until: 5_000 } });
    expect(nextHealth(aside, responds, 4_999, PROBE_MS).state).toBe('SET_ASIDE');
    expect(nextHealth(aside, responds, 5_000, PROBE_MS).state).toBe('READY');
  });

  it('is UNFIT while the engine can run no workflow', () => {
    expect(healthAfter([{ ...responds, unfit: 'lacks a node' }])).toMatchObject({
      state: 'UNFIT',
      reason: 'lacks a node',
    });
  });

  it('waits for prompts that the engine was told to stop', () => {
    expect(healthAfter([{ ...responds, abandoned: 1 }])).toMatchObject({ state: 'SET_ASIDE', probeAt: 250 });
  });

  it('is probed again at once when a run lost the engine during a probe', () => {
    const lost = nextHealth(healthAfter([responds]), { type: 'lost', reason: 'timed out' }, 5, PROBE_MS);
    const responded = nextHealth(lost, { ...responds, readInventory: false }, 6, PROBE_MS);
    expect(responded).toMatchObject({ inventoryAt: null, probeAt: 6 });
    expect(needsInventory(responded, 6)).toBe(true);
  });

  it('keeps a recheck that is requested while the inventory is read', () => {
    const recheck = { type: 'recheckRequested' } as const;
    const reading = { type: 'readingInventory' } as const;
    expect(healthAfter([recheck, reading, responds]).probeAt).toBe(PROBE_MS);
    const again = healthAfter([reading, recheck, responds]);
    expect(again.probeAt).toBe(0);
    expect(needsInventory(again, 0)).toBe(true);
  });

  it('reads the inventory of a healthy engine once a minute', () => {
    const health = healthAfter([responds]);
    expect(needsInventory(health, 60_000)).toBe(false);
    expect(needsInventory(health, 60_001)).toBe(true);
    expect(needsInventory(startHealth(0), 0)).toBe(true);
  });
});

const anyEvent: fc.Arbitrary<EngineHealthEvent> = fc.oneof(
  fc.constant<EngineHealthEvent>({ type: 'readingInventory' }),
  fc.record({
    type: fc.constant('responded' as const),
    readInventory: fc.boolean(),
    abandoned: fc.nat(2),
    unfit: fc.option(fc.constant('lacks a node')),
  }),
  fc.record({ type: fc.constant('probeFailed' as const), reason: fc.constant('refused') }),
  fc.record({ type: fc.constant('lost' as const), reason: fc.constant('timed out') }),
  fc.constantFrom<EngineHealthEvent>(
    { type: 'ranOutOfMemory' },
    { type: 'ranWell' },
    { type: 'recheckRequested' },
    { type: 'held', hold: { state: 'DRAINED', reason: 'drained by an operator' } },
    { type: 'held', hold: { state: 'LEAVING', reason: 'removed by an operator' } },
    { type: 'held', hold: null },
  ),
);

const anyHistory = fc.array(fc.tuple(anyEvent, fc.nat(20_000)), { maxLength: 60 });

function live(history: readonly (readonly [EngineHealthEvent, number])[]): {
  health: EngineHealth;
  at: number;
} {
  let at = 0;
  let health = startHealth(at);
  for (const [event, pause] of history) {
    at += pause;
    const possible =
      event.type === 'responded'
        ? { ...event, readInventory: event.readInventory || health.state !== 'READY' }
        : event;
    health = nextHealth(health, possible, at, PROBE_MS);
  }
  return { health, at };
}

describe('whatever happened before', () => {
  it('an engine that responds to its probes is READY again in bounded time', () => {
    fc.assert(
      fc.property(anyHistory, history => {
        let { health, at } = live(history);
        health = nextHealth(health, { type: 'held', hold: null }, at, PROBE_MS);
        const deadline = at + LONGEST_ASIDE_MS + PROBE_MS;
        while (health.state !== 'READY' || health.inventoryAt === null) {
          expect(at).toBeLessThanOrEqual(deadline);
          at = Math.max(at, health.probeAt);
          const reading = needsInventory(health, at);
          if (reading) health = nextHealth(health, { type: 'readingInventory' }, at, PROBE_MS);
          health = nextHealth(health, { ...responds, readInventory: reading }, at, PROBE_MS);
        }
      }),
    );
  });

  it('the next probe is at most 15 s away, and in the future after a probe without a recheck', () => {
    fc.assert(
      fc.property(anyHistory, history => {
        const { health, at } = live(history);
        expect(health.probeAt - at).toBeLessThanOrEqual(15_000);
        const probed = nextHealth({ ...health, recheck: false }, responds, at, PROBE_MS);
        expect(probed.probeAt).toBeGreaterThan(at);
      }),
    );
  });

  it('an engine that is drained or leaves never becomes READY, and only READY has no reason', () => {
    fc.assert(
      fc.property(anyHistory, history => {
        const { health } = live(history);
        if (health.hold !== null) expect(health.state).not.toBe('READY');
        expect(health.reason === null).toBe(health.state === 'READY' || health.state === 'STARTING');
      }),
    );
  });
});
