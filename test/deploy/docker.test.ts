import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { VERSION } from '../../src/version.ts';
import { testEnvironment } from '../support/gateway.ts';
import { inherited } from '../support/temporary-folder.ts';

const run = promisify(execFile);

/** What goes to Docker: the entries that .dockerignore lets through. */
const CONTEXT = readFileSync('.dockerignore', 'utf8').match(/(?<=^!).+$/gm) ?? [];
/** The instructions of each stage; the last one is the image. */
const STAGES = readFileSync('Dockerfile', 'utf8')
  .replaceAll('\\\n', '')
  .split(/^FROM .*$/m)
  .slice(1)
  .map(stage => stage.trim().split('\n'));
const [, builtStage = [], imageStage = []] = STAGES;

let built: string;
let image: string;
beforeAll(async () => {
  built = await mkdtemp(join(tmpdir(), 'built-'));
  image = await mkdtemp(join(tmpdir(), 'image-'));
  await copyContext(builtStage, built);
  await symlink(resolve('node_modules'), join(built, 'node_modules'));
  for (const command of commands(builtStage, 'RUN node '))
    await run(process.execPath, command, { cwd: built });
  await copyContext(imageStage, image);
  await cp(join(built, 'dist'), join(image, 'dist'), { recursive: true });
  await symlink(resolve('node_modules'), join(image, 'node_modules'));
}, 120_000);
afterAll(async () => {
  await rm(built, { recursive: true });
  await rm(image, { recursive: true });
});

/** Does what the stage copies from the checkout, packages left out. */
async function copyContext(stage: readonly string[], folder: string): Promise<void> {
  const copies = stage.filter(line => line.startsWith('COPY ') && !line.includes('--from='));
  for (const copy of copies) {
    const names = copy.split(/\s+/).slice(1);
    const target = join(folder, names.pop() ?? '');
    for (const name of names) {
      const from = CONTEXT.find(entry => entry === name);
      if (from === undefined) throw new Error(`.dockerignore leaves ${name} out`);
      const to = copy.endsWith('/') ? join(target, name) : target;
      await mkdir(resolve(to, '..'), { recursive: true });
      await cp(from, to, { recursive: true, filter: path => basename(path) !== 'node_modules' });
    }
  }
}

/** The words after `start` of each instruction that has it. */
function commands(stage: readonly string[], start: string): string[][] {
  return stage.filter(line => line.startsWith(start)).map(line => line.slice(start.length).split(' '));
}

describe('the container image', () => {
  it('has a gateway that starts from the files that are copied into it', async () => {
    const command = imageStage.findLast(line => line.startsWith('CMD '))?.slice('CMD '.length) ?? '';
    const [program, ...words]: string[] = JSON.parse(command);
    expect(program).toBe('node');
    const child = spawn(process.execPath, words, {
      cwd: image,
      env: { ...inherited(), ...testEnvironment(join(image, 'data')) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`it ended with ${code}`)));
    const [line] = await Promise.race([once(child.stdout, 'data'), ended]);
    const url = /http:\/\/\S+/.exec(String(line))?.[0] ?? '';
    expect(await (await fetch(url)).json()).toMatchObject({ version: VERSION });
    const page = await fetch(url, { headers: { accept: 'text/html' } });
    expect(await page.text()).toContain('<title>');
  });

  it('has `qwen-edit`', async () => {
    const { stdout } = await run(process.execPath, ['bin/qwen-edit.js', '--version'], { cwd: image });
    expect(stdout).toContain(VERSION);
  });
});
