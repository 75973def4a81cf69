import { expect, it } from 'vitest';
import type { AskingLane, ClaimResult, RunningLimits } from '../../../src/jobs/claims.ts';
import { type Job, TURN_MS } from '../../../src/jobs/job.ts';
import { aJob } from '../../support/jobs.ts';
import { asking, idleLanes } from '../../support/lanes.ts';
import { END, OPEN, type UnderTest } from './under-test.ts';

const ONE: RunningLimits = { trial: 1 };
const TWO: RunningLimits = { trial: 2 };
const BACK = { type: 'handedBack', at: 6, reason: 'x', expiresAt: 9 } as const;

/** What policies let callers have in lanes at the same time. `claims.ts` compares the choice with `assign`. */
export function runningLimitContract(under: () => UnderTest): void {
  let clock = 0;
  const submit = async (owner: string, fields: { policy?: string | null; workflow?: string } = {}) => {
    const { policy = 'trial', workflow } = fields;
    clock += 1;
    const job = aJob({ owner, share: owner, createdAt: clock });
    const named = workflow === undefined ? job : { ...job, request: { ...job.request, workflow } };
    expect(await under().store.ledger.submit(named, { ...OPEN, policy })).toEqual({ kind: 'stored' });
    return named;
  };
  const lanesOf = async (...names: string[]): Promise<AskingLane[]> => {
    const { taken } = await under().store.ledger.keepLanes([], names, 60_000);
    return taken.map(({ lease }) => asking(lease));
  };
  const ask = (lanes: readonly AskingLane[], running: RunningLimits, cannot: string[] = []) =>
    under().store.ledger.claim({
      at: 10,
      lanes,
      idle: [{ ...idleLanes(lanes.length), cannot: { names: cannot, except: [] } }],
      woken: 0,
      patienceMs: 0,
      running,
    });
  const ids = ({ claimed }: ClaimResult) => claimed.map(({ job }) => job.id);
  const taken = ({ claimed }: ClaimResult): Job => {
    const [first] = claimed;
    if (first === undefined) throw new Error('nothing was claimed');
    return first.job;
  };

  it('keeps the further jobs of a caller waiting, and no jobs of others', async () => {
    const [mine, next, last] = [await submit('a'), await submit('a'), await submit('a')];
    const [yours, free] = [await submit('b'), await submit('c', { policy: null })];
    const more = await submit('c', { policy: null });
    const lanes = await lanesOf('e:1#0', 'e:2#0', 'e:3#0', 'e:4#0', 'e:5#0');
    const result = await ask(lanes, ONE);
    expect(ids(result).toSorted()).toEqual([mine, yours, free, more].map(({ id }) => id).toSorted());
    expect(result.more).toBe(false);
    const running = result.claimed.find(({ job }) => job.id === mine.id)?.job ?? mine;
    const { ledger } = under().store;
    expect(await ledger.usage('a')).toMatchObject({ waiting: 3, running: 1 });
    expect(await ledger.count()).toEqual({ waiting: 2, running: 4 });
    expect(await ask(lanes, ONE)).toMatchObject({ claimed: [], more: false });
    expect(await ledger.place(next, ONE)).toEqual({ ahead: 0, limited: { limit: 1, ahead: 0 } });
    expect(await ledger.place(last, ONE)).toEqual({ ahead: 1, limited: { limit: 1, ahead: 1 } });

    // Those of others do not wait behind them.
    const other = await submit('d', { policy: null });
    expect(await ledger.place(other, ONE)).toEqual({ ahead: 0, limited: null });
    await ledger.remove(other.id);

    await under().commit(running, { type: 'canceled', ...END });
    expect(await ledger.place(next, ONE)).toMatchObject({ ahead: 0, limited: null });
    expect(ids(await ask(lanes, ONE))).toEqual([next.id]);
    expect(ids(await ask(lanes, ONE))).toEqual([]);
  });

  it('tells the places of jobs, whether a lane has asked since a caller reached its limit or not', async () => {
    const { ledger } = under().store;
    const yours = await submit('b', { policy: null });
    const mine = [await submit('a'), await submit('a'), await submit('a'), await submit('a')];
    const second = mine[1] ?? neverMind();
    // Both are of no caller, and the first has the same turn as the caller's second job: the ids decide.
    const other = { owner: null, request: { ...aJob().request, workflow: 'other' } };
    const free = await under().stored({ ...other, createdAt: second.createdAt + TURN_MS });
    const last = await under().stored({ ...other, createdAt: second.createdAt + 9 * TURN_MS });
    const n = free.id < second.id ? 1 : 0;
    const places = async (running: RunningLimits) => {
      const jobs = await ledger.getMany([yours, ...mine, free, last].map(({ id }) => id));
      return Promise.all(jobs.map(job => (job === null ? null : ledger.place(job, running))));
    };
    const at = (ahead: number) => ({ ahead, limited: null });
    const limited = (ahead: number, own: number) => ({ ahead, limited: { limit: 1, ahead: own } });
    expect(await places(TWO)).toEqual([at(0), at(1), at(2 + n), at(4), at(5), at(3 - n), at(6)]);

    const lanes = await lanesOf('e:1#0', 'e:2#0', 'e:3#0');
    const first = [...ids(await ask(lanes.slice(0, 1), TWO)), ...ids(await ask(lanes.slice(1, 2), TWO))];
    expect(first).toEqual([yours.id, mine[0]?.id]);
    // Lanes hold one of the two that the policy allows, which is all of another limit. No lane has asked with that.
    const reached = [null, null, limited(n, 0), limited(2, 1), limited(3, 2), at(0), at(1)];
    expect(await places(ONE)).toEqual(reached);
    // Now one does, which cannot run the others.
    expect(ids(await ask(lanes.slice(2), ONE, ['other']))).toEqual([]);
    expect(await places(ONE)).toEqual(reached);
    // These come behind those that the lane has passed over.
    const later = await submit('a');
    expect(await ledger.place(later, ONE)).toEqual(limited(4, 3));
    expect(await places(ONE)).toEqual(reached);
  });

  it('counts the jobs that no further lane could take', async () => {
    const { ledger } = under().store;
    for (let n = 0; n < 4; n += 1) await submit('a');
    await submit('b');
    for (let n = 0; n < 3; n += 1) await submit('c', { policy: null });
    await under().stored({ owner: null, share: 'address 127.0.0.1' });
    const counts = async () => [
      await ledger.limited({}),
      await ledger.limited(ONE),
      await ledger.limited(TWO),
    ];
    // Whether any lane has asked or not.
    expect(await counts()).toEqual([0, 3, 2]);
    // More lanes than jobs.
    const lanes = await lanesOf(...Array.from({ length: 10 }, (_, n) => `e:${n}#0`));
    const { claimed } = await ask(lanes, TWO);
    const mine = claimed.filter(({ job }) => job.owner === 'a').map(({ job }) => job);
    expect(mine).toHaveLength(2);
    // Two in lanes, of which neither has started, and two that wait.
    expect(await counts()).toEqual([0, 2, 2]);
    const [first, second] = mine;
    const started = await under().commit(first ?? neverMind(), { type: 'started', at: 6 });
    expect(await counts()).toEqual([0, 2, 2]);
    await under().commit(started, { type: 'completed', outputs: [], ...END });
    expect(await counts()).toEqual([0, 2, 1]);
    await under().commit(second ?? neverMind(), BACK);
    expect(await counts()).toEqual([0, 2, 1]);
    await ledger.setPolicies(new Map([['a', null]]));
    expect(await counts()).toEqual([0, 0, 0]);
  });

  it.each(['end', 'give back', 'lose', 'remove'])('calls for a waiting job when lanes %s one', async how => {
    const [first, second, third] = [await submit('a'), await submit('a'), await submit('a')];
    const lanes = await lanesOf('e:1#0', 'e:2#0', 'e:3#0');
    const result = await ask(lanes, TWO);
    expect(ids(result).toSorted()).toEqual([first.id, second.id].toSorted());
    const running = result.claimed.find(({ job }) => job.id === first.id)?.job ?? first;
    const called = Promise.withResolvers<void>();
    const stop = under().store.ledger.onWaiting(() => called.resolve());
    if (how === 'end') await under().commit(running, { type: 'canceled', ...END });
    else if (how === 'give back') await under().commit(running, BACK);
    else if (how === 'remove') await under().store.ledger.remove(running.id);
    else await under().commit(running, { ...BACK, type: 'engineLost', maxAttempts: 3 });
    await called.promise;
    stop();
    const back = how === 'give back' || how === 'lose';
    expect(ids(await ask(lanes, TWO))).toEqual([back ? first.id : third.id]);
    expect(ids(await ask(lanes, TWO))).toEqual([]);
  });

  /** Two of five jobs of a caller are in lanes, one of them leaves, and the third is next. */
  const twoOfFive = async (workflow?: string) => {
    const lanes = await lanesOf('e:1#0', 'e:2#0', 'e:3#0');
    const first = await submit('a');
    await submit('a');
    const next = await submit('a', workflow === undefined ? {} : { workflow });
    const later = [await submit('a'), await submit('a')];
    const { claimed } = await ask(lanes, TWO);
    expect(ids(await ask(lanes, TWO))).toEqual([]);
    const held = claimed.find(({ job }) => job.id === first.id)?.job ?? first;
    await under().commit(held, { type: 'canceled', ...END });
    return { lanes, next, later };
  };

  it('looks behind those of a caller that its lanes cannot run', async () => {
    const { lanes, later } = await twoOfFive('other');
    expect(ids(await ask(lanes, TWO, ['other']))).toEqual([later[0]?.id]);
    expect(ids(await ask(lanes, TWO))).toEqual([]);
  });

  it.each(['canceled', 'removed'])(
    'takes the next of a caller after one that was %s while it waited',
    async how => {
      const { lanes, next, later } = await twoOfFive();
      if (how === 'canceled') await under().commit(next, { type: 'cancelRequested', ...END });
      else await under().store.ledger.remove(next.id);
      expect(ids(await ask(lanes, TWO))).toEqual([later[0]?.id]);
      await under().commit(later[1] ?? next, { type: 'cancelRequested', ...END });
      expect(await under().store.ledger.usage('a')).toMatchObject({ waiting: 2, running: 2 });
      expect(await under().store.ledger.count()).toEqual({ waiting: 0, running: 2 });
    },
  );

  it('lets all of them run once a policy allows more, or no longer limits them', async () => {
    const { ledger } = under().store;
    const jobs: string[] = [];
    for (let n = 0; n < 9; n += 1) jobs.push((await submit('a')).id);
    let asked = 0;
    /** Idle lanes of three engines ask. */
    const three = async (running: RunningLimits): Promise<ClaimResult> => {
      asked += 1;
      return ask(await lanesOf(`e:1#${asked}`, `e:2#${asked}`, `e:3#${asked}`), running);
    };
    const several = async (running: RunningLimits) => ids(await three(running)).toSorted();
    const sorted = (from: number, to: number) => jobs.slice(from, to).toSorted();
    const [first] = (await three(TWO)).claimed;
    // Another gateway was started with other policies, and a job ends.
    await under().commit(first?.job ?? (await submit('a')), { type: 'canceled', ...END });
    const one = async (running: RunningLimits) => ids(await ask(await lanesOf('e:1#0'), running));
    expect(await one({ trial: 4 })).toEqual([jobs[2]]);
    expect(await several({ trial: 4 })).toEqual(sorted(3, 5));
    expect(await several({ trial: 4 })).toEqual([]);
    await ledger.setPolicies(new Map([['a', 'large']]));
    expect(await several({ trial: 4, large: 6 })).toEqual(sorted(5, 7));
    expect(await several({ trial: 4, large: 6 })).toEqual([]);
    await ledger.setPolicies(new Map([['a', null]]));
    expect(await several({ trial: 4, large: 6 })).toEqual(sorted(7, 9));
  });

  it.each(['constructor', '__proto__'])('knows the policy %s only by what it allows', async policy => {
    const mine = [await submit('a', { policy }), await submit('a', { policy })];
    const lanes = await lanesOf('e:1#0', 'e:2#0', 'e:3#0');
    const all = { ...ONE, ...Object.fromEntries([[policy, 1]]) };
    expect(await under().store.ledger.place(mine[1] ?? neverMind(), ONE)).toEqual({
      ahead: 1,
      limited: null,
    });
    expect(ids(await ask(lanes.slice(0, 1), all))).toEqual([mine[0]?.id]);
    expect(ids(await ask(lanes.slice(1), all))).toEqual([]);
    await under().store.ledger.setPolicies(new Map());
    expect(ids(await ask(lanes.slice(1), ONE))).toEqual([mine[1]?.id]);
  });

  it('sets the policy of all jobs of a caller by its newest submit', async () => {
    const lanes = await lanesOf('e:1#0', 'e:2#0', 'e:3#0');
    await submit('a');
    await submit('a');
    expect(ids(await ask(lanes, ONE))).toHaveLength(1);
    expect(ids(await ask(lanes, ONE))).toHaveLength(0);
    await submit('a', { policy: null });
    expect(ids(await ask(lanes, ONE))).toHaveLength(2);
  });

  it('counts what is in lanes after a restart, and by whichever process takes their lanes over', async () => {
    const [first, second] = [await submit('a'), await submit('a')];
    const lanes = await lanesOf('e:1#0', 'e:2#0');
    const held = taken(await ask(lanes, ONE));
    expect(ids(await ask(lanes, ONE))).toEqual([]);
    under().store = await under().store.reopen();
    under().store.advanceClock(60_001);
    await under().store.ledger.setPolicies(new Map());
    const over = await lanesOf('e:1#0', 'e:2#0');
    expect(over).toHaveLength(2);
    expect(await under().store.ledger.usage('a')).toMatchObject({ waiting: 2, running: 1 });
    expect(ids(await ask(over, ONE))).toEqual([]);
    expect(await under().store.ledger.place(second, ONE)).toMatchObject({ limited: { limit: 1 } });
    expect(held.id).toBe(first.id);
    await under().commit(held, { type: 'canceled', ...END });
    expect(ids(await ask(over, ONE))).toEqual([second.id]);
  });

  it('bounds the queue with the jobs that wait for a limit, and ends them when they are overdue', async () => {
    const lanes = await lanesOf('e:1#0', 'e:2#0');
    for (let n = 0; n < 4; n += 1) await submit('a');
    await ask(lanes, ONE);
    await ask(lanes, ONE);
    const full = { ...OPEN, maxQueue: 3 };
    expect(await under().store.ledger.submit(aJob(), full)).toEqual({ kind: 'queue-full', waiting: 3 });
    expect(await under().store.ledger.overdue(Number.MAX_SAFE_INTEGER, 9)).toHaveLength(3);
  });
}

function neverMind(): never {
  throw new Error('there is one');
}
