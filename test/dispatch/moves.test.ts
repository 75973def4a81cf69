import { describe, expect, it } from 'vitest';
import { createMoves } from '../../src/dispatch/lanes/moves.ts';
import { type IdleLanes, NO_INABILITY } from '../../src/jobs/claims.ts';
import { StoreUnavailable } from '../../src/jobs/errors.ts';
import type { Job } from '../../src/jobs/job.ts';
import { createLog } from '../../src/log.ts';
import { aJob } from '../support/jobs.ts';

const PATIENCE = 10_000;
const engine = (id: string, able = true) => ({ id, canRun: () => able, leaving: (): string | null => null });
const OWN = engine('own');
const IDLE = 'another engine is idle, and own has not begun it';
const OUTRANKED = 'a job of a higher priority waits, and own has not begun it';

/** Moves to these idle engines, of which `warm` have the models; a test sets what waits, and what other gateways run. */
function movesTo(idle: readonly ReturnType<typeof engine>[], warm: readonly string[]) {
  const waiting: Job[] = [];
  const idleElsewhere: IdleLanes[] = [];
  const state = { at: 0, elsewhere: new Map<string, Job[]>(), idleElsewhere, waiting, away: false };
  const respond = <T>(value: T): Promise<T> =>
    state.away ? Promise.reject(new StoreUnavailable('away', 'ECONNREFUSED')) : Promise.resolve(value);
  const moves = createMoves({
    ledger: {
      inLanes: lanes => respond(state.elsewhere.get(lanes) ?? []),
      idleElsewhere: () => respond(state.idleElsewhere),
      waiting: limit => respond(state.waiting.slice(0, limit)),
    },
    idle: () => idle,
    warmth: { of: id => (warm.includes(id) ? [aJob().request.workflow] : []) },
    patienceMs: PATIENCE,
    now: () => state.at,
    log: createLog('silent'),
  });
  const why = (job: Job, at: number, own = OWN): Promise<string | null> => {
    state.at = at;
    return moves.reasonFor(job, own, 0);
  };
  return { state, why };
}

describe('a job that waits behind a run leaves its engine', () => {
  it('for an idle one with its models after a second, for one without them after the patience', async () => {
    const warm = movesTo([engine('a')], ['a']);
    expect(await warm.why(aJob(), 999)).toBeNull();
    expect(await warm.why(aJob(), 1_000)).toBe(IDLE);
    const cold = movesTo([engine('a')], []);
    expect(await cold.why(aJob(), PATIENCE - 1)).toBeNull();
    expect(await cold.why(aJob(), PATIENCE)).toBe(IDLE);
  });

  it('not for itself, nor for one that cannot run it or has jobs of another gateway', async () => {
    const { state, why } = movesTo([OWN, engine('a', false), engine('b')], ['own', 'a', 'b']);
    state.elsewhere.set('b#', [aJob()]);
    expect(await why(aJob(), 2_000)).toBeNull();
    state.elsewhere.clear();
    state.away = true;
    expect(await why(aJob(), 2_000)).toBeNull();
    state.away = false;
    expect(await why(aJob(), 2_000)).toBe(IDLE);
    expect(await why({ ...aJob(), suspect: true }, 9_000)).toBeNull();
  });

  it('for an engine that no other job leaves for at the moment, and not again within a minute', async () => {
    const { why } = movesTo([engine('a')], ['a']);
    const [first, second] = [aJob(), aJob()];
    expect(await why(first, 2_000)).toBe(IDLE);
    expect(await why(second, 3_000)).toBeNull();
    // It moved, and waits behind another one there: others were faster.
    expect(await why(first, 6_999, engine('b'))).toBeNull();
    expect(await why(first, 6_999)).toBe(IDLE);
    expect(await why(first, 7_000)).toBeNull();
    expect(await why(second, 7_000)).toBe(IDLE);
    expect(await why(first, 61_999)).toBeNull();
    expect(await why(first, 62_000)).toBe(IDLE);
  });

  it('for an idle one of another gateway as for one of its own, for each of them once', async () => {
    const { workflow } = aJob().request;
    const { state, why } = movesTo([], []);
    const group = { cannot: NO_INABILITY, engines: 3, spare: 9, warm: { [workflow]: 1 } };
    state.idleElsewhere = [{ ...group, cannot: { names: [workflow], except: [] } }];
    expect(await why(aJob(), 20_000)).toBeNull();
    state.idleElsewhere = [group];
    // What the store said holds for a second.
    expect(await why(aJob(), 20_999)).toBeNull();
    const [first, second, third, fourth, fifth] = Array.from({ length: 5 }, () => aJob());
    if (!first || !second || !third || !fourth || !fifth) throw new Error('there are five');
    const start = movesTo([], []);
    start.state.idleElsewhere = [group];
    expect(await start.why(first, 999)).toBeNull();
    expect(await Promise.all([start.why(first, 1_000), start.why(second, 1_000)])).toEqual([IDLE, null]);
    expect(await start.why(first, 5_999)).toBe(IDLE);
    expect(await start.why(first, 6_000)).toBeNull();
    expect(await start.why(second, 6_000)).toBe(IDLE);
    const late = [first, third, fourth, fifth].map(job => start.why(job, 10_000));
    expect(await Promise.all(late)).toEqual([null, IDLE, IDLE, null]);
    start.state.away = true;
    expect(await start.why(fifth, 15_000)).toBeNull();
  });

  it('for a waiting job of a higher priority that goes before it, one for each', async () => {
    const { state, why } = movesTo([], []);
    const [low, other] = [0, 1].map(createdAt => aJob({ priority: 'LOW', createdAt }));
    if (low === undefined || other === undefined) throw new Error('there are two');
    state.waiting = [aJob({ priority: 'LOW', createdAt: 0 })];
    expect(await why(low, 2_000)).toBeNull();
    state.waiting = [{ ...aJob({ priority: 'HIGH', createdAt: 5 }), notBefore: 9_000 }];
    expect(await why(low, 3_000)).toBeNull();
    // It has waited for so long that it is first.
    state.waiting = [aJob({ priority: 'NORMAL', createdAt: 3_600_000 })];
    expect(await why(low, 4_000)).toBeNull();
    state.waiting = [aJob({ priority: 'NORMAL', createdAt: 5 })];
    expect(await why(low, 4_999)).toBeNull();
    expect(await why(low, 5_000)).toBe(OUTRANKED);
    expect(await why(other, 5_000)).toBeNull();
    expect(await why(low, 9_999)).toBe(OUTRANKED);
    expect(await why(other, 10_000)).toBe(OUTRANKED);
    state.away = true;
    expect(await why(aJob({ priority: 'LOW' }), 70_000)).toBeNull();
  });

  it('at once when the engine leaves', async () => {
    const { why } = movesTo([], []);
    const leaving = { ...OWN, leaving: () => 'removed by an operator' };
    expect(await why({ ...aJob(), suspect: true }, 0, leaving)).toBe('own leaves: removed by an operator');
  });
});
