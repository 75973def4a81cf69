import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { VERSION } from '../../src/version.ts';
import { testEnvironment } from '../support/gateway.ts';
import { startImageServer } from '../support/image-server.ts';
import { startOtlpReceiver } from '../support/otlp.ts';
import { submit } from '../support/requests.ts';
import { inherited } from '../support/temporary-folder.ts';
import { waitForEnd } from '../support/watch.ts';

const FILES = [
  'start.js',
  'built.js',
  'build-start.ts',
  'build-into.ts',
  'build-pages.ts',
  'build-server.ts',
  'package.json',
  'package-lock.json',
];

let checkout: string;
beforeAll(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'start-'));
  for (const file of FILES) await cp(file, join(checkout, file));
  const filter = (path: string): boolean => basename(path) !== 'node_modules';
  for (const folder of ['bin', 'src', 'pages', 'schema', 'workflows']) {
    await cp(folder, join(checkout, folder), { recursive: true, filter });
  }
  // Newer than their sources, so they are not built again.
  for (const built of ['dist/pages', 'dist/server', 'dist/built']) {
    await cp(built, join(checkout, built), { recursive: true });
  }
  await link('.', () => true);
  await link('src/telemetry/otlp', () => true);
}, 120_000);
afterAll(() => rm(checkout, { recursive: true }));

/** Links the packages of a folder of this repository. */
async function link(folder: string, isWanted: (name: string) => boolean): Promise<void> {
  const target = join(checkout, folder, 'node_modules');
  await rm(target, { recursive: true, force: true });
  await mkdir(target);
  for (const name of (await readdir(join(folder, 'node_modules'))).filter(isWanted)) {
    await symlink(resolve(folder, 'node_modules', name), join(target, name));
  }
}

/** Changes a source: the version that `/` says. */
async function changeVersion(to: string): Promise<void> {
  const file = join(checkout, 'src/version.ts');
  await writeFile(file, (await readFile(file, 'utf8')).replace(/VERSION = '.*'/, `VERSION = '${to}'`));
}

interface Started {
  readonly url: string;
  readonly output: string;
  readonly health: { readonly version: string };
  /** Ends it and resolves with all that it printed. */
  end(): Promise<string>;
}

/** What `npm start` runs. A test that fails leaves no process behind. */
function start(settings: Record<string, string> = {}): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, ['start.js'], {
    cwd: checkout,
    env: {
      ...inherited(),
      ...testEnvironment(join(checkout, 'data')),
      LOG_LEVEL: 'error',
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk));
  return { child, output: () => output };
}

async function started(settings: Record<string, string> = {}): Promise<Started> {
  const { child, output } = start(settings);
  const exited = once(child, 'exit');
  const url = await new Promise<string>((found, fail) => {
    child.stdout?.on('data', () => {
      const url = /Qwen Edit gateway on (\S+)/.exec(output())?.[1];
      if (url !== undefined) found(url);
    });
    child.once('exit', () => fail(new Error(output())));
  });
  const health = await (await fetch(url)).json();
  const end = async (): Promise<string> => {
    child.kill('SIGTERM');
    await exited;
    return output();
  };
  return { url, output: output(), health, end };
}

/** What `qwen-edit --version` prints. */
async function printedVersion(): Promise<string> {
  const words = [join(checkout, 'bin/qwen-edit.js'), '--version'];
  return (await promisify(execFile)(process.execPath, words)).stdout;
}

it('bundles the gateway when a source is newer, and only then; `qwen-edit` runs its sources until then', async () => {
  const first = await started();
  expect(first.output).toMatch(/^Qwen Edit gateway on /);
  expect(first.health.version).toBe(VERSION);
  await first.end();
  const bundle = join(checkout, 'dist/server/qwen-edit.js');
  await writeFile(bundle, `console.log('bundled');\n${await readFile(bundle, 'utf8')}`);
  expect(await printedVersion()).toBe(`bundled\n${VERSION}\n`);
  await changeVersion(`${VERSION}-changed`);
  expect(await printedVersion()).toBe(`${VERSION}-changed\n`);
  // Two at the same time, of which neither disturbs the other.
  const both = await Promise.all(['one', 'two'].map(name => started({ DATA_DIR: join(checkout, name) })));
  for (const { output, health } of both) {
    expect(output).toMatch(/^Bundling the gateway\n/);
    expect(health.version).toBe(`${VERSION}-changed`);
  }
  for (const gateway of both) await gateway.end();
  expect((await readdir(join(checkout, 'dist'))).toSorted()).toEqual(['built', 'pages', 'server']);
}, 120_000);

it('sends traces with the optional packages of their folder', async () => {
  const collector = await startOtlpReceiver();
  onTestFinished(() => collector.close());
  const images = await startImageServer();
  onTestFinished(() => images.close());
  const gateway = await started({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  await waitForEnd(gateway.url, await submit({ url: gateway.url, images }));
  expect(await gateway.end()).not.toContain('not installed');
  expect(collector.spans.map(({ name }) => name)).toEqual(expect.arrayContaining(['submit job', 'run']));
}, 60_000);

it('says what to install where those are missing', async () => {
  await rm(join(checkout, 'src/telemetry/otlp/node_modules'), { recursive: true });
  const { child, output } = start({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });
  await once(child, 'exit');
  expect(output()).toContain(`npm ci --prefix ${checkout}/src/telemetry/otlp/`);
}, 60_000);

it('names the sources in the stack of an error', async () => {
  const page = join(checkout, 'dist/pages/docs/index.html');
  const html = await readFile(page);
  await rm(page);
  await mkdir(page);
  const { child, output } = start();
  const [code] = await once(child, 'exit');
  await rm(page, { recursive: true });
  await writeFile(page, html);
  expect(code).toBe(1);
  const lines = (await readFile('src/http/pages.ts', 'utf8')).split('\n');
  const line = lines.findIndex(text => text.includes('await readBuilt(')) + 1;
  expect(output()).toContain(`at async openPage (${checkout}/src/http/pages.ts:${line}:`);
}, 60_000);

it('runs the sources when one is newer and there is no bundler', async () => {
  await link('.', name => !['vite', 'rolldown'].includes(name));
  await changeVersion(`${VERSION}-changed-again`);
  const gateway = await started();
  expect(gateway.output).toMatch(/^Qwen Edit gateway on /);
  expect(gateway.health.version).toBe(`${VERSION}-changed-again`);
  await gateway.end();
}, 60_000);
