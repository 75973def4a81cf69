import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { readConfig } from '../../src/config.ts';
import type { Check } from '../../src/doctor/check.ts';
import { examine } from '../../src/doctor/examine.ts';
import { checkStore } from '../../src/doctor/store.ts';
import { qwenEdit } from '../support/clients/cli.ts';
import { startTestSandbox } from '../support/comfyui/sandbox.ts';
import { startRig } from '../support/gateway.ts';
import { startIssuer } from '../support/issuer.ts';
import { startReceiver } from '../support/receiver.ts';
import { freePort, listen } from '../support/servers.ts';
import { startRedis, withClient } from '../support/stores/redis.ts';

/** What is found where no Redis responds: that takes seconds, in which the other tests run. */
let redisAway: Promise<Check[]>;
beforeAll(() => {
  redisAway = checksOf({ REDIS_URL: 'redis://:hunter2@127.0.0.1:9', DATA_DIR: tmpdir() });
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'doctor-'));
  return () => rm(folder, { recursive: true, force: true });
});

/** The checks in this process, with no gateway at its address. */
async function checksOf(environment: Record<string, string>): Promise<Check[]> {
  const result = readConfig({ PORT: '0', DATA_DIR: folder, ...environment });
  if (!result.ok) throw new Error(result.faults.join('; '));
  const checks: Check[] = [];
  for await (const check of examine(result.config, environment)) checks.push(check);
  return checks;
}

const found = (checks: readonly Check[], name: Check['check'], state: Check['state']) =>
  checks.filter(({ check, state: present }) => check === name && present === state);

/** An engine whose GET /system_stats has these fields besides the sandbox's, and whose WebSocket does not open. */
async function startOtherEngine(system: object, device: object, headers: Record<string, string> = {}) {
  const sandbox = await startTestSandbox();
  const server = createServer(async (request, response) => {
    const answer = await fetch(`${sandbox.url}${request.url}`);
    let text = await answer.text();
    if (request.url === '/system_stats') {
      const stats = JSON.parse(text);
      const devices = [{ ...stats.devices[0], ...device }];
      text = JSON.stringify({ system: { ...stats.system, ...system }, devices });
    }
    response.writeHead(answer.status, headers).end(text);
  });
  const port = await listen(server);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${port}`;
}

describe('qwen-edit doctor', () => {
  it('says why the name of engines cannot be looked up', async () => {
    // A label has at most 63 characters (RFC 1035, 2.3.4), so no name server is asked.
    const name = `dns+http://${'a'.repeat(64)}.internal:8188`;
    const [check] = found(await checksOf({ COMFYUI_URL: name }), 'engine', 'warning');
    expect(check?.message).toMatch(/cannot be looked up .*EBADNAME/);
  });

  it('beside a gateway prints what is wrong and what to do, and changes nothing', async () => {
    const bare = await startTestSandbox({ missingModels: ['qwen_image_vae.safetensors'] });
    const rig = await startRig({ DATA_DIR: folder, COMFYUI_URL: bare.url });
    onTestFinished(() => rig.close());
    const before = await readdir(folder, { recursive: true });
    const { code, out, err } = await qwenEdit(['doctor'], {
      PORT: new URL(rig.url).port,
      DATA_DIR: folder,
      COMFYUI_URL: `${bare.url},http://bob:hunter2@127.0.0.1:9`,
      COMFY_URL: bare.url,
    });
    expect({ code, err }).toEqual({ code: 1, err: '' });
    expect(await readdir(folder, { recursive: true })).toEqual(before);
    const lines = out.trimEnd().split('\n');
    expect(lines).toContain('warning  settings   COMFY_URL: is not a setting');
    expect(lines).toContain(`ok       gateway    ${rig.url}: runs and is ready`);
    expect(out).toMatch(/^ok {7}store {6}\S+jobs\.sqlite: in use by the gateway on http/m);
    expect(out).toMatch(/^ok {7}images {5}\S+artifacts: /m);
    expect(out).toMatch(
      /^wrong {4}engine {5}\S+: cannot run qwen-image-edit-plus: lacks the file qwen_image_vae/m,
    );
    expect(lines).toContain(
      '                    → put qwen_image_vae.safetensors into ComfyUI/models/vae, from Comfy-Org/Qwen-Image_ComfyUI',
    );
    expect(out).toContain('engine     127.0.0.1:9: does not work: GET /system_stats: ECONNREFUSED');
    expect(out).not.toContain('hunter2');
    expect(out).not.toContain('\x1b');
    // Each line begins with a state, or continues the one before.
    expect(lines.filter(line => !/^(ok {7}|warning {2}|wrong {4}| {20}→ )\S/.test(line))).toEqual([]);

    const result = readConfig({ DATA_DIR: folder });
    if (!result.ok) throw new Error(result.faults.join('; '));
    const full = { kind: 'runs', url: rig.url, reasons: ['the store accepts no changes'] } as const;
    expect(await checkStore(result.config, Promise.resolve(full))).toMatchObject([
      {
        state: 'wrong',
        message: `in use by the gateway on ${rig.url}, which says: the store accepts no changes`,
      },
    ]);
  });

  it('prints JSON, and exits with 0 where there are only warnings', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const date = new Date(Date.now() + 600_000).toUTCString();
    const engine = await startOtherEngine(
      { sandbox: false, comfyui_version: '0.3.40', argv: ['main.py', '--listen'] },
      { type: 'cuda', name: 'cuda:0 NVIDIA GeForce RTX 4090', vram_total: 2 ** 34, vram_free: 2 ** 33 },
      { date },
    );
    const environment = { PORT: '0', DATA_DIR: folder, COMFYUI_URL: engine, REDIS_URL: redis.url };
    const { code, out } = await qwenEdit(['doctor', '--json'], environment);
    const checks: Check[] = out
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line));
    expect(code).toBe(0);
    const target = new URL(engine).host;
    const warnings = checks
      .filter(({ state }) => state === 'warning')
      .map(({ message, fix }) => [message, fix]);
    expect(warnings).toEqual([
      ['has no append-only file: a restart loses accepted jobs', ['redis.conf: appendonly yes']],
      [
        expect.stringMatching(
          /^ComfyUI 0\.3\.40, \d+ ms, .*RTX 4090, 8 GiB of 16 GiB VRAM are free; cannot stop/,
        ),
        ['update ComfyUI to 0.3.57 or later'],
      ],
      [expect.stringContaining('NunchakuQwenImageDiTLoader'), [expect.stringContaining('ComfyUI-nunchaku')]],
      [expect.stringContaining('its WebSocket does not open'), [expect.stringContaining('Upgrade')]],
      ['ComfyUI makes none', ['start ComfyUI with --preview-method auto']],
      ['10 min ahead of the clock of this machine', [expect.stringContaining('set-ntp')]],
    ]);
    expect(
      checks.filter(({ check }) => check === 'engine' || check === 'previews').map(each => each.target),
    ).toEqual(Array(5).fill(target));
    expect(found(checks, 'store', 'ok')).toMatchObject([
      { message: expect.stringMatching(/^Redis \d.*written/) },
    ]);
    // The probe of writing is gone.
    expect(await withClient(redis.url, client => client.keys('*'))).toEqual([]);

    const newer = { version: 99, reader: 99, gateway: '99.0.0' };
    await withClient(redis.url, client => client.hset('{qwen-edit}:version', newer));
    expect(found(await checksOf({ REDIS_URL: redis.url }), 'store', 'wrong')).toMatchObject([
      { message: expect.stringContaining('has version 99'), fix: [expect.stringMatching(/^start 99\.0\.0/)] },
    ]);
  });

  it('exits with 78 when settings cannot be read, with a line that is valid', async () => {
    const { code, out } = await qwenEdit(['doctor'], { PORT: 'x', API_KEYS: 'alice:hunter2' });
    expect(code).toBe(78);
    expect(out).toContain('wrong    settings   PORT: takes an integer from 0 to 65535\n');
    expect(out).toContain('→ for example PORT=9000\n');
    expect(out).toContain('wrong    settings   API_KEYS: ');
    expect(out).not.toContain('hunter2');
  });
});

describe('the checks', () => {
  it('name a damaged job file and a folder that is none, as a start does', async () => {
    await writeFile(join(folder, 'jobs.sqlite'), 'this is no database, '.repeat(1000));
    await writeFile(join(folder, 'artifacts'), 'x');
    const checks = await checksOf({});
    expect(found(checks, 'store', 'wrong')).toMatchObject([
      {
        message: expect.stringContaining('damaged'),
        fix: [expect.stringMatching(/^restore a backup, or move/)],
      },
    ]);
    expect(found(checks, 'images', 'wrong')).toHaveLength(1);
  });

  it('write, read and remove an image, and leave none', async () => {
    await mkdir(join(folder, 'artifacts'));
    expect(found(await checksOf({}), 'images', 'ok')).toMatchObject([
      { message: 'files can be written, read and removed' },
    ]);
    expect(await readdir(join(folder, 'artifacts'))).toEqual([]);
  });

  it.each([['--preview-method', 'taesd'], ['--preview-method=latent2rgb']])(
    'find that previews are on: %s',
    async (...argv) => {
      const engine = await startOtherEngine({ sandbox: false, argv: ['main.py', ...argv] }, { type: 'cpu' });
      const checks = await checksOf({ COMFYUI_URL: engine });
      expect(found(checks, 'previews', 'ok')).toHaveLength(1);
      expect(found(checks, 'engine', 'warning')[0]?.message).toContain('runs on the CPU');
    },
  );

  it('tell a server that is no ComfyUI from one that wants credentials', async () => {
    const server = createServer((request, response) => {
      const [, status = ''] = (request.url ?? '').split('/');
      response.writeHead(Number(status)).end('{"object": "of another program"}');
    });
    const url = `http://127.0.0.1:${await listen(server)}`;
    onTestFinished(() => void server.close());
    const checks = await checksOf({
      COMFYUI_URL: ['200', '401', '404', '502'].map(path => `${url}/${path}`).join(),
    });
    expect(found(checks, 'engine', 'wrong').flatMap(({ fix }) => fix)).toEqual([
      expect.stringContaining('another program answers'),
      `add credentials: COMFYUI_URL=${url.replace('//', '//user:password@')}/401`,
      expect.stringContaining('ENGINE_CREDENTIALS'),
      expect.stringContaining('another program answers'),
      expect.stringContaining('the proxy in front of it'),
    ]);
  });

  it('give the URL that works for an engine of the other scheme', async () => {
    const { url } = await startTestSandbox();
    const checks = await checksOf({ COMFYUI_URL: url.replace('http:', 'https:') });
    expect(found(checks, 'engine', 'wrong')).toMatchObject([{ fix: [`COMFYUI_URL=${url}`] }]);
  });

  it('tell a Redis that accepts no writes from one that does not respond', async () => {
    const redis = await startRedis({ extra: ['--min-replicas-to-write', '1'] });
    onTestFinished(() => redis.stop());
    const checks = await checksOf({ REDIS_URL: redis.url });
    expect(found(checks, 'store', 'wrong')).toMatchObject([
      { message: expect.stringContaining('NOREPLICAS') },
    ]);
    const [absent] = found(await checksOf({ REDIS_URL: `${redis.url}/16` }), 'store', 'wrong');
    expect(absent).toMatchObject({
      message: `database 16 of ${redis.url} cannot be used: ERR DB index is out of range`,
      fix: [expect.stringMatching(/^name a database that Redis has/)],
    });
    const [away] = found(await redisAway, 'store', 'wrong');
    expect(away).toMatchObject({
      message: expect.stringContaining('ECONNREFUSED'),
      target: 'redis://127.0.0.1:9',
    });
  });

  it('miss WORKFLOW where no engine can run it', async () => {
    const { url } = await startTestSandbox();
    const checks = await checksOf({ COMFYUI_URL: url, WORKFLOW: 'qwen-image-edit-plus-nunchaku' });
    expect(found(checks, 'workflows', 'wrong')).toMatchObject([
      { fix: [expect.stringContaining('WORKFLOW=qwen-image-edit-plus')] },
    ]);
    const [unknown] = found(await checksOf({ WORKFLOW: 'qwen-image-edit-plu' }), 'workflows', 'wrong');
    expect(unknown?.message).toContain('did you mean "qwen-image-edit-plus"?');
  });

  it('says whether JWT_JWKS_URL has keys, without the path', async () => {
    const issuer = await startIssuer();
    const { JWT_JWKS_URL = '' } = issuer.settings;
    const settings = { ...issuer.settings, JWT_JWKS_URL: `${JWT_JWKS_URL}of/hunter2` };
    const target = new URL(JWT_JWKS_URL).host;
    expect(found(await checksOf(settings), 'tokens', 'ok')).toMatchObject([{ target, message: 'has 1 key' }]);
    issuer.setAway(true);
    const [failing] = found(await checksOf(settings), 'tokens', 'wrong');
    expect(failing).toMatchObject({
      message: 'no token can be verified: the server answered 500',
      fix: [expect.stringContaining('JWT_JWKS_URL')],
    });
    issuer.stop();
    const gone = `127.0.0.1:${await freePort()}`;
    const checks = await checksOf({ ...settings, JWT_JWKS_URL: `http://${gone}/of/hunter2` });
    expect(found(checks, 'tokens', 'wrong')).toMatchObject([
      { target: gone, message: `no token can be verified: connect ECONNREFUSED ${gone}` },
    ]);
    expect(JSON.stringify(checks)).not.toContain('hunter2');
  });

  it('says whether FETCH_PROXY takes connections, without its password', async () => {
    const server = createServer();
    const target = `127.0.0.1:${await listen(server)}`;
    const settings = { FETCH_PROXY: `http://me:hunter2@${target}` };
    expect(found(await checksOf(settings), 'proxy', 'ok')).toMatchObject([
      { target, message: 'takes connections' },
    ]);
    await new Promise(resolve => server.close(resolve));
    const checks = await checksOf(settings);
    expect(found(checks, 'proxy', 'wrong')).toMatchObject([
      {
        target,
        message: expect.stringContaining(`connect ECONNREFUSED ${target}`),
        fix: [expect.stringContaining('FETCH_PROXY')],
      },
    ]);
    expect(JSON.stringify(checks)).not.toContain('hunter2');
  });

  it('name the policies that allow a workflow which does not exist', async () => {
    const allowed = ['qwen-image-edit-*', 'qwen-image-edit-plu', 'flux*'];
    const CALLER_POLICIES = JSON.stringify({ trial: { workflows: allowed }, other: {} });
    expect(
      found(await checksOf({ CALLER_POLICIES }), 'workflows', 'warning').map(({ message }) => message),
    ).toEqual([
      'the policy trial allows qwen-image-edit-plu, which matches no workflow; did you mean "qwen-image-edit-plus"?',
      'the policy trial allows flux*, which matches no workflow',
    ]);
  });

  it('says whether something responds at ENGINE_WAKE_URL, without a call and without the path', async () => {
    const receiver = await startReceiver(() => 405);
    const settings = { ENGINE_WAKE_URL: receiver.url, ENGINE_WAKE_SECRET: `whsec_${'A'.repeat(32)}` };
    const target = new URL(receiver.url).host;
    expect(found(await checksOf(settings), 'wake', 'ok')).toMatchObject([{ target, message: 'responds' }]);
    expect(receiver.received.map(({ body }) => body)).toEqual(['']);
    await receiver.close();
    expect(found(await checksOf(settings), 'wake', 'wrong')).toMatchObject([
      { target, message: `does not respond: connect ECONNREFUSED ${target}` },
    ]);
  });
});
