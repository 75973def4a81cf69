import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { submit } from '../support/requests.ts';
import { waitForEnd } from '../support/watch.ts';

const run = promisify(execFile);
const ROOT = new URL('../../', import.meta.url);

/** The commands of a text that run curl, with their continued lines. */
function commandsOf(text: string): string[] {
  const joined = text.replace(/\\\n\s*/g, ' ');
  return joined.split('\n').flatMap(line => /(?:^|[\s(|])(curl [^`]*https?:\S+.*)$/.exec(line)?.[1] ?? []);
}

async function documented(): Promise<{ file: string; command: string }[]> {
  const docs = (await readdir(new URL('docs/', ROOT))).filter(name => name.endsWith('.md'));
  const files = ['README.md', 'examples/README.md', ...docs.map(name => `docs/${name}`)];
  const texts = await Promise.all(
    files.map(async file => ({ file, text: await readFile(new URL(file, ROOT), 'utf8') })),
  );
  return texts.flatMap(({ file, text }) => commandsOf(text).map(command => ({ file, command })));
}

const commands = await documented();

it('no command of the README has a comment behind it, which zsh passes on as arguments', async () => {
  const readme = await readFile(new URL('README.md', ROOT), 'utf8');
  const blocks = [...readme.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = '']) => block);
  expect(blocks.length).toBeGreaterThan(5);
  expect(blocks.flatMap(block => block.split('\n')).filter(line => / #/.test(line))).toEqual([]);
});

describe('the curl lines of the documentation', () => {
  let rig: Rig;
  let folder: string;
  beforeAll(async () => {
    rig = await startRig({ SANDBOX_STEP: '50ms' });
    folder = await mkdtemp(join(tmpdir(), 'curl-'));
  });
  afterAll(async () => {
    await rig.close();
    await rm(folder, { recursive: true });
  });

  it('exist', () => {
    expect(commands.length).toBeGreaterThan(8);
  });

  it.each(commands)('quote their URLs, for shells that expand ? and &: $file $command', ({ command }) => {
    expect(command.match(/(?<!['"])https?:\/\/localhost[^\s'"]*/g)).toBeNull();
  });

  const downloads = commands.filter(({ command }) => / -o \S/.test(command));

  it.each(downloads)('write no file for an unfinished job: $file $command', async ({ command }) => {
    const [, file = ''] = / -o (\S+)/.exec(command) ?? [];
    const path = join(folder, file);
    const line = (id: string) =>
      command.replace('http://localhost:8189', rig.url).replace('JOB_ID', id).replace(file, path);
    const running = await submit(rig, { steps: 100 });
    await expect(run('sh', ['-c', line(running)])).rejects.toMatchObject({ code: 22 });
    expect(await readdir(folder)).not.toContain(file);
    await fetch(`${rig.url}/jobs/${running}`, { method: 'DELETE' });

    const ended = await submit(rig);
    await waitForEnd(rig.url, ended);
    await run('sh', ['-c', line(ended)]);
    expect(file).toContain((await sharp(path).metadata()).format);
  });
});
