import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'install-'));
  await cp('install.ts', join(root, 'install.ts'));
  await mkdir(join(root, 'bench/package'), { recursive: true });
});
afterEach(() => rm(root, { recursive: true }));

/** Runs the program where there is no registry. */
async function install(...folders: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    npm_config_registry: 'http://127.0.0.1:1',
    npm_config_cache: join(root, 'cache'),
  };
  return new Promise(resolve => {
    const options = { env: { ...env, npm_config_fetch_retries: '0' } };
    execFile(process.execPath, [join(root, 'install.ts'), ...folders], options, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    );
  });
}

/** Locks a package for the benchmarks: `from` is a folder, or a tarball of the registry. */
async function lock(version: string, from: string): Promise<void> {
  const dependencies = {
    [from === 'package' ? 'package' : 'absent']: from === 'package' ? 'file:package' : version,
  };
  const [name = ''] = Object.keys(dependencies);
  const entry =
    from === 'package'
      ? { package: { version }, 'node_modules/package': { resolved: 'package', link: true } }
      : { [`node_modules/${name}`]: { version, resolved: from, integrity: `sha512-${'A'.repeat(86)}==` } };
  const file = {
    name: 'bench',
    lockfileVersion: 3,
    requires: true,
    packages: { '': { dependencies }, ...entry },
  };
  await writeFile(join(root, 'bench/package.json'), JSON.stringify({ dependencies }));
  await writeFile(join(root, 'bench/package/package.json'), JSON.stringify({ name: 'package', version }));
  await writeFile(join(root, 'bench/package-lock.json'), JSON.stringify(file));
}

it('installs the packages of a folder once for each state of its lock file, and says so', async () => {
  const line = 'Installing the packages of the benchmarks (npm ci in bench)\n';
  await lock('1.0.0', 'package');
  expect(await install('bench')).toEqual({ code: 0, stdout: line, stderr: '' });
  expect(await readFile(join(root, 'bench/node_modules/package/package.json'), 'utf8')).toContain('1.0.0');
  expect(await install('bench')).toEqual({ code: 0, stdout: '', stderr: '' });
  await lock('1.0.1', 'package');
  expect(await install('bench')).toEqual({ code: 0, stdout: line, stderr: '' });
});

it('says what it needs where there is no registry, and tries again the next time', async () => {
  await lock('1.0.0', 'http://127.0.0.1:1/absent.tgz');
  for (const _ of [1, 2]) {
    const { code, stderr } = await install('bench');
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^The packages of the benchmarks could not be installed\. That needs the npm registry, once: npm ci --prefix bench\n.*ECONNREFUSED/s,
    );
  }
});

it('rejects a folder that has no packages of its own', async () => {
  expect(await install('docs')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^docs: takes test, /),
  });
});

const OPTIONAL = ['src/adapters/s3', 'src/telemetry/otlp'];

it('optional packages are the peers of the published package, in the versions that are tested', async () => {
  const packageOf = async (folder: string) =>
    JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const { peerDependencies, peerDependenciesMeta } = await packageOf('.');
  const tested: Record<string, string> = {};
  for (const folder of OPTIONAL) Object.assign(tested, (await packageOf(folder)).dependencies);
  expect(peerDependencies).toEqual(
    Object.fromEntries(Object.entries(tested).map(([name, version]) => [name, `^${version}`])),
  );
  expect(Object.keys(peerDependenciesMeta)).toEqual(Object.keys(peerDependencies));
});
