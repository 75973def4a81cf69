import { randomInt } from 'node:crypto';
import type { Sharp } from 'sharp';
import { createSupportsTerminalGraphics } from 'supports-terminal-graphics';

/** The protocols by which terminals show images. */
export const PROTOCOLS = ['kitty', 'iterm', 'sixel'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** The values of `--preview`. Naming a protocol is for a terminal that does not announce what it supports. */
export const PREVIEW_CHOICES = ['auto', ...PROTOCOLS, 'never'] as const;
export type PreviewChoice = (typeof PREVIEW_CHOICES)[number];

/**
 * How to show images on standard error, by what the environment says of the terminal; null for not at all, as anywhere
 * but on a terminal. `auto` also requires that standard output is a terminal, since the reader of a pipe may own the
 * screen, and that there is no multiplexer: tmux, screen and zellij draw the screen themselves and pass images on only
 * in some versions and settings.
 */
export function chooseProtocol(
  choice: PreviewChoice,
  { stderr, stdout }: Readonly<Record<'stderr' | 'stdout', { readonly isTTY?: boolean }>>,
): Protocol | null {
  if (stderr.isTTY !== true || choice === 'never') return null;
  if (choice !== 'auto') return choice;
  const { TERM = '', TMUX, STY, ZELLIJ } = process.env;
  const isMultiplexed = [TMUX, STY, ZELLIJ].some(Boolean) || /^(screen|tmux)/.test(TERM);
  if (stdout.isTTY !== true || TERM === 'dumb' || isMultiplexed) return null;
  const { kitty, iterm2, sixel } = createSupportsTerminalGraphics({ isTTY: true });
  // Of several, prefer the one by which the terminal keeps no images apart from its cells.
  if (iterm2) return 'iterm';
  if (kitty) return 'kitty';
  // foot names itself in TERM alone (foot(1), "Environment").
  return sixel || /^foot(-|$)/.test(TERM) ? 'sixel' : null;
}

/** A place for one image, right above the line of the cursor. */
export interface Pane {
  /**
   * Draws the image in place of the one before. The first call makes the place, which moves the cursor's line down. Draws
   * nothing on a screen that is too small. Leaves the cursor at the start of its line. Rejects for bytes that are no image.
   */
  draw(bytes: Uint8Array): Promise<void>;
}

/** Rows of an image at most: on a screen of 24 rows, some of what was typed before stays visible. */
const MOST_ROWS = 14;
const FEWEST_ROWS = 4;
/** Rows kept free for the bar and what follows it. */
const OTHER_ROWS = 4;
const INDENT = 2;

/** The height of a cell over its width, roughly; few fonts are narrower. */
const CELL_ASPECT = 2;

/**
 * Pixels drawn per row. With kitty and iTerm the terminal scales to the requested rows, so more pixels are only finer.
 * Sixels are drawn as they are, and cells are hardly ever less high than this.
 */
const PIXELS_PER_ROW: Readonly<Record<Protocol, number>> = { kitty: 28, iterm: 28, sixel: 12 };

// ECMA-48 control sequences, and the private modes of DEC and of synchronised output, which other terminals ignore.
const BEGIN = '\x1b[?2026h';
const END = '\x1b[?2026l';
const SAVE = '\x1b7';
const RESTORE = '\x1b8';
const ERASE_LINE = '\x1b[2K';
const up = (rows: number): string => `\x1b[${rows}A`;

/**
 * Makes a pane on a terminal. Each drawing is a single write, so that no other output comes between. Each saves the
 * cursor's position anew, because making the place may scroll the screen.
 */
export function createPane(
  terminal: { readonly columns?: number; readonly rows?: number; write(text: string): unknown },
  protocol: Protocol,
): Pane {
  // Random, so that it does not replace the image that the last command left on the screen.
  const id = randomInt(1, 2 ** 32 - 1);
  let place: number | null = null;
  return {
    async draw(bytes) {
      // A terminal that does not know its size reports 0.
      const columns = (terminal.columns || 80) - 2 * INDENT;
      const free = Math.min(MOST_ROWS, (terminal.rows || 24) - OTHER_ROWS);
      if (free < (place ?? FEWEST_ROWS)) return;
      const most = place ?? free;
      const dots = PIXELS_PER_ROW[protocol];
      const box = { width: Math.max(1, Math.floor((columns * dots) / CELL_ASPECT)), height: most * dots };
      const thumbnail = await makeThumbnail(bytes, box);
      const rows = Math.max(1, Math.min(most, Math.ceil(thumbnail.height / dots)));
      const sequences = await encode(protocol, thumbnail, rows, id);
      const room = place === null ? `\r${ERASE_LINE}${'\n'.repeat(rows)}` : '';
      place ??= rows;
      const erase = `${ERASE_LINE}\n`.repeat(place);
      terminal.write(
        `${BEGIN}${room}\r${SAVE}${up(place)}${erase}${up(place)}\x1b[${INDENT}C${sequences}${RESTORE}${END}`,
      );
    },
  };
}

/** An image in the size of the pane: four bytes per pixel (red, green, blue, alpha), row by row. */
interface Thumbnail {
  readonly rgba: Buffer;
  readonly width: number;
  readonly height: number;
}

/** More than any workflow makes. A file of a few bytes can claim dimensions that fill the memory. */
const MAX_PIXELS = 100_000_000;

/** Loads sharp only when images are shown: it takes longer than most commands. */
export const loadSharp = async () => (await import('sharp')).default;

/** Reads an image of any format and scales it to fit. Rejects for bytes that are no image. */
async function makeThumbnail(
  bytes: Uint8Array,
  fit: { readonly width: number; readonly height: number },
): Promise<Thumbnail> {
  const sharp = await loadSharp();
  const { data: rgba, info } = await sharp(bytes, { limitInputPixels: MAX_PIXELS, pages: 1 })
    .autoOrient()
    .resize({ ...fit, fit: 'inside' })
    .toColourspace('srgb')
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { rgba, width: info.width, height: info.height };
}

/**
 * The escape sequences that draw an image from the cursor's cell on, `rows` cells high. They hold its bytes only as
 * base64 or as sixels. `id` (1 to 2^32-1) names the image in kitty's protocol: a later one of the same id replaces it.
 */
async function encode(
  protocol: Protocol,
  { rgba, width, height }: Thumbnail,
  rows: number,
  id: number,
): Promise<string> {
  const raw = async (): Promise<Sharp> => (await loadSharp())(rgba, { raw: { width, height, channels: 4 } });
  switch (protocol) {
    case 'kitty': {
      // At most 256 colours make a third of the size.
      const png = await (await raw()).png({ palette: true, effort: 3 }).toBuffer();
      return kitty(png.toString('base64'), rows, id);
    }
    case 'iterm':
      return iterm(
        await (await raw()).flatten({ background: 'black' }).jpeg({ quality: 85 }).toBuffer(),
        rows,
      );
    case 'sixel': {
      const { image2sixel } = await import('sixel');
      return image2sixel(rgba, width, height);
    }
    default:
      return protocol satisfies never;
  }
}

/** The largest payload of a chunk (kitty documentation, "The terminal graphics protocol"). */
const KITTY_CHUNK = 4096;

/** Transmits and shows (a=T) a PNG (f=100) without a response (q=2) and without moving the cursor (C=1). */
function kitty(payload: string, rows: number, id: number): string {
  let text = '';
  for (let at = 0; at < payload.length; at += KITTY_CHUNK) {
    const more = at + KITTY_CHUNK < payload.length ? 1 : 0;
    const control = at === 0 ? `a=T,f=100,i=${id},p=1,r=${rows},C=1,q=2,m=${more}` : `m=${more},q=2`;
    text += `\x1b_G${control};${payload.slice(at, at + KITTY_CHUNK)}\x1b\\`;
  }
  return text;
}

/** OSC 1337 ; File (iTerm2 documentation, "Inline Images Protocol"), also supported by WezTerm, Konsole, mintty and others. */
function iterm(file: Buffer, rows: number): string {
  const settings = `inline=1;size=${file.length};height=${rows};width=auto;preserveAspectRatio=1`;
  return `\x1b]1337;File=${settings}:${file.toString('base64')}\x07`;
}
