import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { qwenEdit, qwenEditOnTerminal } from '../support/clients/cli.ts';
import { shownPictures, withoutPictures } from '../support/clients/terminal.ts';
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

/** Each channel's mean, which a picture keeps at another size. The sandbox paints every job in another tint. */
async function look(bytes: Buffer): Promise<number[]> {
  const { channels } = await sharp(await sharp(bytes).removeAlpha().toBuffer()).stats();
  return channels.map(({ mean }) => mean);
}

describe('on a terminal', () => {
  it.each([
    ['kitty', KITTY],
    ['iterm', ITERM],
  ])(
    'that shows pictures as %s does, the previews and the result are above the bar',
    async (protocol, terminal) => {
      const { code, screen } = await onTerminal([...EDIT, '-o', 'out.png'], terminal);
      expect(code).toBe(0);
      const shown = shownPictures(screen);
      expect(new Set(shown.map(picture => picture.protocol))).toEqual(new Set([protocol]));
      expect(shown.length).toBeGreaterThanOrEqual(2);
      const last = Buffer.from(shown.at(-1)?.payload ?? '', 'base64');
      const saved = await readFile(join(folder, 'out.png'));
      for (const [channel, mean] of (await look(saved)).entries()) {
        expect(Math.abs(((await look(last))[channel] ?? 0) - mean)).toBeLessThan(8);
      }
      // Besides them there is the bar alone, to its end, and then what was done.
      const text = withoutPictures(screen);
      expect(text).toMatch(/100\.0 % {2}COMPLETED[^\n]*\r\nSaved out\.png\r\n$/);
      expect(text).not.toContain('1337');
      expect(text).not.toContain('\x1b_');
    },
  );

  it.each<[string, Record<string, string>, string[]]>([
    ['that is plain', { TERM: 'xterm-256color' }, []],
    ['inside tmux', { ...KITTY, TERM: 'tmux-256color', TMUX: '/tmp/tmux-0/default,1,0' }, []],
    ['with --preview never', KITTY, ['--preview', 'never']],
    ['with QWEN_EDIT_PREVIEW=never', { ...KITTY, QWEN_EDIT_PREVIEW: 'never' }, []],
    ['with --json', KITTY, ['--json']],
  ])('%s there are none', async (_, terminal, words) => {
    const { code, screen } = await onTerminal([...EDIT, '--watch', ...words], terminal);
    expect(code).toBe(0);
    expect(screen).toContain(words.includes('--json') ? '"status":"COMPLETED"' : '100.0 %');
    expect(shownPictures(screen)).toEqual([]);
  });

  it('whose output goes elsewhere there are none, unless they are asked for', async () => {
    const words = [...EDIT, '-o', '-'];
    const quiet = await onTerminal(words, KITTY, 'piped.png');
    expect({ code: quiet.code, shown: shownPictures(quiet.screen) }).toEqual({ code: 0, shown: [] });
    expect((await sharp(await readFile(join(folder, 'piped.png'))).metadata()).format).toBe('png');
    const asked = await onTerminal([...words, '--preview', 'kitty'], KITTY, 'piped.png');
    expect(shownPictures(asked.screen).length).toBeGreaterThan(0);
    expect((await sharp(await readFile(join(folder, 'piped.png'))).metadata()).format).toBe('png');
  });

  it('Ctrl-C ends the bar, gives the cursor back and says how to go on', async () => {
    const { code, screen } = await qwenEditOnTerminal(
      [...EDIT.slice(0, -1), '60', '--watch'],
      { QWEN_EDIT_URL: rig.url, ...KITTY },
      { cwd: folder, typed: { after: 'step 2/60', keys: '\x03' } },
    );
    expect(code).toBe(130);
    const text = withoutPictures(screen);
    expect(text.lastIndexOf('\x1b[?25h')).toBeGreaterThan(text.lastIndexOf('\x1b[?25l'));
    expect(text).toMatch(
      /\r\nThe job goes on\.\r\n {2}qwen-edit watch (\S+)\r\n {2}qwen-edit cancel \1\r\n$/,
    );
    expect(text).not.toContain('100.0 %');
  });

  it('no picture is written or read as its bytes', async () => {
    const written = await onTerminal([...EDIT, '-o', '-'], KITTY);
    expect(written).toMatchObject({
      code: 2,
      screen: expect.stringContaining('Standard output is a terminal'),
    });
    const read = await onTerminal(['edit', '-', '-p', 'x'], KITTY);
    expect(read).toMatchObject({ code: 2, screen: expect.stringContaining('Standard input is a terminal') });
  });

  it('and nowhere else there are pictures', async () => {
    const words = [...EDIT, '--watch', '--preview', 'kitty'];
    const { code, out, err } = await qwenEdit(words, { QWEN_EDIT_URL: rig.url, ...KITTY }, { cwd: folder });
    expect(code).toBe(0);
    expect(shownPictures(out + err)).toEqual([]);
  });
});
