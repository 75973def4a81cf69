import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { JobEvent } from '../../src/jobs/advance.ts';
import type { Job } from '../../src/jobs/job.ts';
import { aJob } from '../support/jobs.ts';
import { type LedgerGateway, startLedgerGateway } from '../support/ledger-gateway.ts';
import { API_KEYS, as, fetchJson, KEYS } from '../support/requests.ts';
import { codesOf, openSocket, type RawSocket } from '../support/sockets.ts';

let gateway: LedgerGateway;
beforeAll(async () => {
  gateway = await startLedgerGateway({ API_KEYS });
});
afterAll(() => gateway.close());

/** A running job of a caller. */
const running = (name: string, prompt = 'x'): Promise<Job> =>
  gateway.begin({ owner: `key:${name}`, request: { ...aJob().request, prompt } });

const change = (job: Job, event: JobEvent): Promise<Job> => gateway.change(job, event);

const step = (number: number): JobEvent => ({
  ...{ type: 'progressed', at: 1, progress: number / 10, stage: 'SAMPLING' },
  ...{ step: number, totalSteps: 1_000, etaSeconds: null },
});
const ended = (): JobEvent => ({ type: 'canceled', at: 2, expiresAt: Date.now() + 60_000 });

const message = z.object({
  data: z.object({
    jobUpdates: z.object({
      cursor: z.string(),
      reset: z.boolean(),
      removed: z.array(z.string()),
      jobs: z.array(z.object({ id: z.string(), status: z.string(), revision: z.number() })),
    }),
  }),
});
type Updates = z.output<typeof message>['data']['jobUpdates'];

const QUERY = `subscription ($since: String, $first: Int, $status: [EditJobStatus!], $mine: Boolean) {
  jobUpdates(since: $since, first: $first, status: $status, mine: $mine) {
    cursor reset removed jobs { id status revision request { prompt } }
  }
}`;

interface Watch {
  next(): Promise<Updates>;
  socket: RawSocket;
}

async function watch(key: string, variables: object = {}): Promise<Watch> {
  const socket = await openSocket(gateway.url, { authorization: `Bearer ${key}` });
  socket.send({ id: 'w', type: 'subscribe', payload: { query: QUERY, variables } });
  return {
    socket,
    async next() {
      const { payload } = await socket.receive('next', 'w');
      return message.parse(payload).data.jobUpdates;
    },
  };
}

describe('jobUpdates', () => {
  it('sends a caller its own jobs as they are, and each change, and operators those of all', async () => {
    const mine = await running('alice');
    const others = await running('bob');
    const [alice, olga, own] = [
      await watch(KEYS.alice),
      await watch(KEYS.olga, { first: 100 }),
      await watch(KEYS.olga, { mine: true }),
    ];
    const start = await alice.next();
    expect(start).toMatchObject({ reset: true, removed: [] });
    expect(start.jobs.map(({ id }) => id)).toContain(mine.id);
    expect(start.jobs.map(({ id }) => id)).not.toContain(others.id);
    expect((await olga.next()).jobs.map(({ id }) => id)).toEqual(
      expect.arrayContaining([mine.id, others.id]),
    );
    expect(await own.next()).toMatchObject({ reset: true, jobs: [] });

    const changed = await change(others, step(1));
    expect((await olga.next()).jobs).toMatchObject([{ id: others.id, revision: changed.revision }]);
    const end = await change(mine, ended());
    expect(await alice.next()).toMatchObject({ reset: false, jobs: [{ id: mine.id, status: 'CANCELED' }] });
    await gateway.ledger.remove(end.id);
    expect(await alice.next()).toMatchObject({ jobs: [], removed: [mine.id] });
    for (const { socket } of [alice, olga, own]) socket.socket.close();
  });

  it('continues after a cursor: each job that changed meanwhile once, and removed ones', async () => {
    const jobs = [await running('alice'), await running('alice'), await running('alice')] as const;
    const before = await watch(KEYS.alice);
    const { cursor } = await before.next();
    before.socket.socket.close();
    const changed = await change(await change(jobs[1], step(1)), step(2));
    await gateway.ledger.remove(jobs[0].id);
    const back = await watch(KEYS.alice, { since: cursor });
    const missed = await back.next();
    expect(missed).toMatchObject({ reset: false, removed: [jobs[0].id] });
    expect(missed.jobs).toMatchObject([{ id: jobs[1].id, revision: changed.revision }]);
    back.socket.socket.close();

    const foreign = Buffer.from('another:1').toString('base64url');
    const reset = await watch(KEYS.alice, { since: foreign, first: 1 });
    expect(await reset.next()).toMatchObject({ reset: true, jobs: [{ id: jobs[2].id }] });
    reset.socket.socket.close();
  });

  it('sends a socket that is not read each job once, in its newest state, when it is read again', async () => {
    // More than the buffers of a connection hold.
    const prompt = 'x'.repeat(4_000);
    const jobs = await Promise.all(Array.from({ length: 20 }, () => running('bob', prompt)));
    const { socket, next } = await watch(KEYS.bob, { first: 0 });
    await next();
    socket.socket.pause();
    let now = jobs;
    const rounds = 200;
    for (let round = 1; round <= rounds; round += 1) {
      now = await Promise.all(now.map(job => change(job, step(round))));
    }
    socket.socket.resume();
    const seen = new Map<string, number>();
    let messages = 0;
    while (now.some(job => seen.get(job.id) !== job.revision)) {
      for (const { id, revision } of (await next()).jobs) {
        expect(revision).toBeGreaterThan(seen.get(id) ?? 0);
        seen.set(id, revision);
      }
      messages += 1;
    }
    expect(messages).toBeLessThan(rounds);
    socket.socket.close();
  });

  it('says which argument is wrong', async () => {
    for (const [args, text] of [
      ['since: "x"', 'since takes the cursor of updates, got "x"'],
      ['first: 101', 'first takes 0 to 100, got 101'],
      ['maxPerSecond: 0', 'maxPerSecond takes a number from 0.1 to 60, got 0'],
    ] as const) {
      const socket = await openSocket(gateway.url, { authorization: `Bearer ${KEYS.alice}` });
      const answer = await socket.run({ query: `subscription { jobUpdates(${args}) { cursor } }` });
      expect(JSON.stringify(answer)).toContain(JSON.stringify(text).slice(1, -1));
      expect(codesOf(answer)).toEqual(['BAD_USER_INPUT']);
      socket.socket.close();
    }
  });
});

interface Event {
  readonly id: string | null;
  readonly event: string;
  readonly data: unknown;
}

/** Reads server-sent events of REST as an EventSource does. */
async function openEvents(key: string, query = '', headers: Record<string, string> = {}) {
  const leave = new AbortController();
  const answer = await fetch(`${gateway.url}/events${query}`, {
    headers: { ...as(key), ...headers },
    signal: leave.signal,
  });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([
    200,
    expect.stringMatching(/^text\/event-stream/),
  ]);
  async function* read(): AsyncGenerator<Event, void> {
    let text = '';
    for await (const part of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += part;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks.filter(one => !one.startsWith(':'))) {
        const field = (name: string): string | null =>
          new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? null;
        yield {
          id: field('id'),
          event: field('event') ?? 'message',
          data: JSON.parse(field('data') ?? 'null'),
        };
      }
    }
  }
  const events = read();
  return {
    async next(): Promise<Event> {
      const { value } = await events.next();
      if (value === undefined) throw new Error('the stream has ended');
      return value;
    },
    leave: () => leave.abort(),
  };
}

describe('GET /events', () => {
  it('sends the status of each job that changes, and continues after the id of an event', async () => {
    const job = await running('alice');
    const events = await openEvents(KEYS.alice, '?limit=1');
    expect(await events.next()).toEqual({ id: null, event: 'reset', data: {} });
    const first = await events.next();
    expect(first.data).toMatchObject({ job_id: job.id, status: 'processing', revision: job.revision });
    expect(first.id).not.toBeNull();
    const changed = await change(job, step(7));
    const second = await events.next();
    expect(second).toMatchObject({ event: 'message', data: { job_id: job.id, step: 7 } });
    events.leave();

    await change(changed, ended());
    const gone = await running('alice');
    await gateway.ledger.remove(gone.id);
    for (const [query, headers] of [
      ['', { 'last-event-id': second.id ?? '' }],
      [`?since=${second.id}`, {}],
    ] as const) {
      const back = await openEvents(KEYS.alice, query, headers);
      const seen = [await back.next(), await back.next()];
      expect(seen).toEqual([
        { id: null, event: 'removed', data: { job_id: gone.id } },
        {
          id: expect.any(String),
          event: 'message',
          data: expect.objectContaining({ job_id: job.id, status: 'error' }),
        },
      ]);
      back.leave();
    }
  });

  it('begins anew after the id of an event that is not its own', async () => {
    const events = await openEvents(KEYS.alice, '?limit=0', { 'last-event-id': '17' });
    expect(await events.next()).toMatchObject({ event: 'reset', id: expect.any(String) });
    events.leave();
  });

  it('sends only jobs with a status', async () => {
    const job = await running('alice');
    const events = await openEvents(KEYS.alice, '?limit=0&status=completed,error');
    await events.next();
    const other = await change(await change(job, step(1)), ended());
    expect((await events.next()).data).toMatchObject({ job_id: other.id, status: 'error' });
    events.leave();
  });

  it.each([
    ['since=x', 'since takes the id of an event, got "x"'],
    ['limit=101', 'limit takes an integer from 0 to 100, got 101'],
    ['status=done', /^status takes one or several of queued/],
    ['mine=1', 'mine takes true or false, got "1"'],
    ['max_per_second=x', 'max_per_second takes a number from 0.1 to 60, got "x"'],
  ])('rejects ?%s', async (query, detail) => {
    const { status, body } = await fetchJson(`${gateway.url}/events?${query}`, { headers: as(KEYS.alice) });
    expect([status, body.detail]).toEqual([
      400,
      typeof detail === 'string' ? detail : expect.stringMatching(detail),
    ]);
  });
});
