import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { z } from 'zod';
import { openStore } from '../../src/adapters/store.ts';
import { readConfig } from '../../src/config.ts';
import { startGateway } from '../../src/gateway.ts';
import { StoreUnavailable } from '../../src/jobs/errors.ts';
import type { Ledger } from '../../src/jobs/ports.ts';
import { createLog } from '../../src/log.ts';
import { startTestEngine } from '../support/comfyui/sandbox.ts';
import { testEnvironment } from '../support/gateway.ts';
import { type ImageServer, startImageServer } from '../support/image-server.ts';
import { API_KEYS, as, fetchJson, KEYS, postGraphQL, submit } from '../support/requests.ts';
import { startRedis } from '../support/stores/redis.ts';
import { eventually } from '../support/watch.ts';

const alice = as(KEYS.alice);
const LOST = new StoreUnavailable('the answer was lost', 'ETIMEDOUT');

let images: ImageServer;
beforeAll(async () => {
  images = await startImageServer();
});
afterAll(() => images.close());

const answer = z.object({ job: z.object({ status: z.string(), attempt: z.number() }) });

describe.concurrent.each(['embedded', 'Redis'])(
  'with the store %s, the answer to a claim is lost, and',
  kind => {
    /** A gateway with one engine, whose callers may have one job running. `spoil` replaces calls of its ledger. */
    async function start(context: TestContext, spoil: (ledger: Ledger) => Partial<Ledger>, lanes = 2) {
      const engine = await startTestEngine({ stepMs: 5 });
      context.onTestFinished(() => engine.stop());
      const folder = await mkdtemp(join(tmpdir(), 'lost-claims-'));
      context.onTestFinished(() => rm(folder, { recursive: true, force: true }));
      const redis = kind === 'Redis' ? await startRedis() : null;
      context.onTestFinished(async () => redis?.stop());
      const settings = {
        API_KEYS,
        CALLER_POLICIES: '{"default":{"running":1}}',
        COMFYUI_URL: engine.url,
        // No lease expires during the test.
        LEASE: '10m',
        LANES_PER_ENGINE: String(lanes),
        ...(redis === null ? {} : { REDIS_URL: redis.url }),
      };
      const config = readConfig(testEnvironment(folder, settings));
      if (!config.ok) throw new Error(config.faults.join('; '));
      const gateway = await startGateway(config.config, createLog('silent'), async options => {
        const store = await openStore(options);
        return { ...store, ledger: { ...store.ledger, ...spoil(store.ledger) } };
      });
      context.onTestFinished(() => gateway.stop());
      return { url: gateway.url, images };
    }

    /** Two jobs of a caller, of which one runs at a time: each is executed once, and nothing stays in a lane. */
    async function expectBothCompleted(target: { url: string; images: ImageServer }): Promise<void> {
      const ids = [await submit(target, {}, alice), await submit(target, {}, alice)];
      const query = 'query ($id: ID!) { job(id: $id) { status attempt } }';
      for (const id of ids) {
        const read = async () => answer.parse((await postGraphQL(target.url, query, { id }, alice)).data).job;
        const ended = await eventually(read, ({ status }) => !/QUEUED|PROCESSING/.test(status), 30_000);
        expect(ended).toEqual({ status: 'COMPLETED', attempt: 1 });
      }
      const { body } = await fetchJson(`${target.url}/me`, { headers: alice });
      expect(body).toMatchObject({ used: { running_jobs: 0, waiting_jobs: 0 } });
    }

    it('the jobs in the lanes run to their end', { timeout: 60_000 }, async context => {
      let lost = 0;
      const target = await start(context, ledger => ({
        async claim(request) {
          const result = await ledger.claim(request);
          if (result.claimed.length === 0 || lost === 2) return result;
          lost += 1;
          throw LOST;
        },
      }));
      await expectBothCompleted(target);
      expect(lost).toBe(2);
    });

    it('they do so when the lanes cannot be released at first', { timeout: 60_000 }, async context => {
      let [lost, failed] = [false, 0];
      const target = await start(context, ledger => ({
        async claim(request) {
          const result = await ledger.claim(request);
          if (result.claimed.length === 0 || lost) return result;
          lost = true;
          throw LOST;
        },
        async releaseLane(lease) {
          if (lost && failed < 2) {
            failed += 1;
            throw LOST;
          }
          return ledger.releaseLane(lease);
        },
      }));
      await expectBothCompleted(target);
      expect(failed).toBe(2);
    });

    it.for(['before', 'after'] as const)(
      'they do so when the store gets the claim late, %s it gives the lane anew',
      { timeout: 60_000 },
      async (when, context) => {
        const stored = Promise.withResolvers<void>();
        let jobs = 0;
        let isLost = false;
        let late: (() => Promise<number>) | undefined;
        let claimedLate: number | null = null;
        async function arrive(): Promise<void> {
          const arriving = late;
          late = undefined;
          if (arriving !== undefined) claimedLate = await arriving();
        }
        const spoil = (ledger: Ledger): Partial<Ledger> => ({
          async submit(job, options) {
            const result = await ledger.submit(job, options);
            jobs += 1;
            if (jobs === 2) stored.resolve();
            return result;
          },
          async claim(request) {
            await stored.promise;
            // One without lanes only asks what waits.
            if (isLost || request.lanes.length === 0) return ledger.claim(request);
            isLost = true;
            late = async () => (await ledger.claim(request)).claimed.length;
            throw LOST;
          },
          async releaseLane(lease) {
            if (when === 'before') await arrive();
            return ledger.releaseLane(lease);
          },
          async keepLanes(held, wanted, ttlMs) {
            const kept = await ledger.keepLanes(held, wanted, ttlMs);
            if (when === 'after' && kept.taken.length > 0) await arrive();
            return kept;
          },
        });
        // With one lane no other claims a job meanwhile.
        const target = await start(context, spoil, 1);
        await expectBothCompleted(target);
        expect(claimedLate).toBe(when === 'before' ? 1 : 0);
      },
    );
  },
);
