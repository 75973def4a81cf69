import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROGRAM, type Ran, qwenEdit as run } from '../support/clients/cli.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { inherited } from '../support/temporary-folder.ts';

let rig: Rig;
let folder: string;
beforeAll(async () => {
  rig = await startRig();
  folder = await mkdtemp(join(tmpdir(), 'cli-'));
  const shape = { create: { width: 80, height: 60, channels: 3, background: 'green' } } as const;
  await writeFile(join(folder, 'photo.jpg'), await sharp(shape).jpeg().toBuffer());
});
afterAll(async () => {
  await rig.close();
  await rm(folder, { recursive: true });
});

/** Runs `qwen-edit` in the folder of the images, with the gateway's URL in the environment. */
function qwenEdit(words: readonly string[], input: Uint8Array = new Uint8Array()): Promise<Ran> {
  return run(words, { QWEN_EDIT_URL: rig.url }, { cwd: folder, input });
}

const FAST = ['--steps', '2', '--megapixels', '0.25'];

describe('qwen-edit edit', () => {
  it('edits files and saves the output image', async () => {
    const { code, out, err } = await qwenEdit([
      'edit',
      'photo.jpg',
      'photo.jpg',
      '-p',
      'x',
      '-o',
      'out.png',
      ...FAST,
    ]);
    expect({ code, out }).toEqual({ code: 0, out: 'Saved out.png\n' });
    expect(err).toMatch(/100\.0 %/);
    expect((await sharp(await readFile(join(folder, 'out.png'))).metadata()).format).toBe('png');
    expect(await readdir(folder)).not.toContain('out.png.part');
  });

  it('takes a mask, and says when the workflow takes none', async () => {
    const mask = sharp({ create: { width: 80, height: 60, channels: 3, background: 'white' } });
    await writeFile(join(folder, 'mask.png'), await mask.png().toBuffer());
    const edit = (...more: string[]) =>
      qwenEdit(['edit', 'photo.jpg', '--mask', 'mask.png', '-p', 'x', ...more, ...FAST]);
    const { code, out } = await edit('-o', 'masked.png');
    expect({ code, out }).toEqual({ code: 0, out: 'Saved masked.png\n' });
    const refused = await edit('--workflow', 'qwen-image-edit-plus');
    expect(refused).toMatchObject({
      code: 1,
      err: expect.stringContaining('mask is not an input of the workflow qwen-image-edit-plus'),
    });
    expect(await qwenEdit(['edit', 'photo.jpg', '--mask', 'none.png', '-p', 'x'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('Cannot read none.png'),
    });
  });

  it('reads standard input and writes to standard output', async () => {
    const photo = await readFile(join(folder, 'photo.jpg'));
    const { code, bytes } = await qwenEdit(['edit', '-', '-p', 'x', '-o', '-', ...FAST], photo);
    expect(code).toBe(0);
    expect((await sharp(bytes).metadata()).format).toBe('png');
  });

  it('labels a job, which jobs then finds', async () => {
    const edit = (...own: string[]) => ['edit', `${rig.images.url}/red.png`, '-p', 'x', ...own, ...FAST];
    const [labelled, , wrong] = await Promise.all([
      qwenEdit(edit('--label', 'for the shop', '--meta', 'order=1=2', '--meta', 'empty=')),
      qwenEdit(edit('--label', 'for the shop')),
      qwenEdit(edit('--meta', 'order')),
    ]);
    const id = labelled.out.trim();
    const { out } = await qwenEdit(['jobs', '--label', 'for the shop', '--meta', 'order=1=2', '--json']);
    const jobs = out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line));
    const metadata = [
      { key: 'order', value: '1=2' },
      { key: 'empty', value: '' },
    ];
    expect(jobs).toMatchObject([{ id, label: 'for the shop', metadata }]);
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('Expected key=value.')]);
  });

  it('prints the id of the job, with which the other commands work', async () => {
    const settings = ['--seed', '18446744073709551615', '--priority', 'high', '--key', 'k', '--cfg', '3'];
    const words = ['edit', `${rig.images.url}/red.png`, '-p', 'x', ...settings, ...FAST];
    const { code, out } = await qwenEdit(words);
    expect(code).toBe(0);
    const id = out.trim();
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    // The same key is the same job.
    expect((await qwenEdit(words)).out.trim()).toBe(id);
    const { data } = await rig.graphql<{ job: object }>(
      'query ($id: ID!) { job(id: $id) { priority request { seed cfg steps } } }',
      { id },
    );
    expect(data?.job).toEqual({
      priority: 'HIGH',
      request: { seed: '18446744073709551615', cfg: 3, steps: 2 },
    });

    const watched = await qwenEdit(['watch', id, '--json']);
    const lines = watched.out
      .trim()
      .split('\n')
      .map(line => JSON.parse(line));
    expect(watched.code).toBe(0);
    expect(lines.at(-1)).toMatchObject({ id, status: 'COMPLETED', progress: 100 });

    const saved = await qwenEdit(['download', id, '--format', 'webp', '-o', 'out.webp']);
    expect(saved).toMatchObject({ code: 0, out: 'Saved out.webp\n' });
    expect((await sharp(await readFile(join(folder, 'out.webp'))).metadata()).format).toBe('webp');
    const named = JSON.parse((await qwenEdit(['download', id, '--json'])).out);
    expect(await readdir(folder)).toContain(named.file);

    const list = await qwenEdit(['jobs', '--status', 'completed,error', '--json']);
    expect(
      list.out
        .trim()
        .split('\n')
        .map(line => JSON.parse(line).id),
    ).toContain(id);
    const page = await qwenEdit(['jobs', '--first', '1']);
    expect(page.out.trim().split('\n')).toHaveLength(1);
    expect(page.err).toMatch(/More: --after \S+/);

    expect(await qwenEdit(['cancel', id])).toMatchObject({ code: 0, out: `${id}  COMPLETED\n` });
    expect(await qwenEdit(['cancel', '--delete', id])).toMatchObject({ code: 0, out: `${id}  deleted\n` });
    expect(await qwenEdit(['cancel', id])).toMatchObject({ code: 1, err: `${id}  Job not found\n` });
    expect(await qwenEdit(['watch', id])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/not found/i),
    });
  });

  it('writes into an existing pipe instead of replacing it', async () => {
    const pipe = join(folder, 'pipe');
    await promisify(execFile)('mkfifo', [pipe]);
    const [read, ran] = await Promise.all([
      readFile(pipe),
      qwenEdit(['edit', 'photo.jpg', '-p', 'x', '-o', 'pipe', ...FAST]),
    ]);
    expect(ran).toMatchObject({ code: 0, out: 'Saved pipe\n' });
    expect((await sharp(read).metadata()).format).toBe('png');
    expect((await stat(pipe)).isFIFO()).toBe(true);
  });

  it('exits with 0 when the reader of its output closes early', async () => {
    const command = `{ '${process.execPath}' '${PROGRAM}' jobs --json; echo "ended with $?" >&2; } | :`;
    const { stderr } = await promisify(execFile)('sh', ['-c', command], {
      env: { ...inherited(), QWEN_EDIT_URL: rig.url },
    });
    expect(stderr).toBe('ended with 0\n');
  });

  it.concurrent.each([
    ['a missing file', ['edit', 'none.jpg', '-p', 'x'], 1, /Cannot read none\.jpg: no such file/],
    ['a file that is no image', ['edit', 'PICTURES/page.html', '-p', 'x'], 1, /INPUT_NOT_AN_IMAGE: /],
    [
      'a value out of range',
      ['edit', 'photo.jpg', '-p', 'x', '--cfg', '0'],
      1,
      /INVALID_INPUT: cfg takes .* got 0/,
    ],
    ...[
      ['edit', '--steps', '1.5', '1 to 100'],
      ['edit', '--steps', '101', '1 to 100'],
      ['edit', '--seed', '-1', '0 to 18446744073709551615'],
      ['edit', '--seed', '18446744073709551616', '0 to 18446744073709551615'],
      ['jobs', '--first', '0', '1 to 100'],
      ['download', '--quality', '101', '1 to 100'],
    ].map(([command = '', option = '', value = '', range]): [string, string[], number, RegExp] => [
      `${option} ${value}`,
      [command, ...(command === 'edit' ? ['photo.jpg', '-p', 'x'] : []), option, value],
      2,
      new RegExp(
        `option '${option} .*' argument '${value}' is invalid. Expected a whole number from ${range}`,
      ),
    ]),
    ['a directory instead of a file', ['edit', '.', '-p', 'x'], 1, /Cannot read \.: it is a directory/],
    [
      'a missing directory to save to',
      ['edit', 'photo.jpg', '-p', 'x', '-o', 'none/out.png'],
      1,
      /Cannot write none\/out\.png: no such directory/,
    ],
    ['a directory to save as', ['download', 'x', '-o', '.'], 1, /Cannot write \.: it is a directory/],
    ['standard input twice', ['edit', '-', '-', '-p', 'x'], 2, /give - once/],
    ['a missing prompt', ['edit', 'photo.jpg'], 2, /--prompt/],
    ['text instead of a number', ['edit', 'photo.jpg', '-p', 'x', '--cfg', 'many'], 2, /Expected a number/],
    ['an unknown status', ['jobs', '--status', 'done'], 2, /queued, processing/],
    ['an unreachable gateway', ['jobs', '--url', 'http://127.0.0.1:9'], 75, /cannot be reached.*\n.*--url/],
  ])('reports %s', async (_, words, code, says) => {
    const ran = await qwenEdit(words.map(word => word.replace('PICTURES', rig.images.url)));
    expect(ran.code).toBe(code);
    expect(ran.err).toMatch(says);
    expect(ran.out).toBe('');
  });

  it.concurrent.each(['edit', 'watch', 'jobs', 'cancel', 'download'])(
    '%s --help has examples and exit codes',
    async command => {
      const { code, out } = await qwenEdit([command, '--help']);
      expect(code).toBe(0);
      expect(out).toMatch(/Examples:\n {2}qwen-edit /);
      expect(out).toMatch(/Exit codes:\n {2}0 /);
      expect(out).toContain('QWEN_EDIT_URL');
    },
  );
});
