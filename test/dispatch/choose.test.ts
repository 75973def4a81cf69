import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { besideOthers, type Choosing, chooseJob, laneName } from '../../src/dispatch/choose.ts';
import type { Job } from '../../src/jobs/job.ts';
import { aJob } from '../support/jobs.ts';

const ANY: Choosing = { engine: 'a', canRun: () => true, othersCanRun: () => true };
const job = (fields: Partial<Job>): Job => ({ ...aJob(), ...fields });

describe('a lane chooses', () => {
  it('the best job that its engine can run', () => {
    const [one, two] = [job({}), job({})];
    expect(chooseJob([one, two], ANY, 0).job).toBe(one);
    expect(chooseJob([one, two], { ...ANY, canRun: candidate => candidate === two }, 0).job).toBe(two);
  });

  it('no job before its pause has ended, and says when that is', () => {
    const [late, later] = [job({ notBefore: 500 }), job({ notBefore: 900 })];
    expect(chooseJob([later, late], ANY, 499)).toEqual({ job: null, againAt: 500 });
    expect(chooseJob([later, late], ANY, 500).job).toBe(late);
  });

  it('a job under which its engine was lost only if no other can run it, or none has taken it', () => {
    const lost = job({ notBefore: 500, lostOn: 'a' });
    expect(chooseJob([lost], ANY, 500)).toEqual({ job: null, againAt: 30_500 });
    expect(chooseJob([lost], ANY, 30_500).job).toBe(lost);
    expect(chooseJob([lost], { ...ANY, othersCanRun: () => false }, 500).job).toBe(lost);
    expect(chooseJob([lost], { ...ANY, engine: 'b' }, 500).job).toBe(lost);
  });
});

/** The lanes of one engine: what each does, step by step, as processes that see only the ledger. */
type Lane =
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
          const state: Lane[] = Array.from({ length: lanes }, () => ({ at: 'idle' }));
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
