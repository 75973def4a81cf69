import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startGatewayProcess, startRig, testEnvironment } from '../support/gateway.ts';
import { listen } from '../support/servers.ts';
import { startRedis } from '../support/stores/redis.ts';
import { inherited } from '../support/temporary-folder.ts';

/**
 * Starts one gateway after the other as `main.js` does, each with the settings of a message, and prints the exit code after what
 * the start printed. To load the gateway takes most of a start.
 */
const STARTER = `
  const { serve } = await import(${JSON.stringify(new URL('../../dist/server/serve.js', import.meta.url))});
  process.on('message', async settings => console.log('\\0' + await serve(settings) + '\\0'));
`;

let folder: string;
let starter: ChildProcess;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bad-start-'));
  // Both streams are one, as in a terminal.
  const words = ['-c', 'exec "$0" "$@" 2>&1', process.execPath, '--input-type=module', '-e', STARTER];
  starter = spawn('sh', words, {
    env: { ...inherited(), NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
});
afterAll(async () => {
  starter.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

/** What a gateway prints that does not start, after the code that it exits with. */
async function failure(name: string, overrides: Record<string, string>): Promise<string> {
  starter.send(testEnvironment(join(folder, name), { LOG_LEVEL: 'warn', ...overrides }));
  let output = '';
  for await (const chunk of starter.stdout?.iterator({ destroyOnReturn: false }) ?? []) {
    output += String(chunk);
    const [, printed, code] = /^(.*)\0(.*)\0\n$/s.exec(output) ?? [];
    if (code === 'null') return 'it started';
    if (code !== undefined) return `the gateway ended with ${code}: ${printed}`;
  }
  throw new Error(`the process of the starts ended: ${output}`);
}

/** The same of a process of its own, which `by` starts as for `startGatewayProcess`. */
async function failureOfProcess(
  name: string,
  overrides: Record<string, string>,
  by: readonly string[] = [],
): Promise<string> {
  const started = startGatewayProcess(join(folder, name), { LOG_LEVEL: 'warn', ...overrides }, by);
  const outcome = await started.then(
    gateway => gateway.end('SIGKILL').then(() => 'it started'),
    error => String(error),
  );
  return outcome;
}

/** Runs a command as a user that owns nothing: file modes do not apply to root. */
const UNPRIVILEGED =
  process.getuid?.() === 0 ? ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'] : [];

/** Not where the checkout is readable for its owner only. */
const canBeUnprivileged = succeeds([...UNPRIVILEGED, 'test', '-r', import.meta.filename]);

/** Runs a command where `target` is a file system of its own, which only that command sees. */
function withMount(options: string, target: string): string[] {
  return [
    'unshare',
    '-rm',
    'sh',
    '-c',
    'mount -t tmpfs -o "$0" none "$1" && shift && exec "$@"',
    options,
    target,
  ];
}
/** Containers may not be allowed to mount. */
const canMount = succeeds([...withMount('size=64k', tmpdir()), 'true']);

function succeeds([program = '', ...words]: readonly string[]): boolean {
  return spawnSync(program, words).status === 0;
}

/** One line with the setting and what to do, exit code 78, no stack. */
function expectFault(output: string, line: RegExp): void {
  expect(output).toContain('the gateway ended with 78');
  expect(output).toMatch(line);
  expect(output).not.toMatch(/^\s+at /m);
  expect(output).not.toContain('"stack"');
}

describe('a gateway that cannot start says which setting to change', () => {
  it('PORT, when it is in use', async () => {
    const server = createServer();
    const port = await listen(server);
    onTestFinished(() => void server.close());
    expectFault(
      await failureOfProcess('port', { PORT: String(port) }),
      new RegExp(`PORT: ${port} is in use by another program; set PORT to another`),
    );
  });

  it('METRICS_PORT, when it is in use', async () => {
    const server = createServer();
    const port = await listen(server);
    onTestFinished(() => void server.close());
    expectFault(
      await failure('metrics', { METRICS_PORT: String(port) }),
      new RegExp(`METRICS_PORT: ${port} is in use`),
    );
  });

  it('and nothing of its engines, whose requests the failed start ends', async () => {
    const server = createServer();
    const port = await listen(server);
    onTestFinished(() => void server.close());
    // Connections to it are open and silent.
    const COMFYUI_URL = `http://127.0.0.1:${port}`;
    const output = await failure('silent-engine', { METRICS_PORT: String(port), COMFYUI_URL });
    expectFault(output, new RegExp(`METRICS_PORT: ${port} is in use`));
    expect(output).not.toContain('engine state changed');
  });

  it('HOST, when this machine has no such address', async () => {
    expectFault(
      await failure('host', { HOST: '203.0.113.7', ALLOW_ANONYMOUS: '1' }),
      /HOST: 203\.0\.113\.7 is not an address of this machine/,
    );
  });

  it('HOST, when the name has no address', async () => {
    // A label has at most 63 characters (RFC 1035, 2.3.4), so no name server is asked.
    const name = `${'a'.repeat(64)}.invalid`;
    expectFault(
      await failure('host-name', { HOST: name, ALLOW_ANONYMOUS: '1' }),
      new RegExp(`^HOST: ${name} is not an address of this machine`, 'm'),
    );
  });

  it('WORKFLOW, when no workflow has that name', async () => {
    expectFault(await failure('workflow', { WORKFLOW: 'nope' }), /WORKFLOW: .*nope/);
  });

  it('WORKFLOWS_DIR, when it is missing', async () => {
    expectFault(
      await failure('dir', { WORKFLOWS_DIR: join(folder, 'missing') }),
      /WORKFLOWS_DIR: there is no folder .*missing/,
    );
  });

  it('DATA_DIR, when it is a file', async () => {
    await writeFile(join(folder, 'file'), 'x');
    expectFault(await failure('file', {}), /DATA_DIR: .*file is not a folder; set DATA_DIR/);
  });

  it('DATA_DIR, when another gateway uses it', async () => {
    const first = await startRig({ DATA_DIR: join(folder, 'shared') });
    onTestFinished(() => first.close());
    expectFault(await failure('shared', {}), /DATA_DIR: .*jobs\.sqlite is in use by another gateway/);
  });

  it('DATA_DIR, when the job file is damaged, and how to go on', async () => {
    await mkdir(join(folder, 'damaged'));
    await writeFile(join(folder, 'damaged', 'jobs.sqlite'), 'this is no database, '.repeat(1000));
    expectFault(
      await failure('damaged', {}),
      /DATA_DIR: .*damaged has a jobs\.sqlite that is damaged; restore a backup, or move/,
    );
  });

  it.runIf(canMount).each([
    ['full', 'size=64k', 'has no space left; free some, or set DATA_DIR to another disk'],
    ['read-only', 'ro', 'cannot be written; give the folder and its files to the user of the gateway'],
  ])('DATA_DIR, when its file system is %s', async (name, options, text) => {
    const target = join(folder, name);
    await mkdir(target);
    expectFault(
      await failureOfProcess(name, {}, withMount(options, target)),
      new RegExp(`^.*DATA_DIR: ${target} ${text}`, 'm'),
    );
  });

  it.runIf(canBeUnprivileged).each([
    ['folder', '.', 'DATA_DIR'],
    ['file of jobs', 'jobs.sqlite', 'DATA_DIR'],
    ['folder of images', 'images', 'ARTIFACTS_URL'],
  ])('for a %s that belongs to another user', async (what, file, setting) => {
    const target = join(folder, what);
    const blocked = join(target, file);
    await mkdir(target);
    await chmod(folder, 0o755);
    if (file === 'jobs.sqlite') await writeFile(blocked, '');
    else await mkdir(blocked, { recursive: true });
    await chmod(target, 0o777);
    await chmod(blocked, 0o555);
    const overrides = { ARTIFACTS_URL: `file://${join(folder, what, 'images')}` };
    const output = await failureOfProcess(what, setting === 'DATA_DIR' ? {} : overrides, UNPRIVILEGED);
    expectFault(
      output,
      new RegExp(`${setting}: ${setting === 'DATA_DIR' ? target : blocked} cannot be written; give`),
    );
  });

  it('REDIS_URL, when Redis has no such database', async () => {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    expectFault(
      await failure('database', { REDIS_URL: `${redis.url}/16` }),
      /REDIS_URL: database 16 of \S+ cannot be used: ERR DB index is out of range; name a database/,
    );
  });

  it.each(['*', 'app.example.com'])('CORS_ORIGINS, when it is %s', async origins => {
    expectFault(
      await failure('cors', { CORS_ORIGINS: origins }),
      /CORS_ORIGINS: .*https:\/\/app\.example\.com/,
    );
  });

  it('LOG_LEVEL, when there is no such level', async () => {
    expectFault(await failure('level', { LOG_LEVEL: 'loud' }), /LOG_LEVEL: .*debug/);
  });
});

it('a variable that is nearly a setting, and a policy with an unknown workflow, are named at the start', async () => {
  // The port is not free, so that the process ends with what it printed.
  const server = createServer();
  const port = await listen(server);
  onTestFinished(() => void server.close());
  const output = await failure('typo', {
    COMFY_URL: 'http://gpu:8188',
    API_KEY_FILE: '/x',
    PORT: String(port),
    CALLER_POLICIES: '{"trial":{"workflows":["qwen-image-edit-*","flux*"]}}',
  });
  expect(output).toMatch(/"policy":"trial","pattern":"flux\*".*CALLER_POLICIES/);
  expect(output).not.toContain('"pattern":"qwen');
  expect(output).toContain('COMFY_URL is not a setting, did you mean COMFYUI_URL?');
  expect(output).toContain('API_KEY_FILE is not a setting, did you mean API_KEYS_FILE?');
  expect(output).not.toContain('gpu:8188');
  expect(output).not.toMatch(/(PATH|HOME|NODE_ENV) is not a setting/);
});
