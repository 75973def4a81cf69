import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../src/adapters/store.ts';
import { StoreUnavailable } from '../../src/jobs/errors.ts';
import { startGatewayProcess, startRig } from '../support/gateway.ts';
import { recordLog } from '../support/log.ts';
import { API_KEYS, fetchJson } from '../support/requests.ts';
import { startRedis, withClient } from '../support/stores/redis.ts';
import { until } from '../support/watch.ts';

describe('the probes', () => {
  it('answer without credentials and without a rate limit', async () => {
    const rig = await startRig({ API_KEYS, RATE_LIMIT: '1/1m' });
    onTestFinished(() => rig.close());
    for (let round = 0; round < 3; round++) {
      const live = await fetch(`${rig.url}/livez`);
      expect([live.status, await live.text()]).toEqual([200, 'ok\n']);
      const ready = await fetchJson(`${rig.url}/readyz`);
      expect(ready.status).toBe(200);
      expect(ready.body).toMatchObject({ ready: true, reasons: [], engines: { total: 1 } });
    }
  });

  it('report a gateway without a reachable engine as ready', async () => {
    const rig = await startRig({ COMFYUI_URL: 'http://127.0.0.1:9' });
    onTestFinished(() => rig.close());
    const ready = await fetchJson(`${rig.url}/readyz`);
    expect(ready.status).toBe(200);
    expect(ready.body).toEqual({ ready: true, reasons: [], engines: { ready: 0, total: 1 } });
  });

  it('report a store that does not respond, and its return', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const rig = await startRig({ REDIS_URL: redis.url });
    onTestFinished(() => rig.close());
    redis.pause();
    await until(async () => (await fetch(`${rig.url}/readyz`)).status === 503);
    const { body } = await fetchJson(`${rig.url}/readyz`);
    expect(body).toMatchObject({ ready: false, reasons: [expect.stringMatching(/^the store /)] });
    expect(JSON.stringify(body)).not.toContain(String(redis.port));
    expect((await fetch(`${rig.url}/livez`)).status).toBe(200);
    redis.resume();
    await until(async () => (await fetch(`${rig.url}/readyz`)).status === 200);
  });

  it('report a Redis that is full, as soon as a lease cannot be renewed, and when it has room again', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const rig = await startRig({ REDIS_URL: redis.url, LEASE: '1s' });
    onTestFinished(() => rig.close());
    const limit = (bytes: number) =>
      withClient(redis.url, client => client.config('SET', 'maxmemory', String(bytes)));
    await limit(1);
    await until(async () => (await fetch(`${rig.url}/readyz`)).status === 503);
    const { body } = await fetchJson(`${rig.url}/readyz`);
    expect(body).toMatchObject({ ready: false, reasons: ['the store accepts no changes'] });
    expect((await fetch(`${rig.url}/livez`)).status).toBe(200);
    await limit(0);
    await until(async () => (await fetch(`${rig.url}/readyz`)).status === 200);
  });

  it('report a store that rejects submits only while it accepts nothing else either', async () => {
    let full = false;
    const refused = async (): Promise<never> => {
      throw new StoreUnavailable('The job file cannot be flushed: no space', 'ENOSPC');
    };
    const rig = await startRig({}, recordLog(), async options => {
      const store = await openStore(options);
      const { agreements } = store.ledger;
      const replace: typeof agreements.replace = (...args) =>
        full ? refused() : agreements.replace(...args);
      return {
        ...store,
        ledger: { ...store.ledger, submit: refused, agreements: { ...agreements, replace } },
      };
    });
    onTestFinished(() => rig.close());
    const submit = async () => {
      const answer = await fetch(`${rig.url}/edit-image`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ image1_url: `${rig.images.url}/red.png`, prompt: 'x', steps: 1 }),
      });
      await answer.text();
      return answer.status;
    };
    expect(await submit()).toBe(503);
    expect((await fetch(`${rig.url}/readyz`)).status).toBe(200);
    full = true;
    expect(await submit()).toBe(503);
    await until(async () => (await fetch(`${rig.url}/readyz`)).status === 503);
    full = false;
    await until(async () => (await fetch(`${rig.url}/readyz`)).status === 200);
  });

  it('report a stopping gateway, which still answers, until DRAIN_DELAY is over', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'drain-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const gateway = await startGatewayProcess(folder, { DRAIN_DELAY: '3s' });
    const exit = gateway.end('SIGTERM');
    await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 503);
    const { body } = await fetchJson(`${gateway.url}/readyz`);
    expect(body).toMatchObject({ ready: false, reasons: ['the gateway is stopping'] });
    expect((await fetch(`${gateway.url}/livez`)).status).toBe(200);
    expect((await fetch(`${gateway.url}/jobs`)).status).toBe(200);
    expect(await exit).toBe(0);
  });
});
