import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { qwenEdit, type Ran } from '../support/clients/cli.ts';
import { type Rig, startRig } from '../support/gateway.ts';

let rig: Rig;
let folder: string;
let desktop: Record<string, string>;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.close());

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cli-open-'));
  const shape = { create: { width: 80, height: 60, channels: 3, background: 'green' } } as const;
  await writeFile(join(folder, 'photo.jpg'), await sharp(shape).jpeg().toBuffer());
  // Records its arguments, one per line, and the bytes of the file.
  await writeOpener(`printf '%s\\n' "$@" > '${folder}/opened'\ncp "$1" '${folder}/seen'\n`);
  desktop = { PATH: `${folder}:${process.env.PATH}` };
  return () => rm(folder, { recursive: true });
});

/** What opens files on the desktops of macOS and of others. */
async function writeOpener(script: string): Promise<void> {
  for (const name of ['open', 'xdg-open']) {
    await writeFile(join(folder, name), `#!/bin/sh\n${script}`);
    await chmod(join(folder, name), 0o755);
  }
}

function run(words: readonly string[], environment: Record<string, string>): Promise<Ran> {
  return qwenEdit(words, { QWEN_EDIT_URL: rig.url, ...environment }, { cwd: folder });
}

const EDIT = ['edit', 'photo.jpg', '-p', 'x', '--steps', '2', '--megapixels', '0.25'];

async function expectOpened(name: string): Promise<void> {
  expect(await readFile(join(folder, 'opened'), 'utf8')).toBe(`${join(folder, name)}\n`);
  expect(await readFile(join(folder, 'seen'))).toEqual(await readFile(join(folder, name)));
}

describe('--open', () => {
  it('passes the saved file to the opener, whatever characters its name has', async () => {
    const name = "it's; $(touch pwned) &.png";
    expect(await run([...EDIT, '-o', name, '--open'], desktop)).toMatchObject({
      code: 0,
      out: `Saved ${name}\n`,
    });
    await expectOpened(name);
    expect(await readdir(folder)).not.toContain('pwned');
  });

  it('works for watch and download, and with the name from the gateway', async () => {
    const id = (await run(EDIT, {})).out.trim();
    expect(await run(['watch', id, '-o', 'watched.png', '--open'], desktop)).toMatchObject({ code: 0 });
    await expectOpened('watched.png');
    const { out } = await run(['download', id, '--open', '--json'], desktop);
    await expectOpened(JSON.parse(out).file);
  });

  it('reports a missing desktop, and the edit succeeds', async () => {
    await writeOpener('exit 1\n');
    const { code, out, err } = await run([...EDIT, '-o', 'out.png', '--open'], desktop);
    expect({ code, out }).toEqual({ code: 0, out: 'Saved out.png\n' });
    expect(err).toContain(`${join(folder, 'out.png')} was not opened: there is no desktop here`);
  });

  it.each([
    ['a missing file name', [], /--open needs a file/],
    ['standard output', ['-o', '-'], /--open needs a file/],
    ['a name that the desktop might run', ['-o', 'out.desktop'], /ends in \.png, .*out\.desktop does not/],
  ])('rejects %s before it submits', async (_, words, says) => {
    const before = await rig.graphql('{ jobs { nodes { id } } }');
    expect(await run([...EDIT, '--open', ...words], desktop)).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringMatching(says),
    });
    expect(await rig.graphql('{ jobs { nodes { id } } }')).toEqual(before);
  });
});
