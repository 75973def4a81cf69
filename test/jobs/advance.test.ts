import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { advance, type JobEvent } from '../../src/jobs/advance.ts';
import { jobError } from '../../src/jobs/errors.ts';
import { isFinal, type Job, type JobStatus } from '../../src/jobs/job.ts';
import { WAIT_CODES } from '../../src/jobs/waiting.ts';
import { STAGES } from '../../src/workflows/manifest.ts';
import { aJob } from '../support/jobs.ts';

const at = fc.integer({ min: 1_000, max: 2_000_000 });
const expiresAt = fc.integer({ min: 2_000_000, max: 4_000_000 });
const text = fc.string({ maxLength: 12 });

const event: fc.Arbitrary<JobEvent> = fc.oneof(
  fc.record({
    type: fc.constant('claimed' as const),
    at,
    lane: fc.constantFrom('a#0', 'b#0'),
    engine: text,
    promptId: fc.uuid(),
  }),
  fc.record({
    type: fc.constant('bound' as const),
    at,
    size: fc.record({ width: fc.nat(64), height: fc.nat(64) }),
  }),
  fc.record({ type: fc.constant('started' as const), at }),
  fc.record({
    type: fc.constant('progressed' as const),
    at,
    progress: fc.double({ min: -10, max: 200 }),
    stage: fc.option(fc.constantFrom(...STAGES)),
    step: fc.option(fc.nat(50)),
    totalSteps: fc.option(fc.nat(50)),
    etaSeconds: fc.option(fc.double({ min: 0, max: 100, noNaN: true })),
  }),
  fc.record({
    type: fc.constant('previewed' as const),
    at,
    preview: fc.record({
      sequence: fc.nat(20),
      mimeType: fc.constant('image/jpeg' as const),
      width: fc.nat(9),
      height: fc.nat(9),
    }),
  }),
  fc.record({
    type: fc.constant('moved' as const),
    at,
    queuePosition: fc.option(fc.nat(9)),
    etaSeconds: fc.constant(null),
    waitCode: fc.option(fc.constantFrom(...WAIT_CODES)),
  }),
  fc.record({ type: fc.constant('completed' as const), at, outputs: fc.constant([]), expiresAt }),
  fc.record({
    type: fc.constant('failed' as const),
    at,
    error: fc.constant(jobError('INTERNAL', 'x')),
    engineReport: fc.constant(null),
    expiresAt,
  }),
  fc.record({ type: fc.constant('cancelRequested' as const), at, expiresAt }),
  fc.record({ type: fc.constant('canceled' as const), at, expiresAt }),
  fc.record({ type: fc.constant('handedBack' as const), at, reason: text, expiresAt }),
  fc.record({
    type: fc.constant('engineLost' as const),
    at,
    reason: text,
    maxAttempts: fc.integer({ min: 1, max: 4 }),
    expiresAt,
  }),
  fc.record({
    type: fc.constant('outputMissing' as const),
    at,
    reason: text,
    maxAttempts: fc.integer({ min: 1, max: 4 }),
    expiresAt,
  }),
  fc.record({ type: fc.constant('outOfMemory' as const), at, reason: text, engineReport: fc.constant(null) }),
);

const ALLOWED: Record<JobStatus, readonly JobStatus[]> = {
  QUEUED: ['QUEUED', 'PROCESSING', 'ERROR', 'CANCELED'],
  PROCESSING: ['PROCESSING', 'QUEUED', 'COMPLETED', 'ERROR', 'CANCELED'],
  COMPLETED: ['COMPLETED'],
  ERROR: ['ERROR'],
  CANCELED: ['CANCELED'],
};

function walk(events: readonly JobEvent[], check: (before: Job, after: Job, event: JobEvent) => void): void {
  let job = aJob();
  for (const next of events) {
    const after = advance(job, next);
    check(job, after, next);
    job = after;
  }
}

describe('advance, for any events in any order', () => {
  const anyEvents = fc.array(event, { maxLength: 60 });

  it('changes the status only by allowed transitions', () => {
    fc.assert(
      fc.property(anyEvents, events => walk(events, (a, b) => expect(ALLOWED[a.status]).toContain(b.status))),
    );
  });

  it('returns the same object, or one whose revision is higher by 1', () => {
    fc.assert(
      fc.property(anyEvents, events =>
        walk(events, (a, b) => {
          if (a !== b) expect(b.revision).toBe(a.revision + 1);
        }),
      ),
    );
  });

  it('never lets the stage go back within a run', () => {
    const rank = ({ stage }: Job): number => (stage === null ? -1 : STAGES.indexOf(stage));
    fc.assert(
      fc.property(anyEvents, events =>
        walk(events, (a, b, { type }) => {
          if (type === 'progressed') expect(rank(b)).toBeGreaterThanOrEqual(rank(a));
        }),
      ),
    );
  });

  it('never lets progress fall within a run, and reaches 100 only when completed', () => {
    fc.assert(
      fc.property(anyEvents, events =>
        walk(events, (a, b) => {
          expect(b.progress).toBeGreaterThanOrEqual(0);
          if (a.status === 'PROCESSING' && b.status === 'PROCESSING')
            expect(b.progress).toBeGreaterThanOrEqual(a.progress);
          expect(b.progress === 100).toBe(b.status === 'COMPLETED');
        }),
      ),
    );
  });

  it('keeps the lane while the job runs, and clears it at the end', () => {
    fc.assert(
      fc.property(anyEvents, events =>
        walk(events, (_, b) => {
          if (b.status === 'PROCESSING') expect(b.lane).not.toBeNull();
          if (isFinal(b.status)) {
            expect(b.lane).toBeNull();
            expect(b.preview).toBeNull();
            expect(b.finishedAt).not.toBeNull();
            expect(b.expiresAt).not.toBeNull();
          }
        }),
      ),
    );
  });

  it('counts the runs that an engine began, and none that it did not', () => {
    fc.assert(
      fc.property(anyEvents, events =>
        walk(events, (a, b, { type }) => {
          const began = type === 'started' && a !== b;
          expect(b.attempt).toBe(a.attempt + (began ? 1 : 0));
        }),
      ),
    );
  });

  it('never ends a job with ENGINE_LOST that only waited behind another, and pauses longer after each lost run', () => {
    fc.assert(
      fc.property(anyEvents, events =>
        walk(events, (a, b) => {
          const lost = a !== b && b.error?.code === 'ENGINE_LOST';
          if (lost) expect(a.status === 'PROCESSING' || a.suspect).toBe(true);
          expect(b.losses).toBeLessThanOrEqual(a.losses + 1);
          if (a.status !== 'PROCESSING' && !a.suspect) expect(b.losses).toBe(a.losses);
        }),
      ),
    );
  });

  it('does not modify the given job', () => {
    fc.assert(
      fc.property(anyEvents, events =>
        walk(events, (a, _, next) => {
          const before = structuredClone(a);
          advance(a, next);
          expect(a).toEqual(before);
        }),
      ),
    );
  });
});

describe('advance, case by case', () => {
  const claimed: JobEvent = { type: 'claimed', at: 2, lane: 'e#0', engine: 'e', promptId: 'p' };
  const lost: JobEvent = { type: 'engineLost', at: 9, reason: 'restarted', maxAttempts: 2, expiresAt: 99 };
  const run = (...events: JobEvent[]): Job => events.reduce(advance, aJob());

  it('cancels a waiting job at once, and a running one only when the engine has stopped', () => {
    const cancel: JobEvent = { type: 'cancelRequested', at: 5, expiresAt: 99 };
    expect(run(cancel).status).toBe('CANCELED');
    const asked = run(claimed, { type: 'started', at: 3 }, cancel);
    expect([asked.status, asked.cancelRequested]).toEqual(['PROCESSING', true]);
    expect(advance(asked, { type: 'canceled', at: 6, expiresAt: 99 }).status).toBe('CANCELED');
  });

  it('returns a lost job to its old position, and ends it with ENGINE_LOST after the last attempt', () => {
    const once = run(claimed, { type: 'started', at: 3 }, lost);
    expect(once).toMatchObject({
      status: 'QUEUED',
      lane: null,
      attempt: 1,
      progress: 0,
      createdAt: 1_000,
      promptId: null,
    });
    const twice = [claimed, { type: 'started', at: 4 } as const, lost].reduce(advance, once);
    expect(twice).toMatchObject({ status: 'ERROR', attempt: 2, error: { code: 'ENGINE_LOST' } });
  });

  it('does not count a run that never reached the engine', () => {
    const back = run(claimed, { type: 'handedBack', at: 4, reason: 'down', expiresAt: 99 });
    expect(back).toMatchObject({ status: 'QUEUED', attempt: 0, lane: null, suspect: false });
  });

  it('does not count a run that only waited in the engine’s queue, and runs the job alone from then on', () => {
    const back = run(claimed, lost);
    expect(back).toMatchObject({ status: 'QUEUED', attempt: 0, losses: 0, suspect: true, lostOn: null });
    expect(back.notBefore).toBe(lost.at);
    // Alone it can only be the cause itself, although no event said that it began.
    const alone = [claimed, lost].reduce(advance, back);
    expect(alone).toMatchObject({ status: 'QUEUED', attempt: 0, losses: 1 });
    expect([claimed, lost].reduce(advance, alone)).toMatchObject({ error: { code: 'ENGINE_LOST' } });
  });

  describe('when the engine has no output of a prompt that it completed', () => {
    const started: JobEvent = { type: 'started', at: 3 };
    const missing: JobEvent = {
      type: 'outputMissing',
      at: 9,
      reason: 'The file is gone',
      maxAttempts: 2,
      expiresAt: 99,
    };

    it('returns the job to its old position, preferably for another engine, and does not suspect it', () => {
      expect(run(claimed, started, missing)).toMatchObject({
        status: 'QUEUED',
        lane: null,
        attempt: 1,
        losses: 1,
        missingOutputs: 1,
        suspect: false,
        lostOn: 'e',
        notBefore: 509,
        createdAt: 1_000,
        error: null,
      });
    });

    it('ends it with OUTPUT_MISSING if that was so in each of its lost runs', () => {
      const { status, error } = run(claimed, started, missing, claimed, started, missing);
      expect(status).toBe('ERROR');
      expect(error).toMatchObject({
        code: 'OUTPUT_MISSING',
        message:
          'The prompt was completed in 2 runs, after each of which the engine had no output image; the last time: The file is gone',
      });
      expect(run(claimed, started, { ...missing, maxAttempts: 1 }).error?.message).toMatch(
        /^The prompt was completed in a run, after which the engine had no output image; /,
      );
    });

    it('ends it with ENGINE_LOST if the engine was lost in others', () => {
      const message = /^Given up after 2 lost runs; the last one: /;
      for (const [first, second] of [
        [lost, missing],
        [missing, lost],
      ] as const) {
        const { status, error } = run(claimed, started, first, claimed, started, second);
        expect(status).toBe('ERROR');
        expect(error).toMatchObject({ code: 'ENGINE_LOST', message: expect.stringMatching(message) });
      }
    });

    it('cancels a job whose cancel was requested', () => {
      const cancel: JobEvent = { type: 'cancelRequested', at: 5, expiresAt: 99 };
      expect(run(claimed, started, cancel, missing).status).toBe('CANCELED');
    });
  });

  it('pauses half a second after the first lost run, and three times longer after each', () => {
    const patient: JobEvent = { ...lost, maxAttempts: 9 };
    let job = aJob();
    const pauses: number[] = [];
    for (let n = 0; n < 6; n += 1) {
      job = [claimed, { type: 'started', at: 3 } as const, patient].reduce(advance, job);
      pauses.push((job.notBefore ?? 0) - patient.at);
    }
    expect(pauses).toEqual([500, 1_500, 4_500, 13_500, 30_000, 30_000]);
  });

  it('keeps a history of transitions, not of progress', () => {
    const job = run(
      claimed,
      { type: 'started', at: 3 },
      {
        type: 'progressed',
        at: 4,
        progress: 50,
        stage: 'SAMPLING',
        step: 2,
        totalSteps: 4,
        etaSeconds: null,
      },
    );
    expect(job.log.map(entry => entry.event)).toEqual(['submitted', 'claimed', 'started']);
    expect(job).toMatchObject({ progress: 50, step: 2, totalSteps: 4 });
  });
});
