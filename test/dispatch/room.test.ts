import { describe, expect, it } from 'vitest';
import type { Engine } from '../../src/dispatch/engines/engine.ts';
import { createRoom } from '../../src/dispatch/lanes/room.ts';
import { StoreUnavailable } from '../../src/jobs/errors.ts';
import type { Job } from '../../src/jobs/job.ts';
import { createLog } from '../../src/log.ts';
import { aJob } from '../support/jobs.ts';

const PATIENCE = 10_000;
type Candidate = Pick<Engine, 'id' | 'canRun'>;
const engine = (id: string, able = true): Candidate => ({ id, canRun: () => able });
const OWN = 'own';

/** Room on these idle engines, of which `warm` have the models; a test sets the time and what other gateways run. */
function roomOn(idle: Candidate[], warm: string[]) {
  const state = { at: 0, elsewhere: new Map<string, Job[]>(), away: false };
  const room = createRoom({
    ledger: {
      inLanes: async prefix => {
        if (state.away) throw new StoreUnavailable('away', 'ECONNREFUSED');
        return state.elsewhere.get(prefix) ?? [];
      },
    },
    idle: () => idle,
    warmth: { of: id => (warm.includes(id) ? [aJob().request.workflow] : []) },
    patienceMs: PATIENCE,
    now: () => state.at,
    log: createLog('silent'),
  });
  const has = (job: Job, at: number, own = OWN): Promise<boolean> => {
    state.at = at;
    return room.hasFor(job, own, 0);
  };
  return { state, has };
}

describe('a job that waits behind a run has room', () => {
  it('on an idle engine with its models after a second, on one without them after the patience', async () => {
    const warm = roomOn([engine('a')], ['a']);
    expect(await warm.has(aJob(), 999)).toBe(false);
    expect(await warm.has(aJob(), 1_000)).toBe(true);
    const cold = roomOn([engine('a')], []);
    expect(await cold.has(aJob(), PATIENCE - 1)).toBe(false);
    expect(await cold.has(aJob(), PATIENCE)).toBe(true);
  });

  it('not on its own engine, nor on one that cannot run it or has jobs of another gateway', async () => {
    const { state, has } = roomOn([engine(OWN), engine('a', false), engine('b')], [OWN, 'a', 'b']);
    state.elsewhere.set('b#', [aJob()]);
    expect(await has(aJob(), 2_000)).toBe(false);
    state.elsewhere.clear();
    state.away = true;
    expect(await has(aJob(), 2_000)).toBe(false);
    state.away = false;
    expect(await has(aJob(), 2_000)).toBe(true);
  });

  it('on an engine that is kept for no other job, for a moment, and not again within a minute', async () => {
    const { has } = roomOn([engine('a')], ['a']);
    const [first, second] = [aJob(), aJob()];
    expect(await has(first, 2_000)).toBe(true);
    expect(await has(second, 3_000)).toBe(false);
    // It moved, and waits behind another one there: others were faster.
    expect(await has(first, 6_999, 'b')).toBe(false);
    expect(await has(first, 6_999)).toBe(true);
    expect(await has(first, 7_000)).toBe(false);
    expect(await has(second, 7_000)).toBe(true);
    expect(await has(first, 61_999)).toBe(false);
    expect(await has(first, 62_000)).toBe(true);
  });
});
