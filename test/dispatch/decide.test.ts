import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RunLimits } from '../../src/dispatch/context.ts';
import {
  decide,
  type FollowState,
  type Found,
  looked,
  noticed,
  noticedLeaving,
  type Step,
  socketClosed,
  socketFailed,
  socketOpened,
  socketOpening,
  startFollowing,
  stopped,
  withdrew,
} from '../../src/dispatch/run/decide.ts';
import type { Observation } from '../../src/dispatch/run/observation.ts';

const LIMITS: RunLimits = {
  uploadMs: 60_000,
  stallMs: 600_000,
  runMs: 3_600_000,
  stopMs: 30_000,
  engineGraceMs: 15_000,
  watchdogMs: 3_000,
  maxAttempts: 3,
  previewRate: 4,
  jobTtlMs: 1,
};

const NOTHING_SEEN: Observation = {
  started: false,
  endedAt: null,
  heardAt: 0,
  movedAt: 0,
  longestPause: 0,
  preview: null,
};
const STARTED: Observation = { ...NOTHING_SEEN, started: true };

function notice(state: FollowState, seen: Observation, at: number, cancel = false): FollowState {
  return noticed(state, seen, { startedAt: seen.started ? 0 : null }, cancel, at, LIMITS);
}

describe('a run', () => {
  it('waits for events while they come', () => {
    const state = startFollowing(true, 0);
    expect(decide(state, { ...STARTED, heardAt: 2_500 }, 3_000, LIMITS)).toEqual({
      do: 'wait',
      until: 4_000,
    });
  });

  it('looks after a silence of one watchdog', () => {
    const state = startFollowing(true, 0);
    expect(decide(state, STARTED, 2_999, LIMITS)).toEqual({ do: 'wait', until: 3_000 });
    expect(decide(state, STARTED, 3_000, LIMITS)).toEqual({ do: 'look' });
  });

  it('opens the socket first when it is resumed, then looks at once', () => {
    const state = startFollowing(false, 0);
    expect(decide(state, NOTHING_SEEN, 0, LIMITS)).toEqual({ do: 'openSocket' });
    expect(decide(socketOpened(state, 5), NOTHING_SEEN, 5, LIMITS)).toEqual({ do: 'look' });
  });

  it('opens a closed socket again at once, then after doubling pauses of at most 4 s', () => {
    let state = socketClosed(startFollowing(true, 0), 0);
    const pauses: number[] = [];
    for (let n = 0; n < 8; n += 1) {
      const at = state.socketRetryAt;
      expect(decide(state, { ...STARTED, heardAt: at }, at, LIMITS)).toEqual({ do: 'openSocket' });
      state = socketFailed(state, at);
      pauses.push(state.socketRetryAt - at);
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 4_000, 4_000]);
    expect(socketOpened(state, 0).socketRetryMs).toBe(100);
  });

  it('goes on while the socket is being opened, and looks each second as long as none is open', () => {
    const opening = socketOpening({ ...startFollowing(false, 0), lookNow: false });
    expect(decide(opening, STARTED, 500, LIMITS)).toEqual({ do: 'wait', until: 1_000 });
    expect(decide(opening, STARTED, 1_000, LIMITS)).toEqual({ do: 'look' });
    expect(decide(socketFailed(opening, 300), STARTED, 400, LIMITS)).toEqual({ do: 'openSocket' });
  });

  it('makes no visible progress without a socket, which is not a stall', () => {
    const closed = socketClosed(startFollowing(true, 0), 0);
    expect(notice(closed, STARTED, 3_000_000).exceeded).toBeNull();
    expect(notice(socketOpened(closed, 3_000_000), STARTED, 3_600_000).exceeded).toBeNull();
    expect(notice(closed, STARTED, 3_600_001).exceeded).toBe('The run took longer than 3600 s');
  });

  it('closes a socket that is silent for three watchdogs, or four of the job’s own pauses', () => {
    const looking = { ...startFollowing(true, 0), lookedAt: 20_000 };
    expect(decide(looking, STARTED, 9_000, LIMITS).do).toBe('wait');
    expect(decide(looking, STARTED, 9_001, LIMITS).do).toBe('closeSocket');
    expect(decide(looking, { ...STARTED, longestPause: 5_000 }, 20_000, LIMITS).do).toBe('wait');
    expect(decide(looking, { ...STARTED, longestPause: 5_000 }, 20_001, LIMITS).do).toBe('closeSocket');
    expect(decide(looking, NOTHING_SEEN, 20_000, LIMITS).do).toBe('wait');
  });

  it('looks at once when an event reports the end, and soon again while the entry is missing', () => {
    const seen = { ...STARTED, heardAt: 500, endedAt: 500 };
    let state = notice(startFollowing(true, 0), seen, 500);
    expect(decide(state, seen, 500, LIMITS)).toEqual({ do: 'look' });
    const first = looked(state, 'absent', seen, 510, LIMITS);
    expect(first.over).toBeNull();
    state = notice(first.state, seen, 510);
    expect(decide(state, seen, 510, LIMITS)).toEqual({ do: 'wait', until: 540 });
    expect(looked(state, 'absent', seen, 3_500, LIMITS).over).toBe('absent');
  });

  it('is absent at the first look that does not find it', () => {
    expect(looked(startFollowing(true, 0), 'absent', STARTED, 100, LIMITS).over).toBe('absent');
  });

  it('is not absent while it may still arrive', () => {
    const state = startFollowing(false, 0, 3_000);
    expect(looked(state, 'absent', NOTHING_SEEN, 2_999, LIMITS).over).toBeNull();
    expect(looked(state, 'absent', NOTHING_SEEN, 3_000, LIMITS).over).toBe('absent');
  });

  it('gives a history that cannot be read the engine’s grace, and a hidden queue the time of a run', () => {
    const unread = looked(startFollowing(true, 0), 'unread', STARTED, 1_000, LIMITS);
    expect(unread.over).toBeNull();
    expect(looked(unread.state, 'unread', STARTED, 15_999, LIMITS).over).toBeNull();
    expect(looked(unread.state, 'unread', STARTED, 16_000, LIMITS).over).toBe('absent');
    const hidden = looked(startFollowing(true, 0), 'hidden', STARTED, 1_000, LIMITS);
    const heard = { ...STARTED, heardAt: 2_000_000 };
    expect(looked(hidden.state, 'hidden', heard, 5_599_999, LIMITS).over).toBeNull();
    expect(looked(hidden.state, 'hidden', heard, 5_600_000, LIMITS).over).toBe('absent');
  });

  it('gives the engine its grace before it counts as unreachable', () => {
    const first = looked(startFollowing(true, 0), 'unreachable', STARTED, 1_000, LIMITS);
    expect(first.over).toBeNull();
    expect(decide(first.state, { ...STARTED, heardAt: 1_000 }, 1_000, LIMITS)).toEqual({
      do: 'wait',
      until: 2_000,
    });
    expect(looked(first.state, 'unreachable', STARTED, 15_999, LIMITS).over).toBeNull();
    expect(looked(first.state, 'unreachable', STARTED, 16_000, LIMITS).over).toBe('unreachable');
    const back = looked(first.state, 'running', STARTED, 10_000, LIMITS).state;
    expect(looked(back, 'unreachable', STARTED, 20_000, LIMITS).over).toBeNull();
  });

  it('is stopped when it exceeds its time, or makes no progress', () => {
    const fresh = { ...STARTED, heardAt: 3_600_001, movedAt: 3_600_001 };
    expect(notice(startFollowing(true, 0), fresh, 3_600_001)).toMatchObject({
      exceeded: 'The run took longer than 3600 s',
      stopSince: 3_600_001,
    });
    expect(notice(startFollowing(true, 0), STARTED, 600_000).exceeded).toBeNull();
    expect(notice(startFollowing(true, 0), STARTED, 600_001).exceeded).toBe(
      'The run made no progress for 600 s',
    );
    const slow = { ...STARTED, longestPause: 200_000 };
    expect(notice(startFollowing(true, 0), slow, 1_000_000).exceeded).toBeNull();
    expect(notice(startFollowing(true, 0), slow, 1_000_001).exceeded).toBe(
      'The run made no progress for 1000 s',
    );
  });

  it('repeats a stop request each second, and gives up when the engine does not stop', () => {
    let state = notice(startFollowing(true, 0), STARTED, 100, true);
    expect(decide(state, STARTED, 100, LIMITS)).toEqual({ do: 'stop' });
    state = looked(stopped(state, 100), 'running', STARTED, 110, LIMITS).state;
    expect(decide(state, STARTED, 110, LIMITS)).toEqual({ do: 'wait', until: 1_100 });
    expect(decide(state, STARTED, 1_100, LIMITS)).toEqual({ do: 'stop' });
    expect(decide(state, STARTED, 30_100, LIMITS)).toEqual({ do: 'stop' });
    expect(decide(state, STARTED, 30_101, LIMITS)).toEqual({ do: 'giveUp' });
  });
});

/** What the engine and its events do at one step. */
interface Moment {
  readonly found: Found;
  readonly opens: boolean;
  readonly tookMs: number;
  readonly event: boolean;
  readonly closes: boolean;
  readonly leaves: boolean;
}

const anyMoment = fc.record<Moment>({
  found: fc.constantFrom<Found>('pending', 'running', 'absent', 'unread', 'hidden', 'ended', 'unreachable'),
  opens: fc.boolean(),
  tookMs: fc.nat(5_000),
  event: fc.boolean(),
  closes: fc.boolean(),
  leaves: fc.boolean(),
});

interface Simulated {
  state: FollowState;
  seen: Observation;
  at: number;
  over: string | null;
}

/** Does one step as the engine of this moment lets it. */
function perform(
  { state, seen, at }: Simulated,
  cancel: boolean,
  moment: Moment,
): Simulated & { step: Step } {
  const before = noticedLeaving(notice(state, seen, at, cancel), seen, moment.leaves, at);
  const step = decide(before, seen, at, LIMITS);
  const done = at + moment.tookMs;
  switch (step.do) {
    case 'wait': {
      const until = moment.event ? Math.min(step.until, at + 1) : step.until;
      const heard = moment.event ? { ...seen, started: true, heardAt: until, movedAt: until } : seen;
      const next = moment.closes && before.socketOpen ? socketClosed(before, until) : before;
      return { step, state: next, seen: heard, at: until, over: null };
    }
    case 'look':
    case 'withdraw':
    case 'stop': {
      const asked =
        step.do === 'stop' ? stopped(before, at) : step.do === 'withdraw' ? withdrew(before, at) : before;
      const after = looked(asked, moment.found, seen, done, LIMITS);
      return { step, state: after.state, seen, at: done, over: after.over };
    }
    case 'openSocket': {
      const next = moment.opens ? socketOpened(before, done) : socketFailed(before, done);
      return { step, state: next, seen, at: done, over: null };
    }
    case 'closeSocket':
      return { step, state: socketClosed(before, done), seen, at: done, over: null };
    case 'giveUp':
      return { step, state: before, seen, at, over: 'stuck' };
    default:
      return step satisfies never;
  }
}

const start = (socketOpen: boolean): Simulated => ({
  state: startFollowing(socketOpen, 0),
  seen: NOTHING_SEEN,
  at: 0,
  over: null,
});

describe('whatever the engine does', () => {
  it('a run never waits without a time at which it wakes, and does at most a few steps without waiting', () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.boolean(),
        fc.array(anyMoment, { maxLength: 80 }),
        (open, cancel, moments) => {
          let run = start(open);
          let sinceWait = 0;
          for (const moment of moments) {
            const before = run.at;
            // Steps that take time may make others due.
            const next = perform(run, cancel, { ...moment, tookMs: 0 });
            if (next.over !== null) return;
            sinceWait = next.step.do === 'wait' ? 0 : sinceWait + 1;
            expect(sinceWait).toBeLessThanOrEqual(5);
            if (next.step.do === 'wait') {
              expect(next.step.until).toBeGreaterThan(before);
              expect(next.step.until).toBeLessThanOrEqual(before + 1_000);
            }
            run = next;
          }
        },
      ),
    );
  });

  it('a run is over in bounded time when the engine no longer responds', () => {
    fc.assert(
      fc.property(fc.array(anyMoment, { maxLength: 40 }), fc.nat(2_000), (moments, tookMs) => {
        let run = start(true);
        for (const moment of moments) {
          run = perform(run, false, moment);
          if (run.over !== null) return;
        }
        const deadline = run.at + LIMITS.engineGraceMs + 2 * LIMITS.watchdogMs + 20 * (tookMs + 1_000);
        const dead: Moment = {
          found: 'unreachable',
          opens: false,
          tookMs,
          event: false,
          closes: true,
          leaves: false,
        };
        while (run.over === null) {
          expect(run.at).toBeLessThanOrEqual(deadline);
          run = perform(run, false, dead);
        }
        expect(run.over).toBe('unreachable');
      }),
    );
  });

  it('a canceled run is over in bounded time although the engine never stops it', () => {
    fc.assert(
      fc.property(fc.array(anyMoment, { maxLength: 40 }), moments => {
        let run = start(true);
        for (const moment of moments) {
          run = perform(run, false, moment);
          if (run.over !== null) return;
        }
        const deadline = run.at + LIMITS.stopMs + 10_000;
        while (run.over === null) {
          expect(run.at).toBeLessThanOrEqual(deadline);
          run = perform(run, true, {
            found: 'running',
            opens: true,
            tookMs: 10,
            event: false,
            closes: false,
            leaves: true,
          });
        }
        expect(run.over).toBe('stuck');
      }),
    );
  });
});
