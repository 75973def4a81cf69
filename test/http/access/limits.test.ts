import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { readConfig } from '../../../src/config.ts';
import { qwenEdit } from '../../support/clients/cli.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { type Issuer, startIssuer } from '../../support/issuer.ts';
import { as, fetchJson, postEdit, postGraphQL, postJson, submit } from '../../support/requests.ts';
import { freePort } from '../../support/servers.ts';
import { openSocket } from '../../support/sockets.ts';

const entry = (name: string, key: string, rest = '') =>
  `${name}:sha256$${createHash('sha256').update(key).digest('hex')}${rest}`;
const POLICIES = {
  default: { waiting: 100 },
  few: { waiting: 2 },
  work: { megapixelStepsPerDay: 10 },
  strict: { highestPriority: 'NORMAL', workflows: ['*-lightning'], megapixelStepsPerDay: 10 },
  low: { highestPriority: 'LOW' },
};
const soon = () => new Date(Date.now() + 3_000).toISOString();
const API_KEYS = () =>
  [
    entry('few', 'few', ':policy=few'),
    entry('work', 'work', ':user:policy=work'),
    entry('work', 'work-2', ':policy=work'),
    entry('strict', 'strict', ':policy=strict'),
    entry('low', 'low', ':policy=low'),
    entry('plain', 'plain'),
    entry('olga', 'olga', ':operator'),
    entry('over', 'over', ':until=2020-01-31'),
    entry('brief', 'brief', `:until=${soon()}`),
    entry('brief', 'brief-2', ':until=2999-01-31'),
  ].join('\n');

let issuer: Issuer;
let rig: Rig;
beforeAll(async () => {
  issuer = await startIssuer();
  // No engine takes the jobs, so they wait.
  rig = await startRig({
    ...issuer.settings,
    API_KEYS: API_KEYS(),
    CALLER_POLICIES: JSON.stringify(POLICIES),
    JWT_POLICY_CLAIM: 'plan',
    COMFYUI_URL: `http://127.0.0.1:${await freePort()}`,
  });
});
afterAll(async () => {
  await rig.close();
  issuer.stop();
});

const EDIT = `mutation ($input: EditImageInput!) { editImage(input: $input) {
  __typename ... on EditError { code message retryable }
  ... on EditLimitReached { limit allowed used freeAt retryAfterSeconds } ... on EditNotAllowed { field }
} }`;
async function edit(key: string, input: object = {}) {
  const images = [{ url: `${rig.images.url}/red.png` }];
  const full = { images, prompt: 'x', steps: 1, megapixels: 0.1, ...input };
  const { data } = await postGraphQL(rig.url, EDIT, { input: full }, as(key));
  return z.object({ editImage: z.record(z.string(), z.unknown()) }).parse(data).editImage;
}
const me = async (key: string) => (await fetchJson(`${rig.url}/me`, { headers: as(key) })).body;

/** Long before the next day in UTC: a test that counts must not cross it. */
const sameDay = async <T>(run: () => Promise<T>): Promise<T> => {
  const left = 86_400_000 - (Date.now() % 86_400_000);
  if (left < 20_000) await new Promise(resolve => setTimeout(resolve, left));
  return run();
};

describe('a caller with a limit', () => {
  it('has so many waiting jobs and no more, whichever way they come, also at once', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => postEdit(rig, {}, as('few'))));
    const statuses = answers.map(({ status }) => status).toSorted();
    expect(statuses).toEqual([200, 200, 429, 429, 429]);
    const rejected = answers.find(({ status }) => status === 429);
    expect(Number(rejected?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await rejected?.json()).toEqual({ detail: 'You may have 2 waiting jobs, and 2 wait' });
    const by = await edit('few');
    expect(by).toMatchObject({
      __typename: 'EditLimitReached',
      code: 'LIMIT_REACHED',
      retryable: true,
      limit: 'WAITING_JOBS',
      allowed: 2,
      used: 2,
    });
    expect(new Date(String(by.freeAt)).getTime()).toBeGreaterThan(Date.now() - 1_000);
    const form = new FormData();
    form.set('model', 'qwen-image-edit-plus');
    form.set('prompt', 'x');
    form.set('image', await (await fetch(`${rig.images.url}/red.png`)).blob(), 'a.png');
    const openai = await fetch(`${rig.url}/v1/images/edits`, {
      method: 'POST',
      headers: as('few'),
      body: form,
    });
    expect(openai.status).toBe(429);
    expect(await openai.json()).toMatchObject({ error: { code: 'insufficient_quota' } });
    // Others are not concerned, and a job that ends makes room.
    await submit(rig, {}, as('plain'));
    const { jobs } = (await fetchJson(`${rig.url}/jobs`, { headers: as('few') })).body;
    const [id] = Object.keys(z.record(z.string(), z.unknown()).parse(jobs));
    await fetch(`${rig.url}/jobs/${id}/cancel`, { method: 'POST', headers: as('few') });
    expect((await postEdit(rig, {}, as('few'))).status).toBe(200);
  });

  it('submits so much work a day, with both keys of its name, and hears when the next day begins', async () => {
    await sameDay(async () => {
      await submit(rig, { steps: 5, megapixels: 1 }, as('work'));
      await submit(rig, { steps: 3, megapixels: 1 }, as('work-2'));
      const answer = await edit('work', { steps: 5, megapixels: 0.5 });
      const midnight = new Date((Math.floor(Date.now() / 86_400_000) + 1) * 86_400_000);
      expect(answer).toMatchObject({
        __typename: 'EditLimitReached',
        limit: 'MEGAPIXEL_STEPS_PER_DAY',
        allowed: 10,
        used: 8,
        message: expect.stringContaining('and this takes 2.5'),
      });
      expect(new Date(String(answer.freeAt))).toEqual(midnight);
      expect(answer.retryAfterSeconds).toBeLessThanOrEqual(86_400);
      expect(await edit('work', { steps: 4, megapixels: 0.5 })).toMatchObject({ __typename: 'EditJob' });
      expect(await me('work-2')).toMatchObject({
        id: 'key:work',
        limits: { policy: 'work', megapixel_steps_per_day: 10, waiting_jobs: null },
        used: { waiting_jobs: 3, running_jobs: 0, megapixel_steps: 10, resets_at: midnight.toISOString() },
      });
    });
  });

  it('is told what its policy never allows, by field', async () => {
    const light = { workflow: 'qwen-image-edit-plus-lightning' };
    const cases = [
      [
        { workflow: 'qwen-image-edit-plus' },
        'workflow',
        'workflow qwen-image-edit-plus is not allowed for you',
      ],
      [{ ...light, priority: 'HIGH' }, 'priority', 'priority takes at most NORMAL from you, got HIGH'],
      [{ ...light, steps: 50, megapixels: 1 }, null, 'This takes 50 megapixel-steps, and you may submit 10'],
    ] as const;
    for (const [input, field, message] of cases) {
      expect(await edit('strict', input)).toEqual({
        __typename: 'EditNotAllowed',
        code: 'NOT_ALLOWED',
        retryable: false,
        field,
        message: expect.stringContaining(message),
      });
    }
    const answer = await postEdit(rig, { ...light, priority: 'HIGH' }, as('strict'));
    expect(answer.status).toBe(403);
    expect(await edit('strict', light)).toMatchObject({ __typename: 'EditJob' });
    const small = { image1_url: `${rig.images.url}/red.png`, prompt: 'x', steps: 6, megapixels: 1 };
    const batches = [
      ['few', [small, small, small], 'These are 3 jobs, and you may have 2 waiting at the same time'],
      ['work', [small, small], 'This takes 12 megapixel-steps, and you may submit 10 a day'],
    ] as const;
    for (const [key, edits, detail] of batches) {
      const { status, body } = await postJson(`${rig.url}/edit-images`, { edits }, as(key));
      expect({ status, detail: body.detail }).toEqual({ status: 403, detail });
    }
    // NORMAL is the default, so it is as much as a caller may have.
    const id = await submit(rig, {}, as('low'));
    const { data } = await postGraphQL(rig.url, `{ job(id: "${id}") { priority } }`, {}, as('low'));
    expect(data).toEqual({ job: { priority: 'LOW' } });
  });

  it('sees its limits and what it uses, in GraphQL, REST and the terminal', async () => {
    const query =
      '{ me { limits { policy highestPriority waitingJobs workflows } used { megapixelSteps } } caller { id } }';
    const { data } = await postGraphQL(rig.url, query, {}, as('strict'));
    expect(data).toEqual({
      me: {
        limits: {
          policy: 'strict',
          highestPriority: 'NORMAL',
          waitingJobs: null,
          workflows: ['*-lightning'],
        },
        used: { megapixelSteps: expect.any(Number) },
      },
      // Its former name.
      caller: { id: 'key:strict' },
    });
    expect(await me('plain')).toMatchObject({ limits: { policy: 'default', waiting_jobs: 100 } });
    expect(await me('olga')).toMatchObject({ operator: true, limits: null });
    const { out, code } = await qwenEdit(['me', '--url', rig.url, '--api-key', 'strict']);
    expect(code).toBe(0);
    expect(out).toMatch(/^key:strict\npolicy: strict\nhighest priority: NORMAL\nworkflows: \*-lightning\n/);
    expect(out).toMatch(/\nmegapixel-steps until \d{4}-\d\d-\d\d 00:00 UTC: [\d.]+ of 10\n$/);
  });

  it('has the policy that its token names; a token that names an unknown one is rejected', async () => {
    const policyOf = async (plan?: unknown) => {
      const claims = plan === undefined ? {} : { plan };
      const answer = await fetch(`${rig.url}/me`, { headers: as(await issuer.sign(claims)) });
      const body = z.looseObject({ limits: z.object({ policy: z.string() }).optional() });
      return body.parse(await answer.json()).limits?.policy ?? answer.status;
    };
    expect(await policyOf()).toBe('default');
    expect(await policyOf('few')).toBe('few');
    expect(await policyOf('other')).toBe(401);
    expect(await policyOf(['few'])).toBe(401);
    expect(await policyOf('__proto__')).toBe(401);
  });
});

describe('a key with a time', () => {
  it('is rejected after it, and its sockets close then; the next key of the name goes on', async () => {
    const statusOf = async (key: string) => (await fetch(`${rig.url}/me`, { headers: as(key) })).status;
    expect(await statusOf('over')).toBe(401);
    const local = await startRig({ API_KEYS: API_KEYS().replaceAll(/:policy=\w+/g, '') });
    try {
      const socket = await openSocket(local.url, { apiKey: 'brief' });
      expect(await socket.closed).toMatchObject({ code: 4401 });
      const get = (key: string) => fetch(`${local.url}/me`, { headers: as(key) });
      expect((await get('brief')).status).toBe(401);
      expect((await get('brief-2')).status).toBe(200);
    } finally {
      await local.close();
    }
  });
});

describe('the settings of policies', () => {
  const HASH = `sha256$${'0'.repeat(64)}`;
  it.each<[Record<string, string>, string]>([
    [{ CALLER_POLICIES: 'x' }, 'CALLER_POLICIES: takes a JSON object of policies by name; this is not JSON'],
    [{ CALLER_POLICIES: '[]' }, 'CALLER_POLICIES: takes a JSON object of policies by name'],
    [{ CALLER_POLICIES: '{"a":{"wating":1}}' }, 'CALLER_POLICIES: a: Unrecognized key: "wating"'],
    [{ CALLER_POLICIES: '{"a":{"waiting":-1}}' }, 'CALLER_POLICIES: a.waiting: '],
    [{ CALLER_POLICIES: '{"a":{"highestPriority":"TOP"}}' }, 'a.highestPriority: takes LOW, NORMAL, HIGH'],
    [{ CALLER_POLICIES: '{"a b":{}}' }, 'CALLER_POLICIES: takes names of'],
    [{ API_KEYS: `a:${HASH}:policy=b` }, 'API_KEYS: has the policy "b", which CALLER_POLICIES does not have'],
    [{ API_KEYS: `a:${HASH}:until=tomorrow` }, 'API_KEYS: entry 1: until= takes a day'],
    [{ API_KEYS: `a:${HASH}:until=2027-02-30T99:00Z` }, 'API_KEYS: entry 1: until= takes a day'],
    [{ API_KEYS: `a:${HASH}:until=2027-01-01:policy=b` }, 'API_KEYS: entry 1: until= takes a day'],
    [{ API_KEYS: `a:${HASH}:policy=b,a:${HASH}` }, 'API_KEYS: entry 2 repeats a name with another policy'],
  ])('%j is a fault', (environment, fault) => {
    const faults = [expect.stringContaining(fault)];
    expect(readConfig(environment)).toEqual({ ok: false, faults });
  });
});
