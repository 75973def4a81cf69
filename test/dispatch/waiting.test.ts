import { describe, expect, it, onTestFinished } from 'vitest';
import type { EngineStatus } from '../../src/dispatch/engines/engine.ts';
import { ENGINE_STATES, type EngineState } from '../../src/dispatch/engines/engine-state.ts';
import { waitReason } from '../../src/dispatch/waiting.ts';
import type { RequestedEngine } from '../../src/jobs/engine-needs.ts';
import type { Job } from '../../src/jobs/job.ts';
import { startTestEngine } from '../support/comfyui/sandbox.ts';
import { startRig } from '../support/gateway.ts';
import { aJob } from '../support/jobs.ts';
import { API_KEYS, as, fetchJson, KEYS, postGraphQL, submit } from '../support/requests.ts';
import { openSocket } from '../support/sockets.ts';
import { startRedis, withClient } from '../support/stores/redis.ts';
import { eventually, waitUntil } from '../support/watch.ts';

const job = aJob();
const { workflow } = job.request;

function engine(state: EngineState, fields: Partial<EngineStatus> = {}): EngineStatus {
  return {
    id: 'gpu:8188',
    url: 'http://gpu:8188',
    leaving: state === 'LEAVING',
    state,
    reason: state === 'READY' ? null : `because of ${state}`,
    downSince: state === 'DOWN' ? Date.UTC(2026, 0, 2, 3, 4, 5) : null,
    stats: null,
    targetedInterrupt: true,
    previewMetadata: true,
    live: true,
    workflows: state === 'UNFIT' || state === 'STARTING' ? [] : [workflow],
    problems: new Map(),
    models: new Map(),
    ...fields,
  };
}

const DOWN = 'No engine has responded since 2026-01-02 03:04:05 UTC';

const reasonOf = (
  engines: EngineStatus[],
  {
    of = job,
    ahead = 0,
    limit = null as number | null,
    operator = false,
    storeAwaySince = null as number | null,
    requested = null as RequestedEngine | null,
  } = {},
) => {
  const place = { ahead, limited: limit === null ? null : { limit, ahead } };
  return waitReason(of, { at: 1_000, place, engines, storeAwaySince, requested, operator });
};

describe('waitReason', () => {
  it.each([
    ['JOBS_AHEAD', '1 job is ahead', 1],
    ['JOBS_AHEAD', '7 jobs are ahead', 7],
    ['LANES_BUSY', 'It is next: every engine that can run it is busy', 0],
  ])('is %s (%s) where an engine can take it after %i jobs', (code, message, ahead) => {
    expect(reasonOf([engine('DOWN'), engine('READY')], { ahead })).toEqual({ code, message });
  });

  it.each([
    ['ENGINES_STARTING', 'The engines are being probed', ['STARTING', 'DOWN']],
    ['ENGINES_SET_ASIDE', 'Every engine failed repeatedly and is tried again later', ['SET_ASIDE', 'DOWN']],
    ['ENGINES_DRAINED', 'Every engine is drained by an operator', ['DRAINED', 'DOWN']],
    ['ENGINES_DOWN', DOWN, ['DOWN', 'DOWN']],
  ] as const)('is %s where no engine takes jobs, however many are ahead', (code, message, states) => {
    const engines = states.map(state => engine(state));
    expect(reasonOf(engines, { ahead: 9 })).toEqual({ code, message });
    const told = reasonOf(engines, { ahead: 9, operator: true })?.message;
    expect(told).toContain(message);
    expect(told).toContain(`gpu:8188: because of ${states[0]}`);
  });

  it.each([
    [1, '1 job of its caller has an engine, as many as may at the same time'],
    [3, '3 jobs of its caller have engines, as many as may at the same time'],
  ])('is RUNNING_LIMIT while %i run, as many as may, unless no engine can take it', (limit, message) => {
    expect(reasonOf([engine('READY')], { limit, ahead: 4 })).toEqual({ code: 'RUNNING_LIMIT', message });
    expect(reasonOf([engine('DRAINED')], { limit })?.code).toBe('ENGINES_DRAINED');
  });

  it('is NO_ENGINES where there is none, or only such as leave', () => {
    const message = 'There is no engine: none is configured, and none has registered';
    expect(reasonOf([])).toEqual({ code: 'NO_ENGINES', message });
    const gone = engine('DOWN', { leaving: true });
    expect(reasonOf([engine('LEAVING'), gone])).toEqual({ code: 'NO_ENGINES', message });
    expect(reasonOf([engine('LEAVING'), engine('DRAINED')])?.code).toBe('ENGINES_DRAINED');
  });

  it('is ENGINE_REQUESTED where none responds and one was requested', () => {
    const requested = { at: Date.UTC(2026, 0, 2), workflows: null };
    const message = 'An engine was requested at 2026-01-02 00:00:00 UTC and is starting';
    for (const engines of [[], [engine('DOWN')], [engine('DRAINED')], [engine('SET_ASIDE')]]) {
      expect(reasonOf(engines, { requested })).toEqual({ code: 'ENGINE_REQUESTED', message });
    }
    for (const state of ['STARTING', 'UNFIT', 'READY'] as const) {
      const reason = reasonOf([engine(state)], { requested });
      expect(reason).toEqual(reasonOf([engine(state)]));
    }
  });

  it('is ENGINE_REQUESTED for a workflow that an engine was requested for, while others cannot run it', () => {
    const ready = engine('READY', { workflows: ['other'] });
    const at = Date.UTC(2026, 0, 2);
    expect(reasonOf([ready], { requested: { at, workflows: [workflow] } })).toEqual({
      code: 'ENGINE_REQUESTED',
      message: `An engine that can run the workflow ${workflow} was requested at 2026-01-02 00:00:00 UTC`,
    });
    const requested = { at, workflows: ['other'] };
    expect(reasonOf([ready], { requested })?.code).toBe('ENGINES_UNFIT');
    expect(reasonOf([engine('READY')], { requested: { at, workflows: [workflow] } })?.code).toBe(
      'LANES_BUSY',
    );
  });

  it('names what the engines lack, once', () => {
    const problems = new Map([
      [workflow, [{ kind: 'node-missing', classType: 'TextEncodeQwenImageEditPlus' } as const]],
    ]);
    const unfit = engine('UNFIT', { problems });
    const ready = engine('READY', { workflows: ['other'], problems });
    const reason = reasonOf([unfit, ready, engine('DOWN')]);
    expect(reason).toEqual({
      code: 'ENGINES_UNFIT',
      message: `No engine can run the workflow ${workflow}: an engine lacks the node TextEncodeQwenImageEditPlus`,
    });
  });

  it('is the engine’s own queue for a job with a lane, and the pause after a loss', () => {
    const held: Job = { ...job, lane: 'gpu:8188#1', engine: 'gpu:8188' };
    expect(reasonOf([engine('READY')], { of: held })?.code).toBe('ENGINE_QUEUE');
    const paused: Job = { ...job, notBefore: 2_400 };
    expect(reasonOf([engine('READY')], { of: paused })).toEqual({
      code: 'PAUSED',
      message: 'Its last run was lost: it runs again in 2 s',
    });
  });

  it('counts the time without an engine from the end of the last one', () => {
    const earlier = engine('DOWN', { downSince: Date.UTC(2026, 0, 1) });
    expect(reasonOf([earlier, engine('DOWN'), earlier])?.message).toBe(DOWN);
  });

  it('names the engine of the job to operators only', () => {
    const held: Job = { ...job, lane: 'gpu:8188#1', engine: 'gpu:8188' };
    const paused: Job = { ...job, notBefore: 2_400, lostOn: 'gpu:8188' };
    for (const lost of [held, paused]) {
      expect(reasonOf([engine('READY')], { of: lost })?.message).not.toContain('gpu:8188');
      expect(reasonOf([engine('READY')], { of: lost, operator: true })?.message).toContain('gpu:8188');
    }
  });

  it('is the store when that accepts no changes, whatever the engines do', () => {
    expect(reasonOf([engine('READY')], { ahead: 3, storeAwaySince: 0 })).toEqual({
      code: 'STORE_AWAY',
      message: 'The store of jobs has accepted no changes since 1970-01-01 00:00:00 UTC',
    });
  });

  it('exists exactly for queued jobs, whatever state the engines are in', () => {
    for (const state of ENGINE_STATES) {
      expect(reasonOf([engine(state)])).not.toBeNull();
      for (const status of ['PROCESSING', 'COMPLETED', 'ERROR', 'CANCELED'] as const) {
        expect(reasonOf([engine(state)], { of: { ...job, status } })).toBeNull();
      }
    }
  });
});

describe('a waiting job', () => {
  const QUERY = 'query ($id: ID!) { job(id: $id) { waitingFor { code message } } }';

  it('says over GraphQL, REST and events that no engine responds, and why only to operators', async () => {
    const rig = await startRig({ COMFYUI_URL: 'http://127.0.0.1:9', API_KEYS });
    onTestFinished(() => rig.close());
    const id = await submit(rig, {}, as(KEYS.alice));
    const read = async (key: string) => {
      const { body } = await fetchJson(`${rig.url}/status/${id}`, { headers: as(key) });
      return Object(body).waiting_for;
    };
    await eventually(
      () => read(KEYS.alice),
      wait => wait.code === 'engines_down',
    );
    const told = await read(KEYS.alice);
    const [, since = ''] = /^No engine has responded since (.* UTC)$/.exec(told.message) ?? [];
    expect(Math.abs(Date.now() - Date.parse(since))).toBeLessThan(60_000);
    const inFull = (await read(KEYS.olga)).message;
    expect(inFull).toMatch(/^No engine has responded since .* UTC \(127\.0\.0\.1:9: .*\)$/);
    expect(inFull).toContain(since);
    // The time is that of the outage, not of the request, and an operator's answer is not shown to others.
    expect(await read(KEYS.alice)).toEqual(told);
    const { data } = await postGraphQL(rig.url, QUERY, { id }, as(KEYS.alice));
    expect(data).toEqual({ job: { waitingFor: { code: 'ENGINES_DOWN', message: told.message } } });

    const socket = await openSocket(rig.url, { apiKey: KEYS.alice });
    onTestFinished(() => socket.socket.close());
    const query = 'subscription ($id: ID!) { jobProgress(jobId: $id) { waitingFor { code } } }';
    socket.send({ id: 'w', type: 'subscribe', payload: { query, variables: { id } } });
    const { payload } = await socket.receive('next', 'w');
    expect(payload).toEqual({ data: { jobProgress: { waitingFor: { code: 'ENGINES_DOWN' } } } });
  });

  it('says that the store accepts no changes, until it does', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const rig = await startRig({ COMFYUI_URL: 'http://127.0.0.1:9', REDIS_URL: redis.url, LEASE: '300ms' });
    onTestFinished(() => rig.close());
    const id = await submit(rig);
    const codeIs = (code: string) =>
      eventually(
        async () => Object((await fetchJson(`${rig.url}/status/${id}`)).body).waiting_for?.code,
        present => present === code,
      );
    await codeIs('engines_down');
    const require = (replicas: number) =>
      withClient(redis.url, client => client.config('SET', 'min-replicas-to-write', replicas));
    await require(1);
    await codeIs('store_away');
    await require(0);
    await codeIs('engines_down');
  });

  it('tells its watchers when the reason changes', async () => {
    const engine = await startTestEngine({ stepMs: 5 });
    onTestFinished(() => engine.stop());
    const rig = await startRig({ COMFYUI_URL: engine.url });
    onTestFinished(() => rig.close());
    const [{ id: engineId }] = await eventually(
      async () =>
        (await rig.graphql<{ engines: [{ id: string; state: string }] }>('{ engines { id state } }')).data
          ?.engines ?? [{ id: '', state: '' }],
      ([{ state }]) => state === 'READY',
    );
    const drain = (drained: boolean) =>
      rig.graphql(
        'mutation ($id: ID!, $drained: Boolean!) { setEngineState(id: $id, drained: $drained) { __typename } }',
        { id: engineId, drained },
      );
    await drain(true);
    const id = await submit(rig);
    const socket = await openSocket(rig.url);
    onTestFinished(() => socket.socket.close());
    const query = 'subscription ($id: ID!) { jobProgress(jobId: $id) { status waitingFor { code } } }';
    socket.send({ id: 'w', type: 'subscribe', payload: { query, variables: { id } } });
    expect(await socket.receive('next', 'w')).toMatchObject({
      payload: { data: { jobProgress: { waitingFor: { code: 'ENGINES_DRAINED' } } } },
    });
    await drain(false);
    const last = await waitUntil(rig.url, id, ({ status }) => status === 'COMPLETED');
    expect(last.status).toBe('COMPLETED');
    const running = await fetchJson(`${rig.url}/status/${id}`);
    expect(running.body).not.toHaveProperty('waiting_for');
  });
});
