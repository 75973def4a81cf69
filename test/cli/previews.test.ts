import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createPreviews, type PictureSource } from '../../src/cli/previews.ts';
import type { JobSnapshot } from '../../src/client/client.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const BASE: JobSnapshot = {
  id: 'job',
  status: 'PROCESSING',
  revision: 1,
  progress: 1,
  stage: 'SAMPLING',
  step: null,
  totalSteps: null,
  queuePosition: null,
  etaSeconds: null,
  attempt: 1,
  engine: null,
  size: null,
  preview: null,
  images: [],
  error: null,
  createdAt: '2026-01-01T00:00:00.000Z',
  startedAt: null,
  finishedAt: null,
  expiresAt: null,
};

function frame(number: number): JobSnapshot {
  return {
    ...BASE,
    preview: { url: `/preview/job?frame=${number}`, mimeType: 'image/jpeg', width: 8, height: 8 },
  };
}

const NEVER = new AbortController().signal;

/** Its frames are numbered in the order in which they were asked for; the result is `done`. */
function rig(source: Partial<PictureSource> = {}) {
  const drawn: string[] = [];
  let asked = 0;
  const previews = createPreviews(
    {
      preview: async () => {
        asked += 1;
        return Buffer.from(`frame ${asked}`);
      },
      result: async () => Buffer.from('done'),
      ...source,
    },
    async bytes => {
      drawn.push(Buffer.from(bytes).toString());
    },
  );
  return { previews, drawn };
}

describe('previews', () => {
  it('are drawn twice a second at most, each frame once, the last one too', async () => {
    const { previews, drawn } = rig();
    previews.show(BASE);
    for (let number = 1; number <= 20; number += 1) {
      previews.show(frame(number));
      previews.show(frame(number));
      await vi.advanceTimersByTimeAsync(90);
    }
    // 1800 ms: at 0, 500, 1000 and 1500.
    expect(drawn).toEqual(['frame 1', 'frame 2', 'frame 3', 'frame 4']);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(drawn).toHaveLength(5);
    await previews.finish(null, NEVER);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('end with the finished picture, whatever was on its way', async () => {
    const stopped = vi.fn();
    const { previews, drawn } = rig({
      preview: (_, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            stopped();
            reject(signal.reason);
          });
        }),
    });
    previews.show(frame(1));
    await previews.finish({ ...frame(1), status: 'COMPLETED' }, NEVER);
    expect(stopped).toHaveBeenCalledOnce();
    expect(drawn).toEqual(['done']);
    previews.show(frame(2));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(drawn).toEqual(['done']);
  });

  it('do not keep a caller waiting who leaves', async () => {
    const leave = new AbortController();
    const asked = Promise.withResolvers<void>();
    const { previews, drawn } = rig({
      result: (_, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
          asked.resolve();
        }),
    });
    const finished = previews.finish({ ...BASE, status: 'COMPLETED' }, leave.signal);
    await asked.promise;
    leave.abort();
    await finished;
    expect(drawn).toEqual([]);
  });

  it('have no picture at the end of a job that has none', async () => {
    const { previews, drawn } = rig();
    await previews.finish({ ...BASE, status: 'ERROR' }, NEVER);
    expect(drawn).toEqual([]);
  });

  it('do without what cannot be had', async () => {
    const answers = [
      Promise.reject(new Error('gone')),
      Promise.resolve(null),
      Promise.resolve(Buffer.from('third')),
    ];
    const { previews, drawn } = rig({
      preview: async () => answers.shift() ?? null,
      result: () => Promise.reject(new Error('gone')),
    });
    for (let number = 1; number <= 3; number += 1) {
      previews.show(frame(number));
      await vi.advanceTimersByTimeAsync(500);
    }
    await previews.finish({ ...BASE, status: 'COMPLETED' }, NEVER);
    expect(drawn).toEqual(['third']);
  });
});
