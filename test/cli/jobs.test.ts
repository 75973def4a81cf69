import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { qwenEditOnTerminal, qwenEdit as run } from '../support/clients/cli.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { submit } from '../support/requests.ts';
import { waitForEnd, waitUntil } from '../support/watch.ts';

let rig: Rig;
let folder: string;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '300ms' });
  folder = await mkdtemp(join(tmpdir(), 'cli-'));
});
afterAll(async () => {
  await rig.close();
  await rm(folder, { recursive: true });
});

const environment = () => ({ QWEN_EDIT_URL: rig.url });
const qwenEdit = (...words: string[]) => run(words, environment(), { cwd: folder });
const onTerminal = async (words: string[], typed?: { after: string; keys: string }) => {
  const options = { cwd: folder, ...(typed === undefined ? {} : { typed }) };
  const { code, screen } = await qwenEditOnTerminal(words, environment(), options);
  return { code, lines: stripVTControlCharacters(screen).split(/\r?\n/).filter(Boolean) };
};

const PROMPT =
  'Make it night,\n\tand put 山 lanterns \u001b[31mon every boat, in the style of an old woodcut';

describe('qwen-edit jobs', () => {
  it('has a table with age, status, size and shortened prompt on a terminal, and all of the prompt in a pipe', async () => {
    const ended = await submit(rig, { prompt: PROMPT });
    await waitForEnd(rig.url, ended);
    const running = await submit(rig, { prompt: 'short', steps: 100 });
    await waitUntil(rig.url, running, ({ step }) => (step ?? 0) >= 1);

    const { code, lines } = await onTerminal(['jobs']);
    expect(code).toBe(0);
    const [header = '', first = '', second = '', ...more] = lines;
    expect(more).toEqual([]);
    expect(header).toMatch(/^ID +AGE +STATUS +SIZE +PROMPT$/);
    expect(first).toMatch(
      /^[0-9a-f-]{36} {2}\d+ (s|min) ago +PROCESSING \d+ % step \d+\/100 +(\d+×\d+)? +short$/,
    );
    expect(second).toMatch(/^[0-9a-f-]{36} {2}\d+ (s|min) ago +COMPLETED +\d+×\d+ +Make it[^\n]*…$/);
    expect([first.slice(0, 36), second.slice(0, 36)]).toEqual([running, ended]);
    // The columns are in line, and no line is longer than the terminal.
    const column = header.indexOf('PROMPT');
    expect([first.indexOf('short'), second.indexOf('Make')]).toEqual([column, column]);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(Math.max(100, column + 12));

    const piped = await qwenEdit('jobs', '--status', 'completed');
    const cells = piped.out.trimEnd().split('\t');
    expect(cells).toEqual([
      ended,
      expect.stringMatching(/^\d{4}-.*Z$/),
      'COMPLETED',
      '',
      expect.stringMatching(/^\d+×\d+$/),
      'Make it night, and put 山 lanterns on every boat, in the style of an old woodcut',
    ]);
    const json = await qwenEdit('jobs', '--status', 'completed', '--json');
    expect(JSON.parse(json.out)).toMatchObject({
      id: ended,
      request: { prompt: expect.stringContaining('山') },
    });
    expect(await qwenEdit('cancel', running)).toMatchObject({ code: 0, out: `${running}  CANCELED\n` });
  }, 60_000);
});

describe('qwen-edit retry', () => {
  it('submits the job again, and waits and saves like edit', async () => {
    const id = await submit(rig);
    await waitForEnd(rig.url, id);
    const printed = await qwenEdit('retry', id);
    expect([printed.code, printed.out]).toEqual([0, expect.stringMatching(/^[0-9a-f-]{36}\n$/)]);
    expect(printed.out.trim()).not.toBe(id);
    expect(await qwenEdit('retry', id, '-o', 'out.png')).toMatchObject({ code: 0, out: 'Saved out.png\n' });
    expect((await sharp(await readFile(join(folder, 'out.png'))).metadata()).format).toBe('png');
    const watched = await qwenEdit('retry', id, '--watch', '--json');
    expect(JSON.parse(watched.out.trim().split('\n').at(-1) ?? '')).toMatchObject({ status: 'COMPLETED' });
  }, 60_000);

  it('reports an unknown job, and one that has not ended, with what to do', async () => {
    const unknown = '00000000-0000-4000-8000-000000000000';
    expect(await qwenEdit('retry', unknown)).toMatchObject({ code: 1, err: `Job not found: ${unknown}\n` });
    const id = await submit(rig, { steps: 100 });
    const { code, err } = await qwenEdit('retry', id);
    expect([code, err]).toEqual([1, expect.stringContaining(`qwen-edit watch ${id}`)]);
    await qwenEdit('cancel', id);
    expect(await qwenEdit('retry', id, '--open')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--out'),
    });
  }, 60_000);
});

describe('qwen-edit delete', () => {
  it('asks on a terminal, and does not with --yes', async () => {
    const id = await submit(rig);
    await waitForEnd(rig.url, id);
    const question = 'Delete the job and its images? [y/N]';
    const no = await onTerminal(['delete', id], { after: question, keys: '\n' });
    expect([no.code, no.lines.at(-1)]).toEqual([1, 'Nothing was deleted']);
    expect((await fetch(`${rig.url}/status/${id}`)).status).toBe(200);
    const yes = await onTerminal(['delete', id], { after: question, keys: 'y\n' });
    expect([yes.code, yes.lines.at(-1)]).toEqual([0, `${id}  deleted`]);
    const other = await submit(rig);
    const quick = await onTerminal(['delete', '--yes', other]);
    expect([quick.code, quick.lines]).toEqual([0, [`${other}  deleted`]]);
  }, 60_000);

  it('does not ask in a script, stops a running job, and reports each unknown one', async () => {
    const id = await submit(rig, { steps: 100 });
    const unknown = '00000000-0000-4000-8000-000000000000';
    const { code, out, err } = await qwenEdit('delete', id, unknown);
    expect({ code, out, err }).toEqual({
      code: 1,
      out: `${id}  deleted\n`,
      err: `${unknown}  Job not found\n`,
    });
    expect((await fetch(`${rig.url}/status/${id}`)).status).toBe(404);
  }, 60_000);
});
