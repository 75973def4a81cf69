import { randomInt } from 'node:crypto';
import { encodePicture } from './encode.ts';
import { toThumbnail } from './picture.ts';
import type { Protocol } from './protocol.ts';

/** A place for one picture right above the line of the cursor. */
export interface Pane {
  /**
   * Draws the picture in the place of the one before; makes the place first, which moves the cursor's line down. Nothing
   * is drawn on a screen too small for it. The cursor ends at the start of its line. Rejects for bytes that are no
   * picture.
   */
  draw(bytes: Uint8Array): Promise<void>;
}

/** Rows that a picture has at most: a screen of 24 has room for what was typed before. */
const MOST_ROWS = 14;
const FEWEST_ROWS = 4;
/** Rows that stay free for the bar and what follows it. */
const OTHER_ROWS = 4;
const INDENT = 2;

/** How a cell's height compares with its width, about; few fonts are narrower. */
const CELL_ASPECT = 2;

/**
 * Pixels drawn for a row. A terminal scales the first two to the rows asked for, so more pixels are only finer; sixels
 * are drawn as they are, and cells are hardly ever less high than this.
 */
const PIXELS_A_ROW: Readonly<Record<Protocol, number>> = { kitty: 28, iterm: 28, sixel: 12 };

// ECMA-48 control sequences, and the private modes of DEC and of synchronised output, which others ignore.
const BEGIN = '\x1b[?2026h';
const END = '\x1b[?2026l';
const SAVE = '\x1b7';
const RESTORE = '\x1b8';
const ERASE_LINE = '\x1b[2K';
const up = (rows: number): string => `\x1b[${rows}A`;

/**
 * Makes a pane on a terminal. Each drawing is one write, so that nothing else comes between. The cursor's line is saved
 * anew by each, since making the place may scroll the screen: what saved it before finds it where it is now.
 */
export function createPane(
  terminal: { readonly columns?: number; readonly rows?: number; write(text: string): unknown },
  protocol: Protocol,
): Pane {
  // Another one than that of the picture that the last command left on the screen.
  const id = randomInt(1, 2 ** 32 - 1);
  let place: number | null = null;
  return {
    async draw(bytes) {
      // A terminal that does not know its size says 0.
      const columns = (terminal.columns || 80) - 2 * INDENT;
      const free = Math.min(MOST_ROWS, (terminal.rows || 24) - OTHER_ROWS);
      if (free < (place ?? FEWEST_ROWS)) return;
      const most = place ?? free;
      const dots = PIXELS_A_ROW[protocol];
      const box = { width: Math.max(1, Math.floor((columns * dots) / CELL_ASPECT)), height: most * dots };
      const picture = await toThumbnail(bytes, box);
      const rows = Math.max(1, Math.min(most, Math.ceil(picture.height / dots)));
      const sequences = await encodePicture(protocol, picture, rows, id);
      const room = place === null ? `\r${ERASE_LINE}${'\n'.repeat(rows)}` : '';
      place ??= rows;
      const erase = `${ERASE_LINE}\n`.repeat(place);
      terminal.write(
        `${BEGIN}${room}\r${SAVE}${up(place)}${erase}${up(place)}\x1b[${INDENT}C${sequences}${RESTORE}${END}`,
      );
    },
  };
}
