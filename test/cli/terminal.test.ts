import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { qwenEdit, qwenEditOnTerminal, shownImages, withoutImages } from '../support/clients/cli.ts';
import { type Rig, startRig } from '../support/gateway.ts';

let rig: Rig;
let folder: string;
beforeAll(async () => {
  rig = await startRig({ SANDBOX_STEP: '100ms' });
  folder = await mkdtemp(join(tmpdir(), 'cli-terminal-'));
  const shape = { create: { width: 80, height: 60, channels: 3, background: 'green' } } as const;
  await writeFile(join(folder, 'photo.jpg'), await sharp(shape).jpeg().toBuffer());
});
afterAll(async () => {
  await rig.close();
  await rm(folder, { recursive: true });
});

const EDIT = ['edit', 'photo.jpg', '-p', 'x', '--megapixels', '0.25', '--steps', '8'];
const KITTY = { TERM: 'xterm-kitty' };
const ITERM = { TERM: 'xterm-256color', TERM_PROGRAM: 'iTerm.app', TERM_PROGRAM_VERSION: '3.5.0' };

function onTerminal(words: readonly string[], environment: Record<string, string>, stdout?: string) {
  return qwenEditOnTerminal(
    words,
    { QWEN_EDIT_URL: rig.url, ...environment },
    { cwd: folder, ...(stdout === undefined ? {} : { stdout }) },
  );
}

/** The mean of each channel, which an image keeps at another size. The sandbox gives every job another tint. */
async function look(bytes: Buffer): Promise<number[]> {
  const { channels } = await sharp(await sharp(bytes).removeAlpha().toBuffer()).stats();
  return channels.map(({ mean }) => mean);
}

describe('previews on a terminal', () => {
  it.each([
    ['kitty', KITTY],
    ['iterm', ITERM],
  ])('with %s graphics are above the bar, and so is the output image', async (protocol, terminal) => {
    const { code, screen } = await onTerminal([...EDIT, '-o', 'out.png'], terminal);
    expect(code).toBe(0);
    const shown = shownImages(screen);
    expect(new Set(shown.map(image => image.protocol))).toEqual(new Set([protocol]));
    expect(shown.length).toBeGreaterThanOrEqual(2);
    const last = Buffer.from(shown.at(-1)?.payload ?? '', 'base64');
    const saved = await readFile(join(folder, 'out.png'));
    for (const [channel, mean] of (await look(saved)).entries()) {
      expect(Math.abs(((await look(last))[channel] ?? 0) - mean)).toBeLessThan(8);
    }
    // The rest is the bar, then the result.
    const text = withoutImages(screen);
    expect(text).toMatch(/100\.0 % {2}COMPLETED[^\n]*\r\nSaved out\.png\r\n$/);
    expect(text).not.toContain('1337');
    expect(text).not.toContain('\x1b_');
  });

  it.each<[string, Record<string, string>, string[]]>([
    ['without graphics', { TERM: 'xterm-256color' }, []],
    ['inside tmux', { ...KITTY, TERM: 'tmux-256color', TMUX: '/tmp/tmux-0/default,1,0' }, []],
    ['with --preview never', KITTY, ['--preview', 'never']],
    ['with QWEN_EDIT_PREVIEW=never', { ...KITTY, QWEN_EDIT_PREVIEW: 'never' }, []],
    ['with --json', KITTY, ['--json']],
  ])('%s are not drawn', async (_, terminal, words) => {
    const { code, screen } = await onTerminal([...EDIT, '--watch', ...words], terminal);
    expect(code).toBe(0);
    expect(screen).toContain(words.includes('--json') ? '"status":"COMPLETED"' : '100.0 %');
    expect(shownImages(screen)).toEqual([]);
  });

  it('are drawn while standard output is redirected only when requested', async () => {
    const words = [...EDIT, '-o', '-'];
    const quiet = await onTerminal(words, KITTY, 'piped.png');
    expect({ code: quiet.code, shown: shownImages(quiet.screen) }).toEqual({ code: 0, shown: [] });
    expect((await sharp(await readFile(join(folder, 'piped.png'))).metadata()).format).toBe('png');
    const asked = await onTerminal([...words, '--preview', 'kitty'], KITTY, 'piped.png');
    expect(shownImages(asked.screen).length).toBeGreaterThan(0);
    expect((await sharp(await readFile(join(folder, 'piped.png'))).metadata()).format).toBe('png');
  });

  it('end with Ctrl-C, which restores the cursor and wrapping, and prints how to continue', async () => {
    const { code, screen } = await qwenEditOnTerminal(
      [...EDIT.slice(0, -1), '60', '--watch'],
      { QWEN_EDIT_URL: rig.url, ...KITTY },
      // Which steps are drawn is a matter of time.
      { cwd: folder, typed: { after: 'step ', keys: '\x03' } },
    );
    expect(code).toBe(130);
    const text = withoutImages(screen);
    // The cursor (25) and wrapping (7): the bar turns both off (l), and the last change turns them on (h).
    for (const mode of [25, 7]) {
      expect(text).toContain(`\x1b[?${mode}l`);
      expect(text.lastIndexOf(`\x1b[?${mode}h`)).toBeGreaterThan(text.lastIndexOf(`\x1b[?${mode}l`));
    }
    const goesOn = /\r\nThe job goes on\.\r\n {2}qwen-edit watch (\S+)\r\n {2}qwen-edit cancel \1\r\n$/;
    expect(text).toMatch(goesOn);
    expect(text).not.toContain('100.0 %');
    // The next test needs the engine.
    await fetch(`${rig.url}/jobs/${goesOn.exec(text)?.[1]}`, { method: 'DELETE' });
  });

  it('are the only images on it: bytes are neither written to it nor read from it', async () => {
    const written = await onTerminal([...EDIT, '-o', '-'], KITTY);
    expect(written).toMatchObject({
      code: 2,
      screen: expect.stringContaining('Standard output is a terminal'),
    });
    const read = await onTerminal(['edit', '-', '-p', 'x'], KITTY);
    expect(read).toMatchObject({ code: 2, screen: expect.stringContaining('Standard input is a terminal') });
  });

  it('are drawn nowhere else', async () => {
    const words = [...EDIT, '--watch', '--preview', 'kitty'];
    const { code, out, err } = await qwenEdit(words, { QWEN_EDIT_URL: rig.url, ...KITTY }, { cwd: folder });
    expect(code).toBe(0);
    expect(shownImages(out + err)).toEqual([]);
  });
});
