// biome-ignore-start lint/suspicious/noTemplateCurlyInString: the setting takes it.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createEngineClient } from '../../src/comfyui/client.ts';
import { readConfig } from '../../src/config.ts';
import { examine } from '../../src/doctor/examine.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/server.ts';
import { qwenEdit } from '../support/clients/cli.ts';
import { type Guard, type GuardOptions, startGuard } from '../support/comfyui/guard.ts';
import { startRig } from '../support/gateway.ts';
import { recordLog } from '../support/log.ts';
import { createAuthority, selfSigned } from '../support/outbound/certificate.ts';
import { postGraphQL, submit } from '../support/requests.ts';
import { listen } from '../support/servers.ts';
import { until, waitForEnd } from '../support/watch.ts';

const SECRETS = ['secret-password', 'secret-token', 'secret-header', 'secret-of-own'];
const ofServers = createAuthority();
const ofClients = createAuthority();
const client = ofClients.issue('gateway');

let folder: string;
let sandbox: Sandbox;
const guards: Guard[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'credentials-'));
  sandbox = await startSandbox({ stepMs: 20 });
  const files = { 'ca.pem': ofServers.cert, 'cert.pem': client.cert, 'key.pem': client.key };
  for (const [name, text] of Object.entries({ ...files, password: 'secret-password\n' })) {
    await writeFile(join(folder, name), text);
  }
});
afterAll(async () => {
  for (const guard of guards) await guard.stop();
  await sandbox.stop();
  await rm(folder, { recursive: true });
});

async function guard(options: GuardOptions): Promise<Guard> {
  const started = await startGuard(sandbox.url, options);
  guards.push(started);
  return started;
}
const file = (name: string) => ({ file: join(folder, name) });

/** The checks of the engines in this environment that are not fine. */
async function wrongEngines(environment: Record<string, string>) {
  const result = readConfig({ PORT: '0', DATA_DIR: folder, ...environment });
  if (!result.ok) throw new Error(result.faults.join('; '));
  const found: { message: string; fix: readonly string[] }[] = [];
  for await (const { check, state, message, fix } of examine(result.config, {})) {
    if (check === 'engine' && state === 'wrong') found.push({ message, fix });
  }
  return found;
}

describe('engines that need credentials', () => {
  it('run jobs and open WebSockets, each with its own, and none of them is shown anywhere', async () => {
    const basic = await guard({
      headers: { authorization: `Basic ${Buffer.from('gw:secret-password').toString('base64')}` },
    });
    const token = await guard({ headers: { authorization: 'Bearer secret-token' } });
    const header = await guard({ headers: { 'x-gpu-key': 'key=secret-header', 'x-org': 'a: b' } });
    const mutual = await guard({ tls: ofServers.issue('127.0.0.1'), clientsOf: ofClients.cert });
    const own = await guard({ headers: { authorization: 'Bearer secret-of-own', 'x-own': 'yes' } });
    const all = [basic, token, header, mutual, own];
    const profiles = [
      { engines: basic.url, username: 'gw', password: file('password') },
      { engines: [new URL(token.url).host], token: 'secret-${KIND}' },
      { engines: header.url, headers: { 'X-Gpu-Key': 'key=${GPU_KEY}', 'X-Org': 'a: b' } },
      { engines: 'https://127.0.0.*', ca: file('ca.pem'), cert: file('cert.pem'), key: file('key.pem') },
    ];
    const log = recordLog();
    const rig = await startRig(
      {
        COMFYUI_URL: all.map(({ url }) => url).join(),
        ENGINE_CREDENTIALS: JSON.stringify(profiles),
        KIND: 'token',
        GPU_KEY: 'secret-header',
        COMFYUI_TOKEN: 'secret-of-own',
        COMFYUI_HEADERS: 'X-Own: yes',
      },
      log,
    );
    onTestFinished(() => rig.close());
    const engines = async () => {
      const { data } = await postGraphQL(rig.url, '{ engines { id state reason } }');
      return JSON.stringify(data);
    };
    await until(async () => ((await engines()).match(/"READY"/g) ?? []).length === all.length);
    // A job goes to an idle engine first.
    const jobs = await Promise.all(all.map(() => submit(rig, { steps: 4 })));
    for (const job of jobs) expect(await waitForEnd(rig.url, job)).toMatchObject({ status: 'COMPLETED' });
    for (const { rejected, requests } of all) {
      expect(rejected).toEqual([]);
      expect(requests).toBeGreaterThan(0);
    }
    expect(all.filter(({ upgrades }) => upgrades > 0).length).toBeGreaterThanOrEqual(all.length - 1);
    const said = [await engines(), JSON.stringify(log.lines)];
    for (const path of ['debug', 'metrics', 'status/x']) {
      said.push(await (await fetch(`${rig.url}/${path}`)).text());
    }
    for (const name of await readdir(rig.dataDir)) {
      if (name.startsWith('jobs.sqlite')) said.push(await readFile(join(rig.dataDir, name), 'latin1'));
    }
    for (const secret of [...SECRETS, Buffer.from('gw:secret-password').toString('base64'), 'PRIVATE KEY']) {
      expect(said.filter(text => text.includes(secret))).toEqual([]);
    }
  });

  it('get theirs on the WebSocket, and a redirect takes them nowhere', async () => {
    const seen: string[] = [];
    const other = createServer((request, response) => {
      seen.push(request.url ?? '');
      response.end('{}');
    });
    const target = `http://127.0.0.1:${await listen(other)}/elsewhere`;
    const redirecting = createServer((_, response) => response.writeHead(307, { location: target }).end());
    redirecting.on('upgrade', (_, socket) => {
      socket.end(`HTTP/1.1 302 Found\r\nLocation: ${target.replace('http', 'ws')}\r\n\r\n`);
    });
    const url = `http://127.0.0.1:${await listen(redirecting)}`;
    onTestFinished(() => {
      other.close();
      redirecting.close();
    });
    const [wrong] = await wrongEngines({ COMFYUI_URL: url, COMFYUI_TOKEN: 'secret-token' });
    expect(wrong?.message).toContain('GET /system_stats answered 307');
    expect(seen).toEqual([]);
    const guarded = await guard({ headers: { authorization: 'Bearer secret-token' } });
    expect(await wrongEngines({ COMFYUI_URL: guarded.url, COMFYUI_TOKEN: 'secret-token' })).toEqual([]);
    expect(guarded.upgrades).toBe(1);
  });

  it('are found wanting by the doctor, which says what to set', async () => {
    const token = await guard({ headers: { authorization: 'Bearer secret-token' } });
    const tls = await guard({ tls: ofServers.issue('127.0.0.1') });
    const expired = await guard({ tls: ofServers.issue('127.0.0.1', { expired: true }) });
    const other = await guard({ tls: ofServers.issue('gpu.example.com') });
    const nginx = await guard({ tls: ofServers.issue('127.0.0.1'), clientsOf: ofClients.cert });
    const strict = createTlsServer(
      {
        ...ofServers.issue('127.0.0.1'),
        ca: ofClients.cert,
        requestCert: true,
        rejectUnauthorized: true,
        maxVersion: 'TLSv1.2',
      },
      (_, response) => response.end(),
    );
    const strictUrl = `https://127.0.0.1:${await listen(strict)}`;
    onTestFinished(() => void strict.close());
    const CA = { COMFYUI_CA_FILE: join(folder, 'ca.pem') };
    const stranger = selfSigned('gateway');
    const wrongCert = JSON.stringify([{ engines: '*', ca: ofServers.cert, ...stranger }]);
    const cases: [Record<string, string>, message: string, fix: string][] = [
      [{ COMFYUI_URL: token.url }, 'answered 401', 'ENGINE_CREDENTIALS'],
      [{ COMFYUI_URL: token.url, COMFYUI_TOKEN: 'other' }, 'answered 401', 'correct its credentials'],
      [{ COMFYUI_URL: tls.url }, 'not signed by an authority', 'COMFYUI_CA_FILE'],
      [
        { COMFYUI_URL: tls.url, ENGINE_CREDENTIALS: JSON.stringify([{ engines: '*', ca: ofClients.cert }]) },
        'not signed by an authority',
        'the one that is set did not',
      ],
      [{ COMFYUI_URL: expired.url, ...CA }, 'has expired', 'renew the certificate'],
      [{ COMFYUI_URL: other.url, ...CA }, 'for another host', 'that its certificate names'],
      [{ COMFYUI_URL: nginx.url, ...CA }, 'the certificate of the gateway', 'set cert and key'],
      [
        { COMFYUI_URL: nginx.url, ENGINE_CREDENTIALS: wrongCert },
        'the certificate of the gateway',
        'correct cert and key',
      ],
    ];
    for (const [environment, message, fix] of cases) {
      const [wrong, ...more] = await wrongEngines(environment);
      expect(more).toEqual([]);
      expect(wrong?.message).toContain(message);
      expect(wrong?.fix.join()).toContain(fix);
    }
    // The server closes the connection, or sends an alert: both are failures that name no secret.
    const [closed] = await wrongEngines({ COMFYUI_URL: strictUrl, ...CA });
    expect(closed?.message).toContain('does not work: GET /system_stats: ');
    expect(await wrongEngines({ COMFYUI_URL: tls.url, ...CA })).toEqual([]);
  });

  it('are checked by the command with the credentials of the environment', async () => {
    const token = await guard({ headers: { authorization: 'Bearer secret-token' } });
    const words = ['workflows', 'check', 'qwen-image-edit-plus', '--engine', token.url];
    const credentials = JSON.stringify([{ engines: token.url, token: '${GPU_TOKEN}' }]);
    const given = { ENGINE_CREDENTIALS: credentials, GPU_TOKEN: 'secret-token' };
    const [without, with_, invalid] = await Promise.all([
      qwenEdit(words),
      qwenEdit(words, given),
      qwenEdit(words, { ENGINE_CREDENTIALS: credentials }),
    ]);
    expect(without.err).toContain('answered 401');
    expect(with_).toMatchObject({ code: 0, out: 'qwen-image-edit-plus: ok\n' });
    expect(invalid.err).toContain('ENGINE_CREDENTIALS: profile 1: token: the variable GPU_TOKEN is not set');
  });
});

describe('ENGINE_CREDENTIALS', () => {
  const faultsOf = (value: unknown, more: Record<string, string> = {}) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    const result = readConfig({ ENGINE_CREDENTIALS: text, ...more });
    return result.ok ? [] : result.faults;
  };

  it.each<[string, unknown, string]>([
    ['text that is no JSON', '{"token": secret-token}', 'this is not JSON'],
    ['one profile', { engines: '*', token: 'secret-token' }, 'takes a JSON list of profiles'],
    ['a profile of no engines', [{ token: 'secret-token' }], 'profile 1: engines: '],
    ['a mistyped field', [{ engines: '*', tokn: 'secret-token' }], 'profile 1: Unrecognized key: "tokn"'],
    [
      'a URL with credentials',
      [{ engines: 'http://u:secret-token@h' }],
      'profile 1: engines: takes patterns',
    ],
    ['a token of two words', [{ engines: '*', token: 'secret-token 2' }], 'token: takes a token'],
    ['two kinds', [{ engines: '*', token: 'secret-token', username: 'u' }], 'token or username'],
    ['a password alone', [{ engines: '*', password: 'secret-token' }], 'needs username'],
    [
      'a header of two lines',
      [{ engines: '*', headers: { 'X-A': 'secret-token\r\nX: y' } }],
      'x-a takes a text',
    ],
    ['a header of the connection', [{ engines: '*', headers: { Host: 'secret-token' } }], 'host is set by'],
    [
      'a missing file',
      [{ engines: '*' }, { engines: '*', ca: { file: '/no/such' } }],
      'profile 2: ca: cannot read /no/such',
    ],
    ['no certificate', [{ engines: '*', ca: 'secret-token' }], 'ca: takes certificates in PEM'],
    ['a certificate alone', [{ engines: '*', cert: client.cert }], 'cert and key: each needs the other'],
    [
      'the key of another',
      [{ engines: '*', cert: client.cert, key: selfSigned('x').key }],
      'is not the private key',
    ],
    ['a broken key', [{ engines: '*', cert: client.cert, key: 'secret-token' }], 'takes a private key'],
  ])('with %s is a fault that repeats no value', (_, value, fault) => {
    const [found = '', ...more] = faultsOf(value);
    expect(more).toEqual([]);
    expect(found).toMatch(/^ENGINE_CREDENTIALS: /);
    expect(found).toContain(fault);
    expect(found).not.toContain('secret-token');
  });

  it('is looked up by the URL of an engine, and the settings for COMFYUI_URL go to no other', () => {
    const result = readConfig({
      COMFYUI_URL: 'http://own:8188',
      COMFYUI_TOKEN: 'own',
      ENGINE_CREDENTIALS: JSON.stringify([
        { engines: 'https://*.gpu.example.com/a', token: 'a' },
        { engines: ['*.gpu.example.com', 'gpu-*:8188'], token: '$${b}' },
      ]),
    });
    if (!result.ok) throw new Error(result.faults.join());
    const { credentialsOf } = result.config;
    const tokens = [
      ['http://own:8188/', 'own'],
      ['http://own:8189', undefined],
      ['https://own:8188', undefined],
      ['https://x.gpu.example.com/a/b', 'a'],
      ['https://x.gpu.example.com/ab', '${b}'],
      ['http://x.y.GPU.example.com:99', '${b}'],
      ['https://gpu.example.com', undefined],
      ['https://evilgpu.example.com', undefined],
      ['https://x.gpu.example.com.evil.test', undefined],
      ['http://gpu-7:8188', '${b}'],
      ['http://gpu-7', undefined],
      ['http://gpu-7.evil.test:8188', undefined],
    ] as const;
    for (const [url, token] of tokens) {
      const expected = token === undefined ? undefined : `Bearer ${token}`;
      expect(credentialsOf(url).headers.authorization, url).toBe(expected);
    }
    // An address of a name gets what is set for the name.
    const atAddress = (name: string) => credentialsOf('http://10.0.0.5:8188', name).headers.authorization;
    expect(atAddress('dns+http://gpus:8188')).toBe('Bearer own');
    expect(atAddress('dns+http://gpu-all:8188')).toBe('Bearer ${b}');
  });

  it('wins over a password in the URL', async () => {
    const engine = createEngineClient({
      url: 'http://user:secret@127.0.0.1:1',
      credentials: { headers: { authorization: 'Bearer x' }, tls: {} },
      timeoutMs: 1_000,
    });
    expect(engine.socketUrl('c')).toMatchObject({ headers: { authorization: 'Bearer x' } });
    await engine.close();
  });
});
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: the setting takes it.
