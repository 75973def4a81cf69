import fc from 'fast-check';
import { expect, it } from 'vitest';
import { advance } from '../../../src/jobs/advance.ts';
import { type AskingLane, assign, candidateOf, choosingLanes, claimedBy } from '../../../src/jobs/claims.ts';
import { type Job, queueScore, TURN_MS } from '../../../src/jobs/job.ts';
import type { Lease } from '../../../src/jobs/ports.ts';
import { LOG_LIMIT } from '../../../src/jobs/transitions.ts';
import { anyCharacter } from '../../support/characters.ts';
import { aJob } from '../../support/jobs.ts';
import { asking, claimFor } from '../../support/lanes.ts';
import { END, type UnderTest } from './under-test.ts';

const WORKFLOWS = ['x', 'y', 'a "quoted" \\ name'];
const PATIENCE = 30_000;

const someText = fc.oneof(
  fc.string({ unit: anyCharacter }),
  fc.constantFrom('"lane":null,', '\\"', '"log":[', '{[]}', '"revision":1', '\ud800'),
);
const aWaitingJob = fc.record({
  workflow: fc.constantFrom(...WORKFLOWS),
  prompt: someText,
  metadata: fc.constantFrom({}, { workflow: 'z', workflowVersion: 'v9' }),
  priority: fc.constantFrom('HIGH', 'NORMAL', 'LOW') satisfies fc.Arbitrary<Job['priority']>,
  share: fc.constantFrom('a', 'b', null),
  owner: fc.constantFrom('one', 'one', 'two', 'two', 'free', null),
  createdAt: fc.nat(2 * TURN_MS),
  notBefore: fc.option(fc.nat(2_000), { nil: null }),
  lostOn: fc.constantFrom('e:0', 'e:1', null),
  suspect: fc.boolean(),
  engineReport: fc.option(someText, { nil: null }),
  log: fc.array(fc.record({ at: fc.nat(), event: fc.constant('moved'), detail: someText }), {
    minLength: 1,
    maxLength: LOG_LIMIT,
  }),
});
/** When lanes ask, in milliseconds. */
const ROUNDS = [1_000, 1_500, 31_500, 70_000, 90_000];
const USUAL = { p1: 2, p2: 3 };
/**
 * What happens between two claims: which of the jobs in lanes leave them, which waiting one ends, what the limits are, and how many
 * engines of each group are idle without asking.
 */
const aRound = fc.record({
  ends: fc.array(fc.constantFrom('end', 'return', 'stay'), { minLength: 9, maxLength: 9 }),
  cancels: fc.option(fc.nat(7), { nil: null, freq: 2 }),
  running: fc.constantFrom(USUAL, USUAL, USUAL, USUAL, {}, { p1: 1, p2: 4 }, { p2: 1 }),
  resting: fc.constantFrom([0, 0], [0, 0], [1, 0], [0, 2], [1, 1]),
});
const POLICIES: Readonly<Record<string, string>> = { one: 'p1', two: 'p2' };
const aLane = fc.record({
  warm: fc.subarray(WORKFLOWS, { maxLength: 2 }),
  othersCannot: fc.constantFrom(null, [], ['x']),
  group: fc.constantFrom(0, 1),
  alone: fc.boolean(),
});

/** Claims: which job goes to which lane, and what becomes of its record. */
export function claimContract(under: () => UnderTest): void {
  async function take(...lanes: string[]): Promise<Lease[]> {
    return (await under().store.ledger.keepLanes([], lanes, 60_000)).taken.map(({ lease }) => lease);
  }

  it('claims as the functions of the domain say, whatever waits, whichever lanes are idle and whatever limits callers', async () => {
    const { ledger } = under().store;
    // In each round others ask, because jobs may be in those of the rounds before.
    const leases: Lease[][] = [];
    for (let n = 0; n < ROUNDS.length; n += 1) leases.push(await take(`e:0#${n}`, `e:1#${n}`, `e:2#${n}`));
    const groups = [
      { cannot: { names: [], except: [] }, spare: 0, warm: {} },
      { cannot: { names: ['x', 'y'], except: ['v1 y'] }, spare: 0, warm: { y: 1 } },
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.array(aWaitingJob, { maxLength: 14 }),
        fc.array(aLane, { minLength: 1, maxLength: 3 }),
        fc.constantFrom(0, PATIENCE),
        fc.array(aRound, { minLength: ROUNDS.length, maxLength: ROUNDS.length }),
        async (waiting, asked, patienceMs, rounds) => {
          const turns = new Map<string, number>();
          const scores = new Map<string, number>();
          for (const { workflow, prompt, metadata, priority, share, owner, createdAt, ...state } of waiting) {
            const fresh = aJob({ priority, share, owner, createdAt });
            const job = { ...fresh, request: { ...fresh.request, workflow, prompt, metadata } };
            const turn = share === null ? 0 : (turns.get(share) ?? 0);
            if (share !== null) turns.set(share, turn + 1);
            scores.set(job.id, queueScore(job) + turn * TURN_MS);
            const policy = POLICIES[owner ?? ''];
            await ledger.submit(job, { maxQueue: 1_000, idempotency: null, policy });
            expect(await ledger.commit({ ...job, ...state, revision: 2 }, 1, null)).toBe('ok');
          }
          const passedAt = new Map<string, number>();
          const scoreOf = ({ id }: Job): number => scores.get(id) ?? Number.NaN;
          const inOrder = (a: Job, b: Job): number => scoreOf(a) - scoreOf(b) || (a.id < b.id ? -1 : 1);
          let held: Job[] = [];
          let before: object = {};
          for (const [n, { ends, cancels, running, resting }] of rounds.entries()) {
            const at = ROUNDS[n] ?? neverMind();
            const lanes = (leases[n] ?? []).slice(0, asked.length).map((lease, i) => asking(lease, asked[i]));
            const idle = groups.map((of, index) => {
              const alone = lanes.filter(({ alone, group }) => alone && group === index);
              return { ...of, engines: alone.length + (resting[index] ?? 0) };
            });
            const staying: Job[] = [];
            for (const [index, job] of held.entries()) {
              const event = ends[index];
              if (event === 'stay' && !job.suspect) staying.push(job);
              else if (event === 'return')
                await under().commit(job, { type: 'handedBack', at, reason: 'x', expiresAt: 9 });
              else if (index % 2 === 0) await under().commit(job, { type: 'canceled', ...END });
              else await ledger.remove(job.id);
            }
            held = staying;
            const { jobs: queued } = await ledger.list({ owner: null, statuses: ['QUEUED'], first: 100 });
            const canceled = queued.filter(({ lane }) => lane === null)[cancels ?? -1];
            if (canceled !== undefined) await under().commit(canceled, { type: 'cancelRequested', ...END });
            if (before !== running) await ledger.setPolicies(new Map());
            before = running;

            const jobs = queued.filter(job => job.lane === null && job !== canceled).toSorted(inOrder);
            const limits: Readonly<Record<string, number>> = running;
            const slotsOf = (owner: string): number =>
              (limits[POLICIES[owner] ?? ''] ?? Number.POSITIVE_INFINITY) -
              held.filter(job => job.owner === owner).length;
            const choosing = choosingLanes(lanes, { lanes, idle });
            const candidates = jobs.map(job => candidateOf(job, scoreOf(job), passedAt.get(job.id) ?? null));
            const expected = assign(choosing, candidates, at, patienceMs, slotsOf);
            for (const id of expected.passed) passedAt.set(id, at);

            const result = await ledger.claim({ at, lanes, idle, woken: 0, patienceMs, running });
            const pairs = result.claimed.map(({ lane, job }) => [lane, job.id]);
            const chosen = expected.chosen.map(({ lane, job }) => [lanes[lane]?.lease.lane, job]);
            expect(pairs.toSorted()).toEqual(chosen.toSorted());
            expect(result).toMatchObject({
              againAt: expected.againAt,
              more: expected.more,
              blocked: false,
              occupied: [],
            });
            for (const { lane, before, job } of result.claimed) {
              const by = lanes.find(({ lease }) => lease.lane === lane);
              expect(before).toEqual(jobs.find(({ id }) => id === job.id));
              expect(job).toEqual(advance(before, claimedBy(by ?? neverMind(), at)));
              expect(await ledger.get(job.id)).toEqual(job);
              held.push(job);
              passedAt.delete(job.id);
            }
            const waitIds = jobs.map(({ id }) => id).filter(id => !held.some(job => job.id === id));
            expect((await ledger.count()).waiting).toBe(waitIds.length);
            expect(
              (await ledger.waitingAmong(jobs.map(({ id }) => id))).map(({ id }) => id).toSorted(),
            ).toEqual(waitIds.toSorted());
          }
          const { jobs } = await ledger.list({ owner: null, statuses: null, first: 100 });
          for (const job of jobs) await ledger.remove(job.id);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('gives each job to one lane, however many ask at the same time, and nothing to a former holder', async () => {
    const { ledger } = under().store;
    const leases = await take(...Array.from({ length: 12 }, (_, n) => `e${n}#0`));
    const [former] = leases;
    if (former === undefined) throw new Error('twelve are held');
    under().store.advanceClock(60_001);
    const [, ...others] = leases;
    await take(former.lane);
    const jobs = [];
    for (let n = 0; n < 7; n += 1) jobs.push(await under().stored({ createdAt: n }));
    const results = await Promise.all([former, ...others].map(lease => claimFor(ledger, [asking(lease)])));
    expect(results[0]?.claimed).toEqual([]);
    const claimed = results.flatMap(result => result.claimed);
    expect(claimed.map(({ job }) => job.id).toSorted()).toEqual(jobs.map(({ id }) => id).toSorted());
    expect(new Set(claimed.map(({ lane }) => lane)).size).toBe(7);
    expect(await ledger.count()).toEqual({ waiting: 0, running: 7 });
    expect(await ledger.inLanes(claimed[0]?.lane ?? '')).toEqual([claimed[0]?.job]);
  });

  it('gives a lane with a job no other, and says that it has one', async () => {
    const { ledger } = under().store;
    const leases = await take('e:1#0', 'e:2#0');
    const [mine, other] = leases.map(lease => asking(lease));
    if (mine === undefined || other === undefined) throw new Error('two are held');
    const first = await under().stored({ createdAt: 1 });
    const second = await under().stored({ createdAt: 2 });
    expect(await claimFor(ledger, [mine])).toMatchObject({ claimed: [{ before: first }], occupied: [] });
    // As if the answer had been lost.
    const again = await claimFor(ledger, [mine, other]);
    expect(again.occupied).toEqual([mine.lease.lane]);
    expect(again.claimed).toMatchObject([{ lane: other.lease.lane, before: second }]);
    expect(await ledger.count()).toEqual({ waiting: 0, running: 2 });

    const held = await ledger.get(first.id);
    const back = { type: 'handedBack', at: 6, reason: 'x', expiresAt: 9 } as const;
    const returned = await under().commit(held ?? neverMind(), back);
    expect(await claimFor(ledger, [mine])).toMatchObject({ claimed: [{ before: returned }], occupied: [] });
    await ledger.remove(first.id);
    const last = await under().stored();
    expect(await claimFor(ledger, [mine])).toMatchObject({ claimed: [{ before: last }], occupied: [] });
  });

  it('publishes a claim to those that watch the job, and to those of all jobs', async () => {
    const { ledger, feed } = under().store;
    const [lease] = await take('e#0');
    const job = await under().stored();
    const seen: unknown[] = [];
    const both = Promise.withResolvers<void>();
    const see = (what: unknown): void => {
      if (seen.push(what) === 2) both.resolve();
    };
    const gone = (): void => undefined;
    const stops = [
      await feed.watch(job.id, { changed: see, gone }),
      await feed.watchAll(null, { changed: see, removed: gone, missed: gone }),
    ];
    const { claimed } = await claimFor(ledger, [asking(lease ?? neverMind())]);
    await both.promise;
    expect(seen).toEqual([claimed[0]?.job, claimed[0]?.job]);
    const { changes } = await ledger.changes({ owner: null, after: 0, limit: 10 });
    expect(changes.map(change => change.job)).toEqual([claimed[0]?.job]);
    for (const stop of stops) stop();
  });

  it('gives an engine no job beside a suspect, which waits for those that it finds', async () => {
    const { ledger } = under().store;
    const leases = await take('e:1#0', 'e:1#1', 'e:1#2', 'e:10#0');
    const [zero, one, two, other] = leases.map(lease => asking(lease));
    const ask = async (lane: AskingLane | undefined) => {
      const { claimed, blocked } = await claimFor(ledger, [lane ?? neverMind()]);
      return { id: claimed[0]?.job.id ?? null, blocked };
    };
    const harmless = await under().stored({ createdAt: 1 });
    const fresh = await under().stored({ createdAt: 2 });
    const suspect = { ...fresh, suspect: true, revision: 2 };
    expect(await ledger.commit(suspect, 1, null)).toBe('ok');
    const next = await under().stored({ createdAt: 3 });
    expect(await ask(zero)).toEqual({ id: harmless.id, blocked: false });
    expect(await ask(one)).toEqual({ id: suspect.id, blocked: false });
    expect(await ask(two)).toEqual({ id: null, blocked: true });
    expect(await ask(other)).toEqual({ id: next.id, blocked: false });
    const held = await ledger.get(suspect.id);
    await under().commit(held ?? neverMind(), { type: 'canceled', at: 9, expiresAt: 99 });
    const last = await under().stored({ createdAt: 4 });
    expect(await ask(two)).toEqual({ id: last.id, blocked: false });
  });

  it('renews and takes lanes in one call, and says which are lost', async () => {
    const { ledger } = under().store;
    const mine = await take('e#0', 'e#1');
    under().store.advanceClock(40_000);
    const kept = await ledger.keepLanes(mine, ['e#0', 'f#0'], 60_000);
    expect(kept.lost).toEqual([]);
    expect(kept.taken.map(({ lease }) => lease.lane)).toEqual(['f#0']);
    under().store.advanceClock(60_001);
    const theirs = await ledger.keepLanes([], ['e#1'], 60_000);
    expect((await ledger.keepLanes(mine, [], 60_000)).lost).toEqual(['e#1']);
    const [lease] = theirs.taken.map(taken => taken.lease);
    expect((await ledger.keepLanes([lease ?? neverMind()], [], 60_000)).lost).toEqual([]);
  });
}

function neverMind(): never {
  throw new Error('there is one');
}
