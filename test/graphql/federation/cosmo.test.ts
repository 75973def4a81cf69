import { readFile } from 'node:fs/promises';
import { federateSubgraphs, ROUTER_COMPATIBILITY_VERSION_ONE } from '@wundergraph/composition';
import { parse } from 'graphql';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../../support/gateway.ts';
import { API_KEYS, as, KEYS, postGraphQL, submit } from '../../support/requests.ts';
import { sharedRedis } from '../../support/stores/redis.ts';
import { until } from '../../support/watch.ts';

/** https://cosmo-docs.wundergraph.com/router/cosmo-streams/redis */

const definitionsOf = async (path: string) =>
  parse(await readFile(new URL(`../../../${path}`, import.meta.url), 'utf8'));

describe('the event-driven graph of the examples', () => {
  it('composes with the subgraph, by Cosmo’s own composition', async () => {
    const result = federateSubgraphs({
      version: ROUTER_COMPATIBILITY_VERSION_ONE,
      subgraphs: [
        {
          name: 'edits',
          url: 'http://edits.test/graphql',
          definitions: await definitionsOf('schema/subgraph.graphql'),
        },
        {
          name: 'events',
          url: '',
          definitions: await definitionsOf('examples/supergraph/cosmo-events.graphql'),
        },
      ],
    });
    if (!result.success) throw new Error(result.errors.map(({ message }) => message).join('\n'));
    expect(result.warnings).toEqual([]);
    const events = result.subgraphConfigBySubgraphName.get('events');
    expect(events?.configurationDataByTypeName.get('Subscription')?.events).toEqual([
      {
        type: 'subscribe',
        providerType: 'redis',
        providerId: 'edits',
        fieldName: 'editJobChanged',
        channels: ['edit-jobs.{{ args.jobId }}'],
      },
    ]);
  });
});

describe('EVENT_CHANNEL', () => {
  let redis: { url: string; stop(): Promise<void> };
  let router: Redis;
  const received: { channel: string; message: string }[] = [];
  let rig: Rig;
  const alice = as(KEYS.alice);
  beforeAll(async () => {
    redis = await sharedRedis();
    router = new Redis(redis.url);
    router.on('pmessage', (_pattern, channel: string, message: string) =>
      received.push({ channel, message }),
    );
    await router.psubscribe('edit-jobs.*');
    rig = await startRig({
      API_KEYS,
      REDIS_URL: redis.url,
      EVENT_CHANNEL: 'edit-jobs',
      SANDBOX_STEP: '50ms',
    });
  });
  afterAll(async () => {
    await rig.close();
    router.disconnect();
    await redis.stop();
  });

  const ENTITY = `query ($of: [_Any!]!) { _entities(representations: $of) { ... on EditJob { id status revision } } }`;

  it('publishes the key of a job at each new status, and its progress at most twice a second', async () => {
    const begun = Date.now();
    const id = await submit(rig, { steps: 30 }, alice);
    const seen: { status: string; revision: number }[] = [];
    let read = 0;
    await until(async () => {
      for (const { channel, message } of received.slice(read)) {
        read += 1;
        if (channel !== `edit-jobs.${id}`) continue;
        expect(message).toBe(`{"__typename":"EditJob","id":"${id}"}`);
        const { data } = await postGraphQL(rig.url, ENTITY, { of: [JSON.parse(message)] }, alice);
        const [entity] = Object(data?._entities);
        seen.push(entity);
      }
      return seen.at(-1)?.status === 'COMPLETED';
    });
    const statuses = seen.map(({ status }) => status);
    expect(statuses).toContain('PROCESSING');
    const last = seen.at(-1);
    expect(last?.revision).toBeGreaterThan(15);
    expect(seen.length).toBeGreaterThan(3);
    const seconds = (Date.now() - begun) / 1_000;
    expect(seen.length).toBeLessThan(2 * seconds + 6);
  });

  it('publishes nothing that another caller could read', async () => {
    const id = await submit(rig, {}, alice);
    await until(() => received.some(({ channel }) => channel === `edit-jobs.${id}`));
    const { data } = await postGraphQL(
      rig.url,
      ENTITY,
      { of: [{ __typename: 'EditJob', id }] },
      as(KEYS.bob),
    );
    expect(data).toEqual({ _entities: [null] });
  });

  it('is off by default', async () => {
    // It would run the job if it were faster.
    await rig.close();
    const other = await startRig({ REDIS_URL: redis.url });
    try {
      const before = received.length;
      const everything = new Redis(redis.url);
      const channels = new Set<string>();
      everything.on('pmessage', (_pattern, channel: string) => channels.add(channel));
      await everything.psubscribe('*');
      const id = await submit(other);
      await until(() => [...channels].some(channel => channel.endsWith(`:feed:${id}`)));
      everything.disconnect();
      const ofTheJob = [...channels].filter(channel => channel.includes(id));
      expect(ofTheJob.filter(channel => !channel.startsWith('{qwen-edit}'))).toEqual([]);
      expect(received.slice(before).filter(({ channel }) => channel.includes(id))).toEqual([]);
    } finally {
      await other.close();
    }
  });
});
