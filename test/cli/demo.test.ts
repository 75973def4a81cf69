import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it, onTestFinished } from 'vitest';
import { listen } from '../support/servers.ts';
import { inherited } from '../support/temporary-folder.ts';

const DEMO = join(import.meta.dirname, '../../src/cli/demo.ts');

it('a second demo runs beside the first, with another port and data of its own', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'demo-'));
  // Taken, so that no other program on this machine matters.
  const server = createServer();
  const port = await listen(server);
  const demo = (...words: string[]): ChildProcess =>
    spawn(process.execPath, [DEMO, '--steps', '1', ...words], {
      cwd,
      env: { ...inherited(), PORT: String(port), SANDBOX_STEP: '5ms' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const first = demo();
  const ended = new Promise(resolve => first.once('exit', resolve));
  onTestFinished(async () => {
    first.kill('SIGTERM');
    await ended;
    server.close();
    await rm(cwd, { recursive: true });
  });
  await new Promise<void>(resolve => {
    first.stdout?.on('data', (chunk: Buffer) => chunk.includes('Sample images on') && resolve());
  });
  const second = demo('--once');
  const code = new Promise(resolve => second.once('exit', resolve));
  const output = second.stdout === null ? '' : await text(second.stdout);
  expect({ code: await code, output }).toMatchObject({ code: 0, output: expect.stringContaining('Saved ') });
  expect(output).toContain('data/demo is in use by another demo: trying data/demo-2\n');
  expect(output).toContain(`Port ${port} is in use: using a free one\n`);
});

it('opens the browser and begins the edit without waiting for it', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'demo-'));
  onTestFinished(() => rm(cwd, { recursive: true }));
  // Runs until there is a file, then says that it found no browser.
  const opener = `#!/bin/sh\nuntil [ -e '${cwd}/go' ]; do sleep 0.01; done\nexit 3\n`;
  for (const name of ['open', 'xdg-open']) await writeFile(join(cwd, name), opener, { mode: 0o755 });
  const demo = spawn(process.execPath, [DEMO, '--open', '--once', '--steps', '1'], {
    cwd,
    env: { PATH: `${cwd}:${process.env.PATH}`, PORT: '0', SANDBOX_STEP: '5ms' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void demo.kill('SIGKILL'));
  const ended = once(demo, 'exit');
  demo.stdout.on('data', (chunk: Buffer) => {
    if (chunk.includes('Sample images on')) writeFileSync(join(cwd, 'go'), '');
  });
  expect(await text(demo.stderr)).toBe(
    'The browser was not opened: there is no desktop here, or it has no program for it\n',
  );
  expect(await ended).toEqual([0, null]);
});

it('names the option that was meant, as qwen-edit does', async () => {
  const demo = spawn(process.execPath, [DEMO, '--opne'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(demo, 'exit');
  expect(await text(demo.stderr)).toContain("unknown option '--opne'\n(Did you mean --open?)");
  expect(await ended).toEqual([2, null]);
});
