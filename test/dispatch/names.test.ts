import dns from 'node:dns/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readConfig } from '../../src/config.ts';
import type { Check } from '../../src/doctor/check.ts';
import { examine } from '../../src/doctor/examine.ts';
import { startGuard } from '../support/comfyui/guard.ts';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { startDns, type TestDns } from '../support/dns.ts';
import { fleetOf } from '../support/fleet.ts';
import { startRig } from '../support/gateway.ts';
import { submit } from '../support/requests.ts';
import { until, waitForEnd } from '../support/watch.ts';

const servers = dns.getServers();
let names: TestDns;
let engines: readonly TestEngine[];
beforeAll(async () => {
  names = await startDns();
  // The gateways of this file are in this process.
  dns.setServers([names.address]);
  engines = await Promise.all([startTestEngine({ stepMs: 5 }), startTestEngine({ stepMs: 5 })]);
});
afterAll(async () => {
  dns.setServers(servers);
  for (const engine of engines) await engine.stop();
  await names.stop();
});

const portOf = ({ url }: { url: string }): number => Number(new URL(url).port);

it('takes the engines at the addresses of a name, and follows the name', async () => {
  const [engine] = engines;
  if (engine === undefined) throw new Error('no engine');
  const rig = await startRig({
    COMFYUI_URL: `dns+http://comfy.test:${portOf(engine)}`,
    ENGINE_PROBE: '300ms',
  });
  const fleet = fleetOf(rig.url);
  try {
    // A name without records yet.
    expect(await fleet.list()).toEqual([]);
    names.set('comfy.test', { ipv4: ['127.0.0.1'] });
    const id = `127.0.0.1:${portOf(engine)}`;
    await until(async () => (await fleet.stateOf(id)) === 'READY');
    expect(await fleet.list()).toMatchObject([{ id, source: 'DNS' }]);
    expect(await waitForEnd(rig.url, await submit(rig))).toMatchObject({ status: 'COMPLETED' });
    // A name server that fails changes nothing.
    names.set('comfy.test', { broken: true });
    expect(await fleet.drain(id, true, 'rack move')).toBe('EditEngine');
    names.set('comfy.test', { ipv4: ['127.0.0.2', '127.0.0.1'] });
    await until(async () => (await fleet.list()).length === 2);
    expect(await fleet.stateOf(id)).toBe('DRAINED');
    names.set('comfy.test', { ipv4: ['127.0.0.2'] });
    await until(async () => (await fleet.list()).length === 1);
    expect(await fleet.list()).toMatchObject([{ id: `127.0.0.2:${portOf(engine)}` }]);
  } finally {
    await rig.close();
  }
}, 60_000);

it('takes the hosts and ports of SRV records, as far as ENGINE_ALLOW has them', async () => {
  const [first, second] = engines.map(portOf);
  names.set('_comfyui._tcp.test', {
    services: [
      { name: 'localhost', port: first ?? 0 },
      { name: 'localhost', port: second ?? 0 },
    ],
  });
  const settings = { COMFYUI_URL: 'dns+http://_comfyui._tcp.test', ENGINE_PROBE: '300ms' };
  const open = await startRig(settings);
  const closed = await startRig({ ...settings, ENGINE_ALLOW: `localhost:${second}` });
  try {
    const idsOf = async (url: string) => (await fleetOf(url).list()).map(({ id }) => id).toSorted();
    expect(await idsOf(open.url)).toEqual([`localhost:${first}`, `localhost:${second}`].toSorted());
    expect(await idsOf(closed.url)).toEqual([`localhost:${second}`]);
    expect(await waitForEnd(open.url, await submit(open))).toMatchObject({ status: 'COMPLETED' });
  } finally {
    await open.close();
    await closed.close();
  }
});

it('shows the engines of a name what the settings have for it, and nothing to one at the same address that is added', async () => {
  const [engine] = engines;
  if (engine === undefined) throw new Error('no engine');
  const guard = await startGuard(engine.url, { headers: { authorization: 'Bearer of-the-name' } });
  const port = portOf(guard);
  const id = `127.0.0.1:${port}`;
  names.set('guarded.test', { ipv4: ['127.0.0.1'] });
  const name = `dns+http://guarded.test:${port}`;
  const profile = JSON.stringify([{ engines: 'http://guarded.test', token: 'of-the-name' }]);
  const [own, listed, added] = await Promise.all([
    startRig({ COMFYUI_URL: name, COMFYUI_TOKEN: 'of-the-name' }),
    startRig({ COMFYUI_URL: name, ENGINE_CREDENTIALS: profile }),
    startRig({ COMFYUI_URL: engine.url, COMFYUI_TOKEN: 'of-the-name', ENGINE_ALLOW: '127.0.0.1' }),
  ]);
  try {
    expect(await fleetOf(added.url).add(guard.url)).toBe('EditEngine');
    for (const { url } of [own, listed])
      await until(async () => (await fleetOf(url).stateOf(id)) === 'READY');
    for (const rig of [own, listed]) {
      expect(await waitForEnd(rig.url, await submit(rig))).toMatchObject({ status: 'COMPLETED' });
    }
    await until(async () => (await fleetOf(added.url).stateOf(id)) === 'DOWN');

    const config = readConfig({
      PORT: '0',
      DATA_DIR: own.dataDir,
      COMFYUI_URL: name,
      COMFYUI_TOKEN: 'of-the-name',
    });
    if (!config.ok) throw new Error(config.faults.join('; '));
    const checks: Check[] = [];
    for await (const check of examine(config.config, {})) if (check.check === 'engine') checks.push(check);
    expect(checks.filter(({ state }) => state === 'wrong')).toEqual([]);
    expect(checks).toContainEqual(expect.objectContaining({ target: id, state: 'ok' }));
  } finally {
    for (const rig of [own, listed, added]) await rig.close();
    await guard.stop();
  }
});

it.each([
  [
    'dns+http://_comfyui._tcp.test:8188',
    'a name of SRV records, which starts with _, has no port of its own',
  ],
  ['dns+https://comfy.test', 'dns+https:// takes a name of SRV records, which starts with _'],
  ['dns+ftp://comfy.test', 'takes http://, https:// or dns+http:// URLs, comma-separated'],
])('rejects %s', (url, fault) => {
  expect(readConfig({ COMFYUI_URL: url })).toEqual({ ok: false, faults: [`COMFYUI_URL: ${fault}`] });
});
