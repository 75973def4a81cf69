import { execFile } from 'node:child_process';
import { cp, glob, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { TSC } from '../support/type-check.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const execute = promisify(execFile);

/** The output of a Node program; rejects with it when the program fails. */
async function run(cwd: string, words: readonly string[]): Promise<string> {
  try {
    return (await execute(process.execPath, words, { cwd })).stdout;
  } catch (error) {
    if (!(error instanceof Error && 'stdout' in error)) throw error;
    throw new Error(`${error.message}\n${error.stdout}`);
  }
}

describe('the package', () => {
  let rig: Rig;
  let folder: string;
  let installed: string;
  beforeAll(async () => {
    rig = await startRig();
    folder = await mkdtemp(join(tmpdir(), 'package-'));
    await execute('npm', ['pack', '--pack-destination', folder], { cwd: ROOT });
    for await (const tarball of glob('*.tgz', { cwd: folder })) {
      await execute('tar', ['xzf', tarball], { cwd: folder });
    }
    installed = join(folder, 'node_modules/qwen-edit-gateway');
    await mkdir(join(folder, 'node_modules'));
    await cp(join(folder, 'package'), installed, { recursive: true });
    // The dependencies, which npm would install.
    await symlink(join(ROOT, 'node_modules'), join(installed, 'node_modules'));
  }, 120_000);
  afterAll(async () => {
    await rig.close();
    await rm(folder, { recursive: true });
  });

  it('has a client that is imported by its name and keeps no process alive', async () => {
    const program = `
      import { createClient } from 'qwen-edit-gateway/client';
      const client = createClient({ url: '${rig.url}' });
      const edit = await client.edit({ images: ['${rig.images.url}/red.png'], prompt: 'x', steps: 2, megapixels: 0.25 });
      if (edit.__typename !== 'EditJob') throw new Error(edit.message);
      console.log((await client.wait(edit.id)).status);`;
    expect(await run(folder, ['--input-type=module', '--eval', program])).toBe('COMPLETED\n');
  });

  it.each([
    ['nodenext', 'nodenext', ['--types', 'node', '--lib', 'es2023']],
    ['esnext', 'bundler', ['--types', '', '--lib', 'es2023,dom,dom.iterable']],
  ])('has types that compile with module %s and moduleResolution %s', async (module, resolution, more) => {
    const program = `
      import { createClient, GatewayError, isFinal } from 'qwen-edit-gateway/client';
      const client = createClient({ url: 'http://localhost:8189' });
      export async function edit(): Promise<Uint8Array | null> {
        const job = await client.edit({ images: [new Uint8Array(1)], prompt: 'x' });
        if (job.__typename !== 'EditJob') return null;
        for await (const snapshot of client.watch(job.id)) if (isFinal(snapshot)) break;
        try {
          return await (await client.download(job.id)).bytes();
        } catch (error) {
          if (error instanceof GatewayError && error.kind === 'unreachable') error.retryable satisfies true;
          throw error;
        }
      }`;
    await writeFile(join(folder, 'program.mts'), program);
    const how = ['--strict', '--skipLibCheck', 'false', '--target', 'es2022', '--noEmit'];
    const types = ['--typeRoots', join(ROOT, 'node_modules/@types')];
    const where = ['--module', module, '--moduleResolution', resolution];
    expect(await run(folder, [TSC, ...how, ...types, ...where, ...more, 'program.mts'])).toBe('');
  });

  it('has the command line with all its files', async () => {
    const program = join(installed, 'bin/qwen-edit.js');
    expect(await run(folder, [program, '--help'])).toContain('qwen-edit serve');
    expect(await run(folder, [program, 'workflows', 'list'])).toMatch(/^qwen-image-edit-plus /m);
    expect(await run(folder, [program, 'workflows', 'check'])).toMatch(/^qwen-image-edit-plus: ok$/m);
    expect(await run(folder, [program, 'jobs', '--url', rig.url])).toContain('COMPLETED');
  });

  it('says which Node it needs on one that is older, without a stack', async () => {
    const older = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } });`;
    const words = ['--import', `data:text/javascript,${encodeURIComponent(older)}`];
    const program = join(installed, 'bin/qwen-edit.js');
    await expect(
      execute(process.execPath, [...words, program, 'serve'], { cwd: folder }),
    ).rejects.toMatchObject({
      code: 78,
      stdout: '',
      stderr: 'qwen-edit needs Node 24 or newer, this is Node 20.20.2\n',
    });
  });

  it('has a gateway that runs', async () => {
    // Exits by itself: stop() leaves nothing that keeps the process alive.
    const program = `
      import { startGateway } from '${installed}/dist/gateway.js';
      import { readConfig } from '${installed}/dist/config.js';
      import { createLog } from '${installed}/dist/log.js';
      const { config } = readConfig({ PORT: '0', DATA_DIR: '${folder}/data' });
      const gateway = await startGateway(config, createLog('silent'));
      const answer = await fetch(gateway.url + '/graphql', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query: '{ workflows { name } }' }),
      });
      console.log(await answer.text());
      await gateway.stop();`;
    expect(await run(folder, ['--input-type=module', '--eval', program])).toContain('qwen-image-edit-plus');
  });

  it('imports no package that is not a dependency', async () => {
    const { dependencies, peerDependencies } = JSON.parse(
      await readFile(join(installed, 'package.json'), 'utf8'),
    );
    const named = Object.keys({ ...dependencies, ...peerDependencies });
    const needed = new Set<string>();
    for await (const file of glob('dist/**/*.js', { cwd: installed })) {
      const text = await readFile(join(installed, file), 'utf8');
      for (const [, name = ''] of text.matchAll(
        /(?:^(?:import|export)\b[^;]*?from |\bimport\()'([^'.][^']*)'/gm,
      )) {
        if (!isBuiltin(name)) needed.add(/^(@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? name);
      }
    }
    expect(needed.size).toBeGreaterThan(10);
    expect([...needed].filter(name => !named.includes(name))).toEqual([]);
  });
});

describe('a checkout', () => {
  it('runs the program from its sources, built or not', async () => {
    const { bin } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
    const folder = await mkdtemp(join(tmpdir(), 'checkout-'));
    // Those that some gateways use are ten times as large as the sources.
    const filter = (from: string): boolean => !from.endsWith('/node_modules');
    for (const part of ['bin', 'src', 'workflows', 'package.json']) {
      await cp(join(ROOT, part), join(folder, part), { recursive: true, filter });
    }
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    expect(await run(folder, [bin['qwen-edit'], 'workflows', 'list'])).toContain('qwen-image-edit-plus');
    await rm(folder, { recursive: true });
  });
});
