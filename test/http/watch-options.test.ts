import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { JobEvent } from '../../src/jobs/advance.ts';
import { type LedgerGateway, startLedgerGateway } from '../support/ledger-gateway.ts';
import { fetchJson } from '../support/requests.ts';
import { codesOf, openSocket } from '../support/sockets.ts';
import { openEvents, until } from '../support/watch.ts';

const STEPS = 3;
const PREVIEWS_PER_STEP = 20;

/** What both faces tell of a change. */
interface Seen {
  readonly revision: number;
  readonly step: number | null;
  readonly final: boolean;
  /** Not in REST. */
  readonly preview?: unknown;
}

let gateway: LedgerGateway;
beforeAll(async () => {
  gateway = await startLedgerGateway();
});
afterAll(() => gateway.close());

/** A job in the midst of its run. `change` resolves with its revision when the change is stored. */
async function running() {
  let job = await gateway.begin();
  return {
    id: job.id,
    async change(event: JobEvent): Promise<number> {
      job = await gateway.change(job, event);
      return job.revision;
    },
  };
}

const taken = (step: number): JobEvent => ({
  type: 'progressed',
  at: 1,
  progress: step,
  stage: 'SAMPLING',
  step,
  totalSteps: STEPS,
  etaSeconds: null,
});
const frame = (sequence: number): JobEvent => ({
  type: 'previewed',
  at: 1,
  preview: { sequence, mimeType: 'image/jpeg', width: 8, height: 8 },
});
const ended: JobEvent = { type: 'canceled', at: 2, expiresAt: Date.now() + 60_000 };

const nextPayload = z.object({
  data: z.object({
    jobProgress: z.object({
      revision: z.number(),
      step: z.number().nullable(),
      status: z.string(),
      preview: z.unknown(),
    }),
  }),
});
const eventData = z.object({ revision: z.number(), step: z.number().optional(), status: z.string() });

interface Options {
  readonly previews?: boolean;
  readonly maxPerSecond?: number;
}
/** Resolves once the first event arrived. The events go on to arrive in `seen`. */
type Watch = (id: string, options: Options) => Promise<{ seen: Seen[]; over: Promise<unknown> }>;

const overWebSocket: Watch = async (id, options) => {
  const socket = await openSocket(gateway.url);
  const query = `subscription ($id: ID!, $previews: Boolean, $maxPerSecond: Float) {
    jobProgress(jobId: $id, previews: $previews, maxPerSecond: $maxPerSecond) { revision step status preview { url } }
  }`;
  const seen: Seen[] = [];
  const read = ({ payload }: { payload?: unknown }): void => {
    const { data } = nextPayload.parse(payload);
    seen.push({ ...data.jobProgress, final: data.jobProgress.status === 'CANCELED' });
  };
  read(await socket.run({ query, variables: { id, ...options } }, 'w'));
  const rest = async (): Promise<void> => {
    for (;;) {
      const message = await socket.of('w');
      if (message.type === 'complete') return socket.socket.close();
      read(message);
    }
  };
  return { seen, over: rest() };
};

const overEvents: Watch = async (id, { previews, maxPerSecond }) => {
  const query = new URLSearchParams({
    ...(previews === undefined ? {} : { previews: String(previews) }),
    ...(maxPerSecond === undefined ? {} : { max_per_second: String(maxPerSecond) }),
  });
  const events = await openEvents(`${gateway.url}/events/${id}?${query}`, {});
  expect(events.status).toBe(200);
  const seen: Seen[] = [];
  const read = (event: unknown): boolean => {
    if (event === null) return false;
    const { revision, step = null, status } = eventData.parse(event);
    seen.push({ revision, step, final: status === 'error' });
    return true;
  };
  read(await events.next());
  const rest = async (): Promise<void> => {
    while (read(await events.next()));
  };
  return { seen, over: rest() };
};

function expectRising(seen: readonly Seen[]): void {
  const revisions = seen.map(({ revision }) => revision);
  expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
  expect(seen.map(({ final }) => final)).toEqual(seen.map((_, index) => index === seen.length - 1));
}

describe.each([
  ['jobProgress over a WebSocket', overWebSocket],
  ['server-sent events of REST', overEvents],
] as const)('%s', (_, watch) => {
  it('sends no event for a preview alone to a watcher without previews', async () => {
    const job = await running();
    const [all, some] = [await watch(job.id, {}), await watch(job.id, { previews: false })];
    const arrived = (at: { seen: Seen[] }, revision: number) =>
      until(() => at.seen.some(one => one.revision === revision));
    for (let step = 1; step <= STEPS; step += 1) {
      const revision = await job.change(taken(step));
      await Promise.all([arrived(all, revision), arrived(some, revision)]);
      for (let n = 1; n <= PREVIEWS_PER_STEP; n += 1) {
        await arrived(all, await job.change(frame(step * PREVIEWS_PER_STEP + n)));
      }
    }
    const last = await job.change(ended);
    await Promise.all([all.over, some.over]);
    expect(some.seen.map(({ step }) => step)).toEqual([null, 1, 2, 3, null]);
    expect(some.seen.every(({ preview = null }) => preview === null)).toBe(true);
    expect(all.seen).toHaveLength(2 + STEPS * (1 + PREVIEWS_PER_STEP));
    for (const { seen } of [all, some]) {
      expectRising(seen);
      expect(seen.at(-1)?.revision).toBe(last);
    }
  });

  it('sends the newest state at the rate that the watcher asks for, and the final one at once', async () => {
    const job = await running();
    const rate = 20;
    const begun = performance.now();
    const { seen, over } = await watch(job.id, { maxPerSecond: rate });
    let newest = 0;
    for (let step = 1; step <= 60; step += 1) newest = await job.change(taken(step));
    await until(() => seen.at(-1)?.revision === newest);
    const intervals = ((performance.now() - begun) / 1000) * rate;
    expect(seen.length).toBeLessThanOrEqual(2 + intervals);
    const last = await job.change(ended);
    await over;
    expect(seen.at(-1)?.revision).toBe(last);
    expectRising(seen);
  });

  it('sends the final state although the next one at that rate would be much later', async () => {
    const job = await running();
    const { seen, over } = await watch(job.id, { maxPerSecond: 0.1, previews: false });
    await job.change(taken(1));
    const last = await job.change(ended);
    await over;
    expect(seen.map(({ revision }) => revision)).toEqual([seen[0]?.revision, last]);
  });
});

describe('options of a watch that are out of range', () => {
  it.each([0, 0.09, 61, -1, 1e308])('reject maxPerSecond %d', async maxPerSecond => {
    const job = await running();
    const socket = await openSocket(gateway.url);
    const query = `subscription { jobProgress(jobId: "${job.id}", maxPerSecond: ${maxPerSecond}) { id } }`;
    const answer = await socket.run({ query });
    expect(JSON.stringify(answer)).toContain(
      `maxPerSecond takes a number from 0.1 to 60, got ${maxPerSecond}`,
    );
    expect(codesOf(answer)).toEqual(['BAD_USER_INPUT']);
    socket.socket.close();
  });

  it.each([
    ['max_per_second=0', 'max_per_second takes a number from 0.1 to 60, got "0"'],
    ['max_per_second=x', 'max_per_second takes a number from 0.1 to 60, got "x"'],
    ['max_per_second=1&max_per_second=2', /^max_per_second takes a number from 0\.1 to 60, got \[/],
    ['previews=no', 'previews takes true or false, got "no"'],
  ])('reject ?%s', async (query, detail) => {
    const job = await running();
    const { status, body } = await fetchJson(`${gateway.url}/events/${job.id}?${query}`);
    expect(status).toBe(400);
    expect(body.detail).toEqual(typeof detail === 'string' ? detail : expect.stringMatching(detail));
  });
});
