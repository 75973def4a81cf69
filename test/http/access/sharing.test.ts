import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { z } from 'zod';
import { type Rig, startRig } from '../../support/gateway.ts';
import { type Issuer, startIssuer } from '../../support/issuer.ts';
import { API_KEYS, as, fetchJson, KEYS } from '../../support/requests.ts';
import { openSocket } from '../../support/sockets.ts';
import { openEvents } from '../../support/watch.ts';

let issuer: Issuer;
let rig: Rig;
/** A job of Alice that keeps running. */
let job: string;
beforeAll(async () => {
  issuer = await startIssuer();
  rig = await startRig({ ...issuer.settings, API_KEYS, SANDBOX_STEP: '100ms' });
});
afterAll(async () => {
  await rig.close();
  issuer.stop();
});

beforeEach(async () => {
  const answer = await fetch(`${rig.url}/edit-image`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...as(KEYS.alice) },
    body: JSON.stringify({
      image1_url: `${rig.images.url}/red.png`,
      prompt: 'x',
      steps: 100,
      megapixels: 0.1,
    }),
  });
  ({ job_id: job } = await answer.json());
  return async () => {
    const gone = await fetch(`${rig.url}/jobs/${job}`, { method: 'DELETE', headers: as(KEYS.alice) });
    expect(await gone.json()).toEqual({ message: 'Job deleted' });
  };
});

const resultOf = z.object({
  data: z.object({ jobProgress: z.object({ id: z.string(), status: z.string() }) }).nullish(),
  errors: z.array(z.object({ extensions: z.object({ code: z.string() }) })).optional(),
});
type Result = z.output<typeof resultOf>;

/** A subscription in flight. */
interface Watch {
  /** Null: it has ended. */
  next(): Promise<Result | null>;
  leave(): void;
}

/** The same operation for all callers: results that depend on the caller must not be shared. */
const operation = () => ({
  query: 'subscription ($id: ID!) { jobProgress(jobId: $id) { id status engine } }',
  variables: { id: job },
});

async function watchOverSocket(key: string): Promise<Watch> {
  const { send, of, socket } = await openSocket(rig.url, as(key));
  send({ id: 'w', type: 'subscribe', payload: operation() });
  return {
    async next() {
      const { type, payload } = await of('w');
      if (type === 'complete') return null;
      return resultOf.parse(type === 'error' ? { errors: payload } : payload);
    },
    leave: () => socket.close(),
  };
}

async function watchOverEvents(key: string): Promise<Watch> {
  const headers = { accept: 'text/event-stream', ...as(key) };
  const { next, leave } = await openEvents(`${rig.url}/graphql`, headers, operation());
  return { next: async () => resultOf.nullable().parse(await next()), leave };
}

/** Reads until the job runs: from then on subscriptions can be shared. */
async function untilRunning(watch: Watch): Promise<void> {
  for (;;) {
    const result = await watch.next();
    expect(result?.errors).toBeUndefined();
    if (result?.data?.jobProgress.status === 'PROCESSING') return;
  }
}

it.each([
  ['WebSocket', watchOverSocket],
  ['server-sent events', watchOverEvents],
])(
  'a running job watched over %s by its owner and an operator stays hidden from other callers',
  async (_, open) => {
    const watching = await Promise.all([
      open(KEYS.alice),
      open(KEYS.olga),
      open(await issuer.sign({ sub: 'ann', role: 'operator' })),
    ]);
    for (const watch of watching) await untilRunning(watch);

    const strangers = {
      'another user': KEYS.bob,
      'a token of the name of the owner’s key': await issuer.sign({ sub: 'alice' }),
      'the operator, by a token without the role': await issuer.sign({ sub: 'ann' }),
    };
    for (const [who, key] of Object.entries(strangers)) {
      const watch = await open(key);
      const result = await watch.next();
      expect(result?.data ?? null, who).toBeNull();
      expect(result?.errors, who).toEqual([{ extensions: { code: 'JOB_NOT_FOUND' } }]);
      if (open === watchOverEvents) expect(await watch.next(), who).toBeNull();
      watch.leave();
    }

    for (const watch of watching) {
      expect((await watch.next())?.data?.jobProgress.id).toBe(job);
      watch.leave();
    }
  },
);

it('shows the engine that a job waits for to operators, and to its owner not even after one has asked', async () => {
  const answer = await fetch(`${rig.url}/edit-image`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...as(KEYS.alice) },
    body: JSON.stringify({ image1_url: `${rig.images.url}/red.png`, prompt: 'y', steps: 1 }),
  });
  const { job_id: waiting } = await answer.json();
  const reasonFor = async (key: string): Promise<unknown> =>
    (await fetchJson(`${rig.url}/status/${waiting}`, { headers: as(key) })).body;
  await expect
    .poll(() => reasonFor(KEYS.olga))
    .toMatchObject({ waiting_for: { message: expect.stringMatching(/^Sent to 127\.0\.0\.1:\d+, /) } });
  expect(await reasonFor(KEYS.alice)).toMatchObject({
    waiting_for: { message: expect.stringMatching(/^Sent to an engine/) },
  });
  await fetch(`${rig.url}/jobs/${waiting}`, { method: 'DELETE', headers: as(KEYS.alice) });
});
