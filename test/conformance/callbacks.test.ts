import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { API_KEYS, as, KEYS, postJson, submit } from '../support/requests.ts';
import {
  type CallbackMessage,
  type Misbehaviour,
  type RouterSubscription,
  type StandInRouter,
  startRouter,
} from '../support/router.ts';

/** https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/callback-protocol */

const WATCH = 'subscription ($id: ID!) { jobProgress(jobId: $id) { status revision } }';
const ALL = 'subscription { jobUpdates(since: null) { jobs { id } } }';
const alice = as(KEYS.alice);

let rig: Rig;
let router: StandInRouter;
/** Of the test that runs. */
let misbehave: Misbehaviour = () => null;
beforeAll(async () => {
  router = await startRouter((message, n) => misbehave(message, n));
  rig = await startRig({
    API_KEYS,
    CALLBACK_ALLOW: '127.0.0.1',
    SUBSCRIPTIONS_PER_CALLER: '1',
    SANDBOX_STEP: '20ms',
  });
});
afterEach(() => {
  misbehave = () => null;
});
afterAll(async () => {
  await rig.close();
  await router.close();
});

const actions = (messages: readonly CallbackMessage[]): string[] => messages.map(({ action }) => action);
const hasEnded = (messages: readonly CallbackMessage[]): boolean => actions(messages).includes('complete');
const nexts = (messages: readonly CallbackMessage[]): unknown[] =>
  messages.flatMap(message => (message.action === 'next' ? [message.payload] : []));

/** Watches until the quota, which takes one subscription, has room for it. */
async function watch(id: string, headers = alice): Promise<RouterSubscription> {
  for (let n = 0; n < 200; n += 1) {
    const subscription = await router.subscribe(rig.url, WATCH, { id }, { headers });
    if (!JSON.stringify(subscription.response.body).includes('TOO_MANY_SUBSCRIPTIONS')) return subscription;
  }
  throw new Error('the quota was never free');
}

describe('a router that subscribes by callbacks', () => {
  it('is checked, gets every result and the end, and nothing that the protocol does not allow', async () => {
    const id = await submit(rig, { steps: 20 }, alice);
    const subscription = await watch(id);
    expect(subscription.response).toEqual({ status: 200, protocol: 'callback/1.0', body: { data: null } });
    await subscription.until(hasEnded);
    expect(actions(subscription.messages)[0]).toBe('check');
    const payloads = nexts(subscription.messages);
    expect(payloads.length).toBeGreaterThan(2);
    expect(payloads.at(-1)).toMatchObject({ data: { jobProgress: { status: 'COMPLETED' } } });
    const revisions = payloads.map(payload => /"revision":(\d+)/.exec(JSON.stringify(payload))?.[1]);
    expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => Number(a) - Number(b)));
    expect(subscription.messages.at(-1)).not.toHaveProperty('errors');
    expect(router.violations).toEqual([]);
    // Connections are reused.
    expect(router.connections()).toBeLessThan(subscription.messages.length);
  });

  it('hears of the gateway within each interval, and its 404 ends the subscription', async () => {
    const id = await submit(rig, { steps: 100 }, alice);
    const options = { headers: alice, heartbeatMs: 500 };
    const subscription = await router.subscribe(rig.url, WATCH, { id }, options);
    await subscription.until(messages => actions(messages).filter(action => action === 'check').length > 3);
    expect(subscription.ended()).toBeNull();
    const full = await router.subscribe(rig.url, WATCH, { id }, options);
    expect(full.response.body).toMatchObject({
      errors: [{ extensions: { code: 'TOO_MANY_SUBSCRIPTIONS' } }],
    });
    subscription.terminate();
    const next = await watch(id);
    expect(next.response.status).toBe(200);
    next.terminate();
    expect(router.violations).toEqual([]);
  });

  it('gets a message again after a connection that broke', async () => {
    const id = await submit(rig, { steps: 3 }, alice);
    let resets = 0;
    misbehave = ({ action }) => (action === 'next' && resets++ === 0 ? 'reset' : null);
    const subscription = await watch(id);
    await subscription.until(hasEnded);
    expect(resets).toBeGreaterThan(1);
    expect(nexts(subscription.messages).at(-1)).toMatchObject({
      data: { jobProgress: { status: 'COMPLETED' } },
    });
  });

  it('gets nothing more after it answered with an error', async () => {
    const id = await submit(rig, { steps: 100 }, alice);
    misbehave = ({ action }) => (action === 'next' ? 500 : null);
    const subscription = await watch(id);
    await subscription.until(messages => nexts(messages).length > 0);
    misbehave = () => null;
    const next = await watch(id);
    expect(next.response.status).toBe(200);
    next.terminate();
    expect(actions(subscription.messages)).toEqual(['check', 'next']);
  });

  it('that rejects the check gets 400, and nothing else', async () => {
    const id = await submit(rig, { steps: 1 }, alice);
    misbehave = () => 400;
    const { response, messages } = await watch(id);
    expect(response).toMatchObject({
      status: 400,
      protocol: null,
      body: { errors: [{ extensions: { code: 'CALLBACK_FAILED' } }] },
    });
    expect(actions(messages)).toEqual(['check']);
  });

  it('sees the jobs of the caller whose credentials it passes on, and no others', async () => {
    const id = await submit(rig, { steps: 1 }, alice);
    const ofBob = await watch(id, as(KEYS.bob));
    expect(ofBob.response.status).toBe(400);
    expect(ofBob.response.body).toMatchObject({ errors: [{ extensions: { code: 'JOB_NOT_FOUND' } }] });
    expect(ofBob.messages).toEqual([]);
    const nobody = await router.subscribe(rig.url, WATCH, { id });
    expect(nobody.response.status).toBe(401);
    const all = await router.subscribe(rig.url, ALL, {}, { headers: as(KEYS.bob) });
    await all.until(messages => nexts(messages).length > 0);
    expect(nexts(all.messages)[0]).toEqual({ data: { jobUpdates: { jobs: [] } } });
    all.terminate();
  });

  it.each([
    [undefined, 'extensions.subscription takes an object'],
    [{}, '.callbackUrl takes an http or https URL'],
    [{ callbackUrl: 'file:///etc/passwd' }, 'not an http or https URL'],
    [{ callbackUrl: 'http://user:secret@127.0.0.1/' }, 'the URL contains credentials'],
    [{ callbackUrl: 'http://127.0.0.1:6379/' }, 'port 6379 is not allowed'],
    [{ subscriptionId: 5 }, '.subscriptionId takes a text of 1 to 256 characters'],
    [{ verifier: 'x'.repeat(257) }, '.verifier takes a text of 1 to 256 characters'],
    [{ heartbeatIntervalMs: 1 }, '.heartbeatIntervalMs takes 0, or an integer from 500 to 3600000'],
    [{ callbackUrl: 'http://127.0.0.2:8081/' }, '127.0.0.2 is not in the list of allowed hosts'],
    [{ callbackUrl: 'http://93.184.215.14/' }, '93.184.215.14 is not in the list of allowed hosts'],
    [{ callbackUrl: 'http://localhost.example.invalid/' }, 'host not found'],
  ])('gets 400 for %j', async (given, message) => {
    const id = await submit(rig, { steps: 1 }, alice);
    const before = router.connections();
    const valid = { callbackUrl: `${router.url}/callback/a`, subscriptionId: 'a', verifier: 'v' };
    const subscription =
      given === undefined || Object.keys(given).length === 0 ? given : { ...valid, ...given };
    const { status, body } = await postJson(
      `${rig.url}/graphql`,
      { query: WATCH, variables: { id }, extensions: { subscription } },
      { ...alice, accept: 'application/json;callbackSpec=1.0' },
    );
    expect([status, JSON.stringify(body)]).toEqual([400, expect.stringContaining(message)]);
    expect(router.connections()).toBe(before);
  });
});

describe('subscriptions by callbacks', () => {
  it('are off unless the operator lists routers', async () => {
    const closed = await startRig();
    try {
      const { response, messages } = await router.subscribe(closed.url, ALL);
      expect(response.status).toBe(400);
      expect(JSON.stringify(response.body)).toContain('CALLBACK_ALLOW');
      expect(messages).toEqual([]);
    } finally {
      await closed.close();
    }
  });

  it('end with errors after their lifetime, and when the gateway stops', async () => {
    const short = await startRig({ CALLBACK_ALLOW: '127.0.0.1', SOCKET_LIFETIME: '500ms' });
    const early = { action: 'complete', errors: [{ extensions: { code: 'SUBSCRIPTION_ENDED_EARLY' } }] };
    try {
      const first = await router.subscribe(short.url, ALL);
      await first.until(hasEnded);
      expect(first.messages.at(-1)).toMatchObject(early);
      const second = await router.subscribe(short.url, ALL);
      await short.close();
      expect(second.messages.at(-1)).toMatchObject(early);
      expect(router.violations).toEqual([]);
    } finally {
      await short.close();
    }
  });

  it('do not delay the stop of the gateway when their router is silent', async () => {
    const stopping = await startRig({ CALLBACK_ALLOW: '127.0.0.1' });
    misbehave = ({ action }) => (action === 'check' ? null : 'silent');
    await router.subscribe(stopping.url, ALL);
    const from = performance.now();
    await stopping.close();
    expect(performance.now() - from).toBeLessThan(2_500);
  });
});
