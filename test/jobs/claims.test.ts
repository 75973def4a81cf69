import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  assign,
  besideOthers,
  type Candidate,
  type ChoosingLane,
  candidateOf,
  canRun,
  laneName,
  NO_INABILITY,
  workflowKey,
} from '../../src/jobs/claims.ts';
import { type Job, TURN_MS } from '../../src/jobs/job.ts';
import { aJob } from '../support/jobs.ts';

const PATIENCE = 30_000;
const job = (fields: Partial<Job>): Job => ({ ...aJob(), ...fields });
const candidate = (fields: Partial<Candidate> = {}): Candidate => ({
  ...candidateOf(aJob(), 0, null),
  ...fields,
});
const lane = (fields: Partial<ChoosingLane> = {}): ChoosingLane => ({
  engine: 'a',
  alone: true,
  cannot: NO_INABILITY,
  warm: [],
  othersCannot: [],
  leavesTo: [],
  ...fields,
});
/** The jobs in the order of the lanes; null for a lane without one. */
function choice(lanes: ChoosingLane[], waiting: Candidate[], at = 0, patience = PATIENCE): unknown[] {
  const { chosen } = assign(lanes, waiting, at, patience);
  return lanes.map((_, index) => {
    const id = chosen.find(({ lane }) => lane === index)?.job;
    return waiting.find(other => other.id === id) ?? null;
  });
}

describe('idle lanes get', () => {
  it('the best jobs that their engines can run', () => {
    const [one, two] = [candidate(), candidate({ workflow: 'other' })];
    const cannot = { names: [one.workflow], except: [] };
    expect(choice([lane()], [one, two])).toEqual([one]);
    expect(choice([lane({ cannot })], [one, two])).toEqual([two]);
    expect(choice([lane(), lane({ engine: 'b', cannot })], [one, two])).toEqual([one, two]);
    expect(choice([lane({ cannot })], [one])).toEqual([null]);
  });

  it('nothing that an idle engine can run, if their own is busy and that one does not ask', () => {
    const [one, two] = [candidate(), candidate({ workflow: 'other' })];
    const onlyTwo = { names: [one.workflow], except: [] };
    const spare = lane({ alone: false, leavesTo: [onlyTwo] });
    expect(choice([spare], [one, two])).toEqual([one]);
    expect(choice([spare], [two])).toEqual([null]);
    expect(choice([lane({ alone: false, leavesTo: [onlyTwo, NO_INABILITY] })], [one, two])).toEqual([null]);
    // The other is next for an idle engine, and is not passed over.
    expect(assign([spare], [two, one], 7, PATIENCE).passed).toEqual([]);
  });

  it('a version of a workflow that differs from the present one', () => {
    const names = ['w'];
    const except = [workflowKey('w', 'old'), workflowKey('v', 'new')];
    const can = (name: string, version: string): boolean => canRun({ names, except }, name, version);
    expect([can('w', 'new'), can('w', 'old'), can('v', 'new'), can('v', 'old')]).toEqual([
      false,
      true,
      false,
      true,
    ]);
  });

  it('no job before its pause has ended, and learn when that is', () => {
    const [late, later] = [candidate({ notBefore: 500 }), candidate({ notBefore: 900 })];
    expect(assign([lane()], [later, late], 499, PATIENCE)).toMatchObject({ chosen: [], againAt: 500 });
    expect(choice([lane()], [later, late], 500)).toEqual([late]);
  });

  it('a job under which their engine was lost only if no other can run it, or none has taken it', () => {
    const lost = candidate({ notBefore: 500, lostOn: 'a' });
    expect(assign([lane()], [lost], 500, PATIENCE)).toMatchObject({ chosen: [], againAt: 30_500 });
    expect(choice([lane()], [lost], 30_500)).toEqual([lost]);
    expect(choice([lane({ othersCannot: null })], [lost], 500)).toEqual([lost]);
    expect(choice([lane({ othersCannot: [lost.workflow] })], [lost], 500)).toEqual([lost]);
    expect(choice([lane(), lane({ engine: 'b' })], [lost], 500)).toEqual([null, lost]);
  });

  it('what their engines have loaded first, then what no engine has', () => {
    const [x, y, z] = ['x', 'y', 'z'].map((workflow, score) => candidate({ workflow, score }));
    if (!x || !y || !z) throw new Error('there are three');
    const [onY, onZ, fresh] = [
      lane({ warm: ['y'] }),
      lane({ engine: 'b', warm: ['z'] }),
      lane({ engine: 'c' }),
    ];
    expect(choice([onY], [x, y])).toEqual([y]);
    // An engine with nothing to do comes before one that has the models, and a job to run first.
    expect(choice([{ ...onY, alone: false }, fresh], [y])).toEqual([null, y]);
    expect(choice([{ ...onY, alone: false }, fresh], [x, y])).toEqual([y, x]);
    expect(choice([onY], [x, y], 0, 0)).toEqual([x]);
    expect(choice([onY, onZ], [z, x, y])).toEqual([y, z]);
    expect(choice([onY, onZ, fresh], [x, y, z])).toEqual([y, z, x]);
    expect(assign([onY], [x, y], 7, PATIENCE).passed).toEqual([x.id]);
    // Nobody waits longer than that for others' models.
    const passed = { ...x, passedAt: 7 };
    expect(choice([onY], [passed, y], 7 + PATIENCE - 1)).toEqual([y]);
    expect(choice([onY], [passed, y], 7 + PATIENCE)).toEqual([x].map(() => passed));
  });

  it('no loaded job before one of another priority, or of an earlier turn of another caller', () => {
    const warm = lane({ warm: ['y'] });
    const later = (fields: Partial<Candidate>): Candidate =>
      candidate({ workflow: 'y', score: 10, share: 'me', ...fields });
    const first = candidate({ workflow: 'x', score: 0, share: 'you' });
    const getsFirst = (second: Candidate): boolean => choice([warm], [first, second])[0] === first;
    expect(getsFirst(later({}))).toBe(false);
    expect(getsFirst(later({ priority: 'LOW' }))).toBe(true);
    expect(getsFirst(later({ priority: 'HIGH' }))).toBe(true);
    expect(getsFirst(later({ score: TURN_MS }))).toBe(true);
    expect(getsFirst(later({ score: TURN_MS, share: 'you' }))).toBe(false);
  });
});

const WORKFLOWS = ['x', 'y', 'z'];
const aWorkflow = fc.constantFrom(...WORKFLOWS);
const somePriority = fc.constantFrom('HIGH', 'NORMAL', 'LOW') satisfies fc.Arbitrary<Job['priority']>;
const someLanes = fc
  .array(
    fc.record({
      warm: fc.option(aWorkflow, { nil: null }),
      cannot: fc.subarray(WORKFLOWS, { maxLength: 2 }),
      others: fc.boolean(),
      alone: fc.boolean(),
    }),
    { minLength: 1, maxLength: 5 },
  )
  .map(all =>
    all.map(({ warm, cannot, others, alone }, n) =>
      lane({
        engine: `e${n}`,
        alone,
        warm: warm === null ? [] : [warm],
        cannot: { names: cannot, except: [] },
        othersCannot: others ? [] : null,
      }),
    ),
  );
const someJobs = fc
  .array(
    fc.record({
      workflow: aWorkflow,
      score: fc.nat(3 * TURN_MS),
      priority: somePriority,
      share: fc.constantFrom('a', 'b', null),
      owner: fc.constantFrom('me', 'you', null),
      notBefore: fc.option(fc.nat(2_000), { nil: null }),
      lostOn: fc.constantFrom('e0', 'e1', null),
      passedAt: fc.option(fc.nat(1_000), { nil: null }),
    }),
    { maxLength: 30 },
  )
  .map(all => all.toSorted((one, other) => one.score - other.score).map(fields => candidate(fields)));

describe('whatever waits and whichever lanes are idle', () => {
  /** Whether the lane may take the job now, said once more in other words. */
  const may = (of: ChoosingLane, { workflow, notBefore, lostOn }: Candidate, at: number): boolean => {
    if (of.cannot.names.includes(workflow)) return false;
    const pause = lostOn === of.engine && of.othersCannot !== null ? PATIENCE : 0;
    return at >= (notBefore ?? 0) + pause;
  };

  it('each lane gets one job that it may take, none stays idle for which there is one, and no job goes twice', () => {
    fc.assert(
      fc.property(someLanes, someJobs, fc.nat(40_000), (lanes, jobs, at) => {
        const given = choice(lanes, jobs, at);
        const ids = new Set(given.filter(one => one !== null));
        expect(ids.size).toBe(given.filter(one => one !== null).length);
        for (const [index, of] of lanes.entries()) {
          const got = jobs.find(one => one === given[index]);
          if (got !== undefined) expect(may(of, got, at)).toBe(true);
          else expect(jobs.filter(one => !ids.has(one) && may(of, one, at))).toEqual([]);
        }
      }),
    );
  });

  it('no job goes before one that was passed over for long, nor before one of another priority or an earlier turn', () => {
    fc.assert(
      fc.property(someLanes, someJobs, fc.nat(40_000), (lanes, jobs, at) => {
        const given = choice(lanes, jobs, at);
        for (const [index, of] of lanes.entries()) {
          const got = jobs.find(one => one === given[index]);
          if (got === undefined || isDue(got, at)) continue;
          const before = jobs.slice(0, jobs.indexOf(got)).filter(one => !given.includes(one));
          for (const earlier of before.filter(one => may(of, one, at))) {
            expect(isDue(earlier, at)).toBe(false);
            expect(earlier.priority).toBe(got.priority);
            if (earlier.share !== got.share) expect(got.score).toBeLessThan(earlier.score + TURN_MS);
          }
        }
      }),
    );
  });

  it('no caller gets more than it has slots for, and its jobs keep no lane from those of others', () => {
    const slots = fc.record({ me: fc.nat(3), you: fc.nat(3) });
    fc.assert(
      fc.property(someLanes, someJobs, fc.nat(40_000), slots, (lanes, jobs, at, { me, you }) => {
        const slotsOf = (owner: string): number => (owner === 'me' ? me : you);
        const { chosen, passed, more } = assign(lanes, jobs, at, PATIENCE, slotsOf);
        const got = jobs.filter(({ id }) => chosen.some(({ job }) => job === id));
        const left = jobs.filter(one => !got.includes(one));
        const isFull = ({ owner }: Candidate): boolean =>
          owner !== null && got.filter(one => one.owner === owner).length === slotsOf(owner);
        for (const owner of ['me', 'you'])
          expect(got.filter(one => one.owner === owner).length).toBeLessThanOrEqual(slotsOf(owner));
        for (const [index, of] of lanes.entries()) {
          if (chosen.some(({ lane }) => lane === index)) continue;
          expect(left.filter(one => may(of, one, at) && !isFull(one))).toEqual([]);
        }
        expect(more).toBe(left.some(one => !isFull(one) && lanes.some(of => may(of, one, at))));
        // Only by a job of its own caller.
        for (const one of jobs.filter(({ id }) => passed.includes(id)).filter(isFull)) {
          const later = jobs.slice(jobs.indexOf(one) + 1);
          expect(later.some(other => other.owner === one.owner && got.includes(other))).toBe(true);
        }
      }),
    );
  });

  it('a caller with one slot gets the job whose models are loaded, and has not passed its own first one for long', () => {
    const [x, y, other] = ['x', 'y', 'x'].map((workflow, score) =>
      candidate({ workflow, score, owner: score < 2 ? 'me' : 'you', share: score < 2 ? 'me' : 'you' }),
    );
    if (!x || !y || !other) throw new Error('there are three');
    const lanes = [lane({ warm: ['y'] }), lane({ engine: 'b' })];
    const slotsOf = (owner: string): number => (owner === 'me' ? 1 : Number.POSITIVE_INFINITY);
    const first = assign(lanes, [x, y, other], 7, PATIENCE, slotsOf);
    expect(first.chosen).toEqual([
      { lane: 0, job: y.id },
      { lane: 1, job: other.id },
    ]);
    expect(first).toMatchObject({ passed: [x.id], more: false });
    const again = assign(lanes, [{ ...x, passedAt: 7 }, y], 7 + PATIENCE, PATIENCE, slotsOf);
    expect(again).toMatchObject({ chosen: [{ job: x.id }], passed: [], more: false });
  });

  it('a caller at its limit with thousands of jobs hides none of others', () => {
    const many = Array.from({ length: 3_000 }, (_, score) => candidate({ owner: 'me', share: 'me', score }));
    const last = candidate({ owner: 'you', share: 'you', score: 3_000 });
    const slotsOf = (slots: number) => (owner: string) => (owner === 'me' ? slots : 9);
    const lanes = [lane(), lane({ engine: 'b' })];
    expect(assign(lanes, [...many, last], 0, PATIENCE, slotsOf(0)).chosen).toEqual([
      { lane: 0, job: last.id },
    ]);
    // The first thousand are looked at: ask again.
    const full = assign(lanes, [...many, last], 0, PATIENCE, slotsOf(1));
    expect(full).toMatchObject({ chosen: [{ lane: 0, job: many[0]?.id }], more: true });
  });

  it('without patience each job goes before every later one for the same lane', () => {
    fc.assert(
      fc.property(someLanes, someJobs, fc.nat(40_000), (lanes, jobs, at) => {
        const { chosen, passed } = assign(lanes, jobs, at, 0);
        expect(passed).toEqual([]);
        for (const { lane: index, job: id } of chosen) {
          const place = jobs.findIndex(one => one.id === id);
          const left = jobs.slice(0, place).filter(one => !chosen.some(other => other.job === one.id));
          for (const one of left) expect(may(lanes[index] ?? lane(), one, at)).toBe(false);
        }
      }),
    );
  });

  it('nobody waits for longer than the patience and one more job while lanes that could take it become idle', () => {
    fc.assert(
      fc.property(
        fc.array(aWorkflow, { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 100, max: 20_000 }),
        (workflows, engines, runMs) => {
          let waiting = workflows.map((workflow, score) => candidate({ workflow, score }));
          const order = [...waiting];
          const started = new Map<string, number>();
          const loaded: string[] = [];
          for (let at = 0; waiting.length > 0; at += runMs) {
            const lanes = Array.from({ length: engines }, (_, n) =>
              lane({ engine: `e${n}`, warm: loaded.slice(n, n + 1).filter(one => one !== undefined) }),
            );
            const { chosen, passed } = assign(lanes, waiting, at, PATIENCE);
            for (const { lane: n, job: id } of chosen) {
              started.set(id, at);
              loaded[n] = order.find(one => one.id === id)?.workflow ?? '';
            }
            waiting = waiting
              .filter(({ id }) => !started.has(id))
              .map(one => (passed.includes(one.id) ? { ...one, passedAt: at } : one));
          }
          // In the order of the queue the n-th job starts in round n / engines.
          for (const [n, { id }] of order.entries()) {
            const inOrder = Math.floor(n / engines) * runMs;
            const waited = (started.get(id) ?? Number.NaN) - inOrder;
            expect(waited).toBeLessThanOrEqual(PATIENCE + runMs);
          }
        },
      ),
    );
  });

  const isDue = ({ passedAt }: Candidate, at: number): boolean =>
    passedAt !== null && at - passedAt >= PATIENCE;
});

/** The lanes of one engine: what each does, step by step, as processes that see only the ledger. */
type LaneState =
  | { at: 'idle' }
  /** Saw no suspect beside it: it claims next, whatever happens in between. */
  | { at: 'choosing' }
  /** Claimed, and not known whether it may run. */
  | { at: 'claimed'; job: Job }
  | { at: 'running'; job: Job };

describe('the lanes of an engine', () => {
  it('run a suspect alone, whatever the order of their steps, and no job waits for ever', () => {
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.nat(3), { maxLength: 200 }),
        (suspects, lanes, order) => {
          const waiting = suspects.map(suspect => job({ suspect }));
          const state: LaneState[] = Array.from({ length: lanes }, () => ({ at: 'idle' }));
          let done = 0;
          const jobsIn = (): Job[] => state.flatMap(lane => ('job' in lane ? [lane.job] : []));
          const step = (index: number): void => {
            const lane = state[index];
            if (lane === undefined) return;
            switch (lane.at) {
              case 'idle':
                if (!jobsIn().some(({ suspect }) => suspect)) state[index] = { at: 'choosing' };
                return;
              case 'choosing': {
                const next = waiting.shift();
                state[index] =
                  next === undefined
                    ? { at: 'idle' }
                    : { at: 'claimed', job: { ...next, lane: laneName('a', index) } };
                return;
              }
              case 'claimed': {
                const others = jobsIn().filter(({ id }) => id !== lane.job.id);
                const turn = besideOthers(lane.job, others);
                if (turn === 'go') state[index] = { at: 'running', job: lane.job };
                if (turn === 'yield') {
                  waiting.unshift({ ...lane.job, lane: null });
                  state[index] = { at: 'idle' };
                }
                return;
              }
              case 'running':
                done += 1;
                state[index] = { at: 'idle' };
                return;
              default:
                lane satisfies never;
            }
          };
          const check = (): void => {
            const running = state.flatMap(lane => (lane.at === 'running' ? [lane.job] : []));
            if (running.some(({ suspect }) => suspect)) expect(running).toHaveLength(1);
          };
          for (const index of order) {
            step(index % lanes);
            check();
          }
          for (let round = 0; done < suspects.length; round += 1) {
            expect(round).toBeLessThan(200);
            for (let index = 0; index < lanes; index += 1) {
              step(index);
              check();
            }
          }
        },
      ),
    );
  });
});
