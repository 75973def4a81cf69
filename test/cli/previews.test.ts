import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createPreviews, type PreviewSource } from '../../src/cli/previews.ts';
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
  waitingFor: null,
  etaSeconds: null,
  attempt: 1,
  engine: null,
  label: null,
  metadata: [],
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
    preview: {
      id: 'job:preview',
      url: `/preview/job?frame=${number}`,
      mimeType: 'image/jpeg',
      width: 8,
      height: 8,
    },
  };
}

const NEVER = new AbortController().signal;

/** Frames are numbered in the order of the requests; the result is `done`. */
function rig(source: Partial<PreviewSource> = {}) {
  const drawn: string[] = [];
  let requests = 0;
  const previews = createPreviews(
    {
      preview: async () => {
        requests += 1;
        return Buffer.from(`frame ${requests}`);
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
  it('are drawn at most twice a second, each frame once, including the last', async () => {
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

  it('end with the output image and abort the request in flight', async () => {
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

  it('end at once when the caller aborts', async () => {
    const leave = new AbortController();
    const requested = Promise.withResolvers<void>();
    const { previews, drawn } = rig({
      result: (_, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
          requested.resolve();
        }),
    });
    const finished = previews.finish({ ...BASE, status: 'COMPLETED' }, leave.signal);
    await requested.promise;
    leave.abort();
    await finished;
    expect(drawn).toEqual([]);
  });

  it('end without an image for a job that failed', async () => {
    const { previews, drawn } = rig();
    await previews.finish({ ...BASE, status: 'ERROR' }, NEVER);
    expect(drawn).toEqual([]);
  });

  it('skip images that cannot be fetched', async () => {
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
