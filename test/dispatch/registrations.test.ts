import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startTestEngine, type TestEngine } from '../support/comfyui/sandbox.ts';
import { fleetOf } from '../support/fleet.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { API_KEYS, as, KEYS, postGraphQL, postJson, submit } from '../support/requests.ts';
import { inherited } from '../support/temporary-folder.ts';
import { until, waitForEnd } from '../support/watch.ts';

const ENGINE = 'qee_engine';
const OTHER = 'qee_other';
const ENGINE_KEYS = [ENGINE, OTHER]
  .map((key, n) => `rented-${n}:sha256$${createHash('sha256').update(key).digest('hex')}`)
  .join(',');
const SCRIPT = fileURLToPath(new URL('../../deploy/comfyui/register.py', import.meta.url));

let rig: Rig;
let fleet: ReturnType<typeof fleetOf>;
beforeAll(async () => {
  rig = await startRig({ ENGINE_KEYS, ENGINE_ALLOW: '127.0.0.1,gpu.lan', ENGINE_PROBE: '300ms' });
  fleet = fleetOf(rig.url);
});
afterAll(() => rig.close());

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function startEngine(stepMs = 5): Promise<TestEngine & { id: string }> {
  const engine = await startTestEngine({ stepMs });
  closers.push(() => engine.stop());
  return { ...engine, id: new URL(engine.url).host };
}

const register = (url: string, key: string | null = ENGINE, ttl: unknown = 60) =>
  postJson(`${rig.url}/engines`, { url, ttl_seconds: ttl }, as(key));

async function signOff(id: string, key = ENGINE): Promise<number> {
  const answer = await fetch(`${rig.url}/engines/${encodeURIComponent(id)}`, {
    method: 'DELETE',
    headers: as(key),
  });
  await answer.body?.cancel();
  return answer.status;
}

describe('POST /engines', () => {
  it('adds an engine, which runs jobs until it signs off', async () => {
    const engine = await startEngine(100);
    const first = await register(engine.url);
    expect(first).toMatchObject({ status: 201, body: { id: engine.id, ttl_seconds: 60 } });
    expect(await register(engine.url)).toMatchObject({ status: 200 });
    expect(await fleet.list()).toMatchObject([{ id: engine.id, source: 'REGISTRATION' }]);
    const { data } = await postGraphQL(rig.url, '{ engines { expiresAt } }');
    const [{ expiresAt }] = (data as { engines: [{ expiresAt: string }] }).engines;
    expect(Math.abs(Date.parse(expiresAt) - Date.now() - 60_000)).toBeLessThan(5_000);

    const job = await submit(rig, { steps: 10 });
    await until(async () => (await engine.stats()).running !== null);
    expect(await signOff(engine.id)).toBe(200);
    expect(await signOff(engine.id)).toBe(404);
    expect(await fleet.stateOf(engine.id)).toBe('LEAVING');
    expect(await waitForEnd(rig.url, job)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    await until(async () => (await fleet.list()).length === 0);
    // It comes back.
    expect(await register(engine.url)).toMatchObject({ status: 201 });
    expect(await waitForEnd(rig.url, await submit(rig))).toMatchObject({ status: 'COMPLETED' });
    await signOff(engine.id);
    await until(async () => (await fleet.list()).length === 0);
  });

  it('says what is wrong with a registration, and takes none that ENGINE_ALLOW does not have', async () => {
    const detail = async (answer: ReturnType<typeof register>) => {
      const { status, body } = await answer;
      return `${status} ${(body as { detail: string }).detail}`;
    };
    for (const url of [
      'http://169.254.169.254',
      'http://10.0.0.1:8188',
      'http://localhost',
      'http://127.0.0.1.nip.io',
    ]) {
      expect(await detail(register(url))).toBe(
        `400 url takes the URL of a host that ENGINE_ALLOW has, got ${new URL(url).host}`,
      );
    }
    expect(await detail(register('file:///etc/passwd'))).toBe('400 url takes an http:// or https:// URL');
    expect(await detail(register('http://gpu.lan', ENGINE, 9))).toBe(
      '400 ttl_seconds takes an integer from 10 to 86400, got 9',
    );
    expect(await detail(register('http://gpu.lan', ENGINE, '60'))).toMatch(
      /^400 ttl_seconds takes an integer/,
    );
    const answer = await fetch(`${rig.url}/engines`, { method: 'POST', headers: as(ENGINE), body: 'x' });
    expect(answer.status).toBe(415);
    expect(await fleet.list()).toEqual([]);
  });

  it('leaves alone what an operator, or another key, has said', async () => {
    const engine = await startEngine();
    expect(await register(engine.url)).toMatchObject({ status: 201 });
    expect(await register(engine.url, OTHER)).toMatchObject({ status: 409 });
    expect(await signOff(engine.id, OTHER)).toBe(404);
    expect(await fleet.drain(engine.id, true, 'noisy fan')).toBe('EditEngine');
    expect(await register(engine.url)).toMatchObject({ status: 200 });
    expect(await fleet.list()).toMatchObject([
      { state: 'DRAINED', reason: 'drained by an operator: noisy fan' },
    ]);
    expect(await fleet.remove(engine.id)).toBe('EditRemovedEngine');
    await until(async () => (await fleet.list()).length === 0);
    expect(await register(engine.url)).toMatchObject({
      status: 409,
      body: { detail: `${engine.id} was removed by an operator, and comes back when one adds it` },
    });
    expect(await fleet.add(engine.url)).toBe('EditEngine');
    expect(await register(engine.url)).toMatchObject({ status: 409 });
    expect(await signOff(engine.id)).toBe(404);
    await fleet.remove(engine.id);
    await until(async () => (await fleet.list()).length === 0);
  });

  it('forgets an engine that does not register again in time; its jobs run elsewhere', async () => {
    const engine = await startEngine(200);
    await register(engine.url, ENGINE, 10);
    const running = await submit(rig, { steps: 100 });
    await until(async () => (await engine.stats()).running !== null);
    const next = await submit(rig, { steps: 1 });
    await until(async () => (await engine.stats()).pending.length === 1);
    const other = await startEngine();
    // It takes nothing yet.
    await fleet.add(other.url);
    await engine.fault({ stepMs: 100 });
    // What it has not begun goes to the other one, and what it runs goes on, since it responds.
    expect(await waitForEnd(rig.url, next)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(Object.keys((await other.stats()).executed)).toHaveLength(1);
    expect(await fleet.stateOf(engine.id)).toBe('LEAVING');
    await postJson(`${rig.url}/jobs/${running}/cancel`, {});
    await until(async () => (await fleet.stateOf(engine.id)) === null);
    await fleet.remove(other.id);
    await until(async () => (await fleet.list()).length === 0);
  });
});

describe('keys of engines', () => {
  it('open only the registration, and no other key opens that', async () => {
    const closed = await startRig({ API_KEYS, ENGINE_KEYS, ENGINE_ALLOW: '127.0.0.1' });
    closers.push(() => closed.close());
    const engines = (key: string | null) =>
      postJson(`${closed.url}/engines`, { url: 'http://127.0.0.1:1' }, as(key));
    for (const key of [KEYS.alice, KEYS.olga, 'qee_wrong', null]) {
      expect(await engines(key)).toMatchObject({ status: 401 });
    }
    expect(await engines(ENGINE)).toMatchObject({ status: 201 });
    for (const path of ['/jobs', '/me', '/events', '/debug/files']) {
      expect((await fetch(closed.url + path, { headers: as(ENGINE) })).status).toBe(401);
    }
    expect(await postGraphQL(closed.url, '{ engines { id } }', {}, as(ENGINE))).toMatchObject({
      status: 401,
    });
  });
});

const hasPython = (() => {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

describe.runIf(hasPython)('deploy/comfyui/register.py', () => {
  function run(settings: Record<string, string>): {
    child: ChildProcess;
    output(): string;
    exited: Promise<number | null>;
  } {
    const child = spawn('python3', [SCRIPT], {
      env: { ...inherited(), QWEN_EDIT_URL: rig.url, ENGINE_KEY: ENGINE, ...settings },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', chunk => {
        output += String(chunk);
      });
    }
    const exited = new Promise<number | null>(resolve => child.once('close', resolve));
    closers.push(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    return { child, output: () => output, exited };
  }

  it('registers the ComfyUI beside it, repeats that, and signs off once the running job has ended', async () => {
    const engine = await startEngine(150);
    const script = run({ COMFYUI_LOCAL: engine.url, ENGINE_TTL: '10' });
    await until(async () => (await fleet.stateOf(engine.id)) === 'READY');
    const job = await submit(rig, { steps: 60 });
    // Longer than a registration lasts.
    await until(async () => (await engine.stats()).running !== null);
    const started = Date.now();
    await until(() => Date.now() - started > 10_500, 20_000);
    expect(await fleet.stateOf(engine.id)).toBe('READY');
    await postJson(`${rig.url}/jobs/${job}/cancel`, {});
    const last = await submit(rig, { steps: 10 });
    await until(async () => (await engine.stats()).running !== null);
    script.child.kill('SIGTERM');
    await until(async () => (await fleet.stateOf(engine.id)) === 'LEAVING');
    expect(await script.exited).toBe(0);
    expect((await engine.stats()).running).toBeNull();
    expect(await waitForEnd(rig.url, last)).toMatchObject({ status: 'COMPLETED', attempt: 1 });
    expect(script.output().trim().split('\n')).toEqual([`registered as ${engine.id}`, 'signed off']);
    await until(async () => (await fleet.list()).length === 0);
  }, 60_000);

  it('says what is wrong, and waits for a ComfyUI that does not respond yet', async () => {
    const nowhere = 'http://127.0.0.1:9';
    const early = run({ COMFYUI_LOCAL: nowhere });
    await until(() => early.output().includes(`${nowhere} does not respond: not registered`));
    early.child.kill('SIGINT');
    expect(await early.exited).toBe(0);
    const engine = await startEngine();
    const stranger = run({ COMFYUI_LOCAL: engine.url, ENGINE_KEY: 'qee_wrong' });
    expect(await stranger.exited).toBe(1);
    expect(stranger.output()).toContain('401 The key or token is invalid');
    const outside = run({ COMFYUI_LOCAL: engine.url, ENGINE_URL: 'http://10.9.9.9:8188' });
    expect(await outside.exited).toBe(1);
    expect(outside.output()).toContain(
      'url takes the URL of a host that ENGINE_ALLOW has, got 10.9.9.9:8188',
    );
    const wrong = run({ ENGINE_TTL: '5' });
    expect(await wrong.exited).toBe(2);
    expect(wrong.output()).toBe('ENGINE_TTL: takes an integer from 10 to 86400, got 5\n');
  });
});
