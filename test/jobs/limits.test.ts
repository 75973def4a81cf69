import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Policy } from '../../src/jobs/job.ts';
import {
  dayOf,
  exceeded,
  forbidden,
  nextDay,
  priorityUnder,
  runningLimits,
  workOf,
} from '../../src/jobs/limits.ts';
import { aJob } from '../support/jobs.ts';

const { request } = aJob();
const policy = (fields: Partial<Policy>): Policy => ({
  name: 'p',
  highestPriority: null,
  waiting: null,
  running: null,
  megapixelStepsPerDay: null,
  workflows: null,
  ...fields,
});

it('what is used never exceeds a limit, and a submit that fits is accepted', () => {
  const limit = fc.option(fc.nat(20));
  const submits = fc.array(fc.record({ jobs: fc.integer({ min: 1, max: 5 }), work: fc.nat(9) }));
  fc.assert(
    fc.property(limit, limit, submits, (waiting, workPerDay, all) => {
      const used = { waiting: 0, work: 0 };
      for (const more of all) {
        const limitReached = exceeded({ waiting, workPerDay }, used, more);
        const fits =
          (waiting === null || used.waiting + more.jobs <= waiting) &&
          (workPerDay === null || used.work + more.work <= workPerDay);
        expect(limitReached === null).toBe(fits);
        if (limitReached !== null) continue;
        used.waiting += more.jobs;
        used.work += more.work;
      }
    }),
  );
});

it('work is that of the size and the steps in whole thousandths, never less', () => {
  const megapixels = fc.integer({ min: 1, max: 400 }).map(n => n / 100);
  fc.assert(
    fc.property(megapixels, fc.integer({ min: 1, max: 100 }), (size, steps) => {
      expect(workOf({ ...request, megapixels: size, steps })).toBe(Math.round(size * 100) * steps * 10);
    }),
  );
  // Where the graph decides the size: 64 × 48 pixels of image 1, 4 steps.
  expect(workOf({ ...request, megapixels: null, steps: 4 })).toBe(12);
});

it('a day begins at 00:00 UTC', () => {
  fc.assert(
    fc.property(fc.nat(4e12), time => {
      expect(new Date(nextDay(time)).toISOString()).toContain('T00:00:00.000Z');
      expect(nextDay(time)).toBeGreaterThan(time);
      expect(dayOf(nextDay(time))).toBe(dayOf(time) + 1);
    }),
  );
});

it('a priority that a policy gives is one that it allows', () => {
  const priority = fc.constantFrom('LOW', 'NORMAL', 'HIGH');
  fc.assert(
    fc.property(priority, priority, (highestPriority, wanted) => {
      const given = policy({ highestPriority });
      const denied = forbidden(given, { workflow: 'w', priority: wanted });
      const rank = ['LOW', 'NORMAL', 'HIGH'];
      if (denied === null) {
        expect(rank.indexOf(priorityUnder(given, wanted))).toBeLessThanOrEqual(rank.indexOf(highestPriority));
      } else {
        expect(wanted).toBe('HIGH');
      }
    }),
  );
});

it.each([
  ['qwen*', 'qwen-a', true],
  ['*-lightning', 'qwen-lightning', true],
  ['qwen', 'qwen-a', false],
  ['q.en', 'qwen', false],
  ['*', 'anything', true],
])('the workflows %s of a policy have %s: %s', (pattern, workflow, allowed) => {
  const given = policy({ workflows: ['other', pattern] });
  expect(forbidden(given, { workflow, priority: 'NORMAL' }) === null).toBe(allowed);
});

it('what policies allow to run goes by their names, whatever these are', () => {
  const policies = ['__proto__', 'constructor'].map(name => policy({ name, running: 1 }));
  expect(Object.entries(runningLimits([...policies, policy({ running: null })]))).toEqual([
    ['__proto__', 1],
    ['constructor', 1],
  ]);
});
