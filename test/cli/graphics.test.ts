import sharp from 'sharp';
import { decode } from 'sixel';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { chooseProtocol, createPane, PROTOCOLS, type Protocol } from '../../src/cli/graphics.ts';
import { shownImages, withoutImages } from '../support/clients/cli.ts';

const TTY = { isTTY: true };
const PIPE = {};

describe('chooseProtocol', () => {
  // Hides the terminal that the tests run in.
  beforeEach(() => {
    const names = Object.keys(process.env).filter(name =>
      /TERM|TMUX|^STY$|ZELLIJ|KITTY|GHOSTTY|KONSOLE/.test(name),
    );
    for (const name of names) vi.stubEnv(name, undefined);
    return () => {
      vi.unstubAllEnvs();
    };
  });

  function choose(
    environment: Record<string, string>,
    choice: Parameters<typeof chooseProtocol>[0] = 'auto',
  ) {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
    return chooseProtocol(choice, { stdout: TTY, stderr: TTY });
  }

  it.each<[string, Record<string, string>, Protocol | null]>([
    ['kitty', { TERM: 'xterm-kitty' }, 'kitty'],
    ['Ghostty', { TERM: 'xterm-ghostty', TERM_PROGRAM: 'ghostty' }, 'kitty'],
    ['iTerm2', { TERM: 'xterm-256color', TERM_PROGRAM: 'iTerm.app', TERM_PROGRAM_VERSION: '3.6.1' }, 'iterm'],
    ['WezTerm', { TERM_PROGRAM: 'WezTerm', TERM_PROGRAM_VERSION: '20240203-110809-5046fc22' }, 'iterm'],
    ['Konsole', { KONSOLE_VERSION: '230804' }, 'iterm'],
    ['foot', { TERM: 'foot' }, 'sixel'],
    ['mlterm', { TERM: 'mlterm' }, 'sixel'],
    ['a terminal without graphics', { TERM: 'xterm-256color' }, null],
    ['Terminal.app', { TERM: 'xterm-256color', TERM_PROGRAM: 'Apple_Terminal' }, null],
    ['a dumb terminal', { TERM: 'dumb', KITTY_WINDOW_ID: '1' }, null],
    ['tmux in kitty', { TERM: 'tmux-256color', TMUX: '/tmp/tmux-1/default,1,0', KITTY_WINDOW_ID: '1' }, null],
    ['screen in kitty', { TERM: 'screen.xterm-kitty', STY: '1.pts-0', KITTY_WINDOW_ID: '1' }, null],
    ['tmux over ssh', { TERM: 'screen-256color', LC_TERMINAL: 'iTerm2' }, null],
    ['zellij in WezTerm', { TERM_PROGRAM: 'WezTerm', ZELLIJ: '0' }, null],
  ])('detects %s', (_, environment, protocol) => {
    expect(choose(environment)).toBe(protocol);
  });

  it('follows an explicit choice', () => {
    expect(choose({ TERM: 'xterm-kitty' }, 'never')).toBeNull();
    expect(choose({ TERM: 'xterm-kitty' }, 'sixel')).toBe('sixel');
    expect(choose({ TERM: 'tmux-256color', TMUX: 'x' }, 'iterm')).toBe('iterm');
  });

  it('requires a terminal, and for auto one that is not shared with a pipe', () => {
    vi.stubEnv('TERM', 'xterm-kitty');
    expect(chooseProtocol('auto', { stdout: PIPE, stderr: TTY })).toBeNull();
    expect(chooseProtocol('auto', { stdout: TTY, stderr: PIPE })).toBeNull();
    expect(chooseProtocol('kitty', { stdout: PIPE, stderr: TTY })).toBe('kitty');
    expect(chooseProtocol('kitty', { stdout: TTY, stderr: PIPE })).toBeNull();
  });
});

describe('createPane', () => {
  function terminal(columns = 100, rows = 30) {
    const written: string[] = [];
    return { columns, rows, written, write: (text: string) => written.push(text) };
  }

  function makeImage(width: number, height: number, background = '#c04010'): Promise<Buffer> {
    return sharp({ create: { width, height, channels: 3, background } })
      .png()
      .toBuffer();
  }

  it.each(PROTOCOLS)('draws an image by %s in a single write', async protocol => {
    const screen = terminal();
    await createPane(screen, protocol).draw(await makeImage(400, 300));
    expect(screen.written).toHaveLength(1);
    const text = screen.written[0] ?? '';
    const shown = shownImages(text);
    expect(shown).toMatchObject([{ protocol }]);
    const { width, height, rgb } = await pixelOf(protocol, shown[0]?.payload ?? '');
    expect(width / height).toBeCloseTo(4 / 3, 1);
    for (const [channel, value] of [0xc0, 0x40, 0x10].entries()) {
      // Sixels have a hundred steps per colour, and JPEG is lossy.
      expect(Math.abs((rgb[channel] ?? 0) - value)).toBeLessThanOrEqual(4);
    }
    // Makes room of 14 rows, draws at its top, and returns to the line of the bar.
    expect(withoutImages(text)).toMatch(
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the test matches escape sequences
      /^\x1b\[\?2026h\r\x1b\[2K\n{14}\r\x1b7\x1b\[14A(\x1b\[2K\n){14}\x1b\[14A\x1b\[2C<image>\x1b8\x1b\[\?2026l$/,
    );
  });

  it('draws the next image in place of the first', async () => {
    const screen = terminal();
    const pane = createPane(screen, 'kitty');
    await pane.draw(await makeImage(400, 300));
    await pane.draw(await makeImage(400, 300, 'blue'));
    const [first = '', second = ''] = screen.written;
    expect(withoutImages(second)).not.toContain('\n\n');
    const idOf = (text: string) => shownImages(text)[0]?.settings.i;
    expect(Number(idOf(second))).toBeGreaterThan(0);
    expect(idOf(second)).toBe(idOf(first));
    const other = terminal();
    await createPane(other, 'kitty').draw(await makeImage(400, 300));
    expect(idOf(other.written[0] ?? '')).not.toBe(idOf(first));
  });

  it('takes fewer rows for a wide image, and none on a small screen', async () => {
    const narrow = terminal(40, 30);
    await createPane(narrow, 'kitty').draw(await makeImage(1200, 200));
    expect(shownImages(narrow.written[0] ?? '')[0]?.settings.r).toBe('3');
    const low = terminal(80, 7);
    await createPane(low, 'kitty').draw(await makeImage(400, 300));
    expect(low.written).toEqual([]);
  });

  it('writes nothing for bytes that are no image', async () => {
    const screen = terminal();
    const pane = createPane(screen, 'iterm');
    await expect(pane.draw(Buffer.from('\x1b]0;mine\x07 not an image'))).rejects.toThrow();
    expect(screen.written).toEqual([]);
  });
});

/** The size of an image as the terminal got it, and the colour of its centre. */
async function pixelOf(protocol: Protocol, payload: string) {
  if (protocol === 'sixel') {
    const { width, height, data32 } = decode(payload.slice(payload.indexOf('q') + 1));
    const pixel = data32[Math.floor(height / 2) * width + Math.floor(width / 2)] ?? 0;
    return { width, height, rgb: [pixel & 0xff, (pixel >> 8) & 0xff, (pixel >> 16) & 0xff] };
  }
  const bytes = Buffer.from(payload, 'base64');
  const { data, info } = await sharp(bytes).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const at = (Math.floor(info.height / 2) * info.width + Math.floor(info.width / 2)) * 3;
  return { width: info.width, height: info.height, rgb: [...data.subarray(at, at + 3)] };
}
