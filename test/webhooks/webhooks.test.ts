import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Log } from '../../src/log.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { plainImage } from '../support/images.ts';
import { recordLog } from '../support/log.ts';
import { type Answering, type Receiver, startReceiver } from '../support/receiver.ts';
import { API_KEYS, as, KEYS } from '../support/requests.ts';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const OTHER = `whsec_${Buffer.alloc(24, 9).toString('base64')}`;
const SETTINGS = { WEBHOOK_SECRET: SECRET, WEBHOOK_RETRY: '20ms' };

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing.close();
});

async function gateway(settings: Record<string, string> = SETTINGS, log?: Log): Promise<Rig> {
  const rig = await startRig(settings, log);
  opened.push(rig);
  return rig;
}

async function receiver(answer?: Answering): Promise<Receiver> {
  const started = await startReceiver(answer);
  opened.push(started);
  return started;
}

async function post(rig: Rig, webhook: unknown, more: Record<string, unknown> = {}): Promise<Response> {
  return fetch(`${rig.url}/edit-image`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      image1_url: `${rig.images.url}/red.png`,
      prompt: 'a secret garden',
      steps: 1,
      megapixels: 0.1,
      webhook,
      ...more,
    }),
  });
}

async function submit(rig: Rig, webhook: unknown, more: Record<string, unknown> = {}): Promise<string> {
  const answer = await post(rig, webhook, more);
  const { job_id } = await answer.json();
  expect([answer.status, job_id]).toEqual([200, expect.any(String)]);
  return String(job_id);
}

interface DeliveryFields {
  id: string;
  event: string;
  status: string;
  attempts: { at: string; took_ms: number; status_code: number | null; error: string | null }[];
  next_attempt_at: string | null;
}

async function deliveries(rig: Rig, job: string): Promise<DeliveryFields[]> {
  return (await (await fetch(`${rig.url}/webhooks/${job}`)).json()).deliveries;
}

/** The only delivery of a job, once it is no longer pending. */
async function settled(rig: Rig, job: string): Promise<DeliveryFields> {
  const find = async (): Promise<DeliveryFields | undefined> => (await deliveries(rig, job))[0];
  await expect.poll(async () => (await find())?.status).toMatch(/delivered|failed/);
  const found = await find();
  if (found === undefined) throw new Error('It is gone');
  return found;
}

describe('a webhook', () => {
  it('receives the end of a job, signed per Standard Webhooks, without the prompt', async () => {
    const [rig, hook] = [
      await gateway({ ...SETTINGS, PUBLIC_URL: 'https://edit.example/' }),
      await receiver(),
    ];
    const own = { label: 'for the shop', metadata: { order: '4711' } };
    const job = await submit(rig, { url: hook.url }, own);
    const [call] = await hook.heard(1);
    if (call === undefined) throw new Error('Nothing came');
    const headers = {
      'webhook-id': String(call.headers['webhook-id']),
      'webhook-timestamp': String(call.headers['webhook-timestamp']),
      'webhook-signature': String(call.headers['webhook-signature']),
    };
    expect(new Webhook(SECRET).verify(call.body, headers)).toMatchObject({
      type: 'job.completed',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      data: {
        job_id: job,
        status: 'completed',
        attempt: 1,
        ...own,
        error: null,
        images: [{ url: `https://edit.example/download/${job}`, mime_type: 'image/png' }],
      },
    });
    expect(() => new Webhook(OTHER).verify(call.body, headers)).toThrow();
    expect(call.headers['content-type']).toBe('application/json');
    expect(call.body).not.toContain('garden');
    expect(await settled(rig, job)).toMatchObject({
      id: headers['webhook-id'],
      event: 'completed',
      status: 'delivered',
      attempts: [{ status_code: 204, error: null }],
      next_attempt_at: null,
    });
    expect(hook.received).toHaveLength(1);
  });

  it('receives only the events it lists, over GraphQL too', async () => {
    const [rig, hook] = [await gateway(), await receiver()];
    const { data } = await rig.graphql<{ editImage: { id: string } }>(
      `mutation ($input: EditImageInput!) { editImage(input: $input) {
         ... on EditJob { id request { webhook { url events } } } ... on EditError { message } } }`,
      {
        input: {
          images: [{ url: `${rig.images.url}/red.png` }],
          prompt: 'x',
          steps: 1,
          megapixels: 0.1,
          webhook: { url: hook.url, events: ['STARTED'] },
        },
      },
    );
    expect(data?.editImage).toMatchObject({ request: { webhook: { url: hook.url, events: ['STARTED'] } } });
    const id = String(data?.editImage.id);
    await hook.heard(1);
    await expect
      .poll(async () => (await (await fetch(`${rig.url}/status/${id}`)).json()).status)
      .toBe('completed');
    await settled(rig, id);
    const answer = await rig.graphql(
      'query ($id: ID!) { job(id: $id) { webhookDeliveries { id event status nextAttemptAt attempts { at tookMs statusCode error } } } }',
      { id },
    );
    expect(answer.data).toMatchObject({
      job: {
        webhookDeliveries: [
          {
            event: 'STARTED',
            status: 'DELIVERED',
            nextAttemptAt: null,
            attempts: [{ statusCode: 204, error: null }],
          },
        ],
      },
    });
    expect(hook.received.map(({ body }) => JSON.parse(body).type)).toEqual(['job.started']);
  });

  it('is retried with the same id and body until it succeeds, and every try is listed', async () => {
    const hook = await receiver(n => [500, 302, 204][n] ?? 204);
    const rig = await gateway();
    const job = await submit(rig, { url: hook.url });
    const calls = await hook.heard(3);
    expect(new Set(calls.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(new Set(calls.map(({ body }) => body)).size).toBe(1);
    const { status, attempts } = await settled(rig, job);
    expect(status).toBe('delivered');
    expect(attempts.map(({ status_code, error }) => [status_code, error])).toEqual([
      [500, 'answered 500'],
      [302, 'answered 302: redirects are not followed'],
      [204, null],
    ]);
  });

  it('is in the log when it fails: once a minute for each receiver, with its host and the reason alone', async () => {
    const log = recordLog();
    const tries = new Map<unknown, number>();
    const busy = await receiver((_, { 'webhook-id': id }) => {
      tries.set(id, (tries.get(id) ?? 0) + 1);
      return tries.get(id) === 3 ? 204 : 500;
    });
    const closed = await receiver(() => 410);
    const rig = await gateway({ ...SETTINGS, FETCH_ALLOW: '127.0.0.0/8' }, log);
    const urls = [busy.url, busy.at(2), closed.url].map(url => `${url}?key=hunter2`);
    const jobs = await Promise.all(urls.map(url => submit(rig, { url })));
    const ended = await Promise.all(jobs.map(job => settled(rig, job)));
    expect(ended.map(({ status }) => status)).toEqual(['delivered', 'delivered', 'failed']);
    const warnings = log.lines.filter(
      ({ level, message }) => level === 'warn' && message.includes('webhook delivery'),
    );
    const hostOf = (url: string) => new URL(url).host;
    expect(warnings.map(({ message, fields }) => ({ message, ...fields }))).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ host: hostOf(busy.url), job: jobs[0], error: 'answered 500' }),
        expect.objectContaining({ host: hostOf(busy.at(2)), job: jobs[1], error: 'answered 500' }),
        expect.objectContaining({
          host: hostOf(closed.url),
          message: 'gave up a webhook delivery',
          error: 'answered 410',
        }),
      ]),
    );
    expect(warnings).toHaveLength(3);
    expect(JSON.stringify(log.lines)).not.toMatch(/hunter2|hook\?/);
  });

  it('waits as long as Retry-After says, and ends at once with 410', async () => {
    const patient = await receiver(n => (n === 0 ? { status: 503, headers: { 'retry-after': '1' } } : 204));
    const gone = await receiver(() => 410);
    const rig = await gateway();
    const [first, second] = [await submit(rig, { url: patient.url }), await submit(rig, { url: gone.url })];
    const [early, late] = await patient.heard(2);
    expect((late?.at ?? 0) - (early?.at ?? 0)).toBeGreaterThanOrEqual(950);
    expect(await settled(rig, first)).toMatchObject({ status: 'delivered' });
    expect(await settled(rig, second)).toMatchObject({ status: 'failed', attempts: [{ status_code: 410 }] });
    expect(gone.received).toHaveLength(1);
  });

  it('does not delay the job if it never responds', async () => {
    const silent = await receiver(() => 'silent');
    const rig = await gateway({ ...SETTINGS, WEBHOOK_TIMEOUT: '300ms' });
    const stuck = await submit(rig, { url: silent.url });
    await silent.heard(2);
    await expect
      .poll(async () => (await deliveries(rig, stuck))[0]?.attempts[0])
      .toMatchObject({ status_code: null, error: 'no response within 0.3 s' });
    expect((await (await fetch(`${rig.url}/status/${stuck}`)).json()).status).toBe('completed');
  });

  it('is signed with each secret during a rotation', async () => {
    const [rig, hook] = [
      await gateway({ ...SETTINGS, WEBHOOK_SECRET: `${SECRET},${OTHER}` }),
      await receiver(),
    ];
    await submit(rig, { url: hook.url });
    const [call] = await hook.heard(1);
    for (const secret of [SECRET, OTHER]) {
      const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature'];
      const headers = Object.fromEntries(names.map(name => [name, String(call?.headers[name])]));
      expect(new Webhook(secret).verify(call?.body ?? '', headers)).toMatchObject({ type: 'job.completed' });
    }
  });

  it('is deleted with its job', async () => {
    const hook = await receiver(() => 500);
    const rig = await gateway({ ...SETTINGS, WEBHOOK_RETRY: '1h' });
    const job = await submit(rig, { url: hook.url });
    await hook.heard(1);
    await fetch(`${rig.url}/jobs/${job}`, { method: 'DELETE' });
    expect((await fetch(`${rig.url}/webhooks/${job}`)).status).toBe(404);
  });
});

describe('webhooks without a response', () => {
  /** More than there are places. */
  const MANY = 70;
  /** Nothing runs, and no clock makes room: a try takes longer than a test may. */
  const QUIET = { ...SETTINGS, COMFYUI_URL: 'http://127.0.0.1:9', WEBHOOK_TIMEOUT: '10m' };
  const dataUri = plainImage()
    .png()
    .toBuffer()
    .then(png => `data:image/png;base64,${png.toString('base64')}`);

  /** A webhook to the URL is due. */
  async function tell(rig: Rig, url: string, from: Record<string, string> = {}): Promise<void> {
    const ask = async (path: string, init: RequestInit): Promise<Record<string, unknown>> => {
      const headers = { 'content-type': 'application/json', ...from };
      const answer = await fetch(`${rig.url}${path}`, { ...init, headers });
      expect(answer.status).toBe(200);
      return answer.json();
    };
    const body = { image1_url: await dataUri, prompt: 'x', webhook: { url } };
    const { job_id } = await ask('/edit-image', { method: 'POST', body: JSON.stringify(body) });
    const query = 'mutation ($id: ID!) { cancelJob(id: $id) { __typename ... on EditJob { status } } }';
    const cancel = JSON.stringify({ query, variables: { id: job_id } });
    const { data } = await ask('/graphql', { method: 'POST', body: cancel });
    expect(data).toMatchObject({ cancelJob: { status: 'CANCELED' } });
  }

  const TRUSTING = { FAIR_BY: 'address', TRUST_PROXY: '127.0.0.1' };
  it.each([
    ['keys', { API_KEYS }, as(KEYS.alice), as(KEYS.bob)],
    ['addresses', TRUSTING, { 'x-forwarded-for': '192.0.2.1' }, { 'x-forwarded-for': '192.0.2.2' }],
  ])('leave slots to other callers, told apart by %s, on the same host too', async (...row) => {
    const [, settings, many, one] = row;
    const [silent, hook] = [await receiver(() => 'silent'), await receiver()];
    const rig = await gateway({ ...QUIET, ...settings, FETCH_ALLOW: '127.0.0.0/8' });
    for (let n = 0; n < MANY; n += 1) await tell(rig, silent.at(n < 10 ? 1 : n), many);
    await silent.heard(16);
    await tell(rig, hook.url, one);
    await hook.heard(1);
    expect(silent.received).toHaveLength(16);
  });

  it('leave slots to other hosts if callers are not told apart, whatever their ports', async () => {
    const hook = await receiver();
    const rig = await gateway({ ...QUIET, FETCH_ALLOW: '127.0.0.0/8' });
    const silent: Receiver[] = [];
    for (let n = 0; n < MANY / 7; n += 1) silent.push(await receiver(() => 'silent'));
    for (let n = 0; n < MANY; n += 1) await tell(rig, silent[n % silent.length]?.url ?? '');
    const heard = (): number => silent.reduce((sum, { received }) => sum + received.length, 0);
    await expect.poll(heard).toBe(8);
    await tell(rig, hook.at(2));
    await hook.heard(1);
    expect(heard()).toBe(8);
  });

  it('leave slots to first tries while they are retried', async () => {
    const known = new Set<unknown>();
    const away = await receiver((_, headers) => {
      if (known.has(headers['webhook-id'])) return 'silent';
      known.add(headers['webhook-id']);
      return 503;
    });
    const hook = await receiver();
    const rig = await gateway({ ...QUIET, FETCH_ALLOW: '127.0.0.0/8' });
    for (let n = 1; n <= MANY; n += 1) await tell(rig, away.at(n));
    await away.heard(MANY + 48);
    await tell(rig, hook.at(MANY + 1));
    await hook.heard(1);
    expect(away.received).toHaveLength(MANY + 48);
  });
});

describe('a delivery that was pending when its gateway stopped', () => {
  it('is posted by the next gateway', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'webhooks-'));
    opened.push({ close: () => rm(dataDir, { recursive: true }) });
    const hook = await receiver(n => (n === 0 ? 'silent' : 204));
    const first = await startRig({ ...SETTINGS, DATA_DIR: dataDir });
    const job = await submit(first, { url: hook.url });
    const [cut] = await hook.heard(1);
    await first.close();
    const second = await gateway({ ...SETTINGS, DATA_DIR: dataDir });
    const [, told] = await hook.heard(2);
    expect(told?.headers['webhook-id']).toBe(cut?.headers['webhook-id']);
    expect(await settled(second, job)).toMatchObject({ status: 'delivered' });
  });
});

describe('an invalid webhook', () => {
  let engine: TestEngine;
  beforeAll(async () => {
    engine = await startTestEngine();
    return () => engine.stop();
  });

  it.each([
    ['a text', 'webhook takes an object of url and events'],
    [{}, 'webhook.url takes an http(s) URL'],
    [{ url: 'ftp://example.com/' }, 'webhook.url takes an http(s) URL: not an http or https URL'],
    [
      { url: 'https://user:pass@example.com/' },
      'webhook.url takes an http(s) URL: the URL contains credentials',
    ],
    [{ url: 'https://example.com:22/hook' }, 'webhook.url takes an http(s) URL: port 22 is not allowed'],
    [{ url: 'http://169.254.169.254/latest' }, 'webhook.url takes a URL that can be called from outside'],
    [{ url: 'http://[::1]/' }, 'webhook.url takes a URL that can be called from outside'],
    [{ url: 'http://2130706434/' }, 'webhook.url takes a URL that can be called from outside'],
    [{ url: 'http://example.com:25/' }, 'webhook.url takes an http(s) URL: port 25'],
    [
      { url: 'https://example.com/', events: [] },
      'webhook.events takes a list of started, completed, error, canceled, got []',
    ],
    [
      { url: 'https://example.com/', events: ['progress'] },
      'webhook.events.0 takes one of started, completed, error, canceled, got "progress"',
    ],
    [{ url: 'https://example.com/', secret: 'x' }, 'webhook'],
  ])('%j is rejected with the field’s name', async (webhook, message) => {
    const rig = await gateway({ ...SETTINGS, COMFYUI_URL: engine.url });
    const answer = await post(rig, webhook);
    expect(answer.status).toBe(400);
    expect((await answer.json()).detail).toContain(message);
    expect((await (await fetch(`${rig.url}/jobs`)).json()).jobs).toEqual({});
  });

  it('is any webhook if no secret is set', async () => {
    const rig = await gateway({});
    const answer = await post(rig, { url: 'https://example.com/' });
    expect([answer.status, (await answer.json()).detail]).toEqual([
      400,
      'webhook is not accepted: the operator has not set WEBHOOK_SECRET',
    ]);
  });

  it('is a name of a private address: nothing is called, and it is not retried', async () => {
    const hook = await receiver();
    const { port } = new URL(hook.url);
    const rig = await gateway({ ...SETTINGS, COMFYUI_URL: engine.url, FETCH_ALLOW: '192.0.2.1' });
    const image = await sharp({ create: { width: 64, height: 64, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    const image1_url = `data:image/png;base64,${image.toString('base64')}`;
    const job = await submit(rig, { url: `http://localhost:${port}/hook` }, { image1_url });
    expect(await settled(rig, job)).toMatchObject({
      status: 'failed',
      attempts: [
        {
          status_code: null,
          error: 'localhost leads to a loopback address: the operator can add the host to FETCH_ALLOW',
        },
      ],
    });
    expect(hook.received).toEqual([]);
  });
});
