/** A line of a terminal that is drawn again as something progresses. */
export interface Bar {
  /** Draws the bar soon: `share` of it, 0 to 1, is full, and `text` follows it. */
  show(share: number, text: string): void;
  /** Draws what was shown last and gives the terminal back. */
  done(): void;
}

export interface BarOptions {
  /** Whether `done` leaves nothing of it. */
  readonly clears?: boolean;
  /** Whether the caller handles SIGINT and SIGTERM and then calls `done`. If unset, the first signal only ends the bar. */
  readonly leavesSignals?: boolean;
  /** Whether to draw it again without a change, because other output shares its line. */
  readonly redraws?: boolean;
}

const WIDTH = 28;
/** Time between drawings, in milliseconds. */
const PAUSE_MS = 100;
// DEC private modes (https://vt100.net/docs/vt510-rm/DECTCEM.html, DECAWM): without wrapping, a line that is too long is cut.
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';
const CUT_LINES = '\x1b[?7l';
const WRAP_LINES = '\x1b[?7h';
const CLEAR_TO_END = '\x1b[K';

/** Starts a bar on a terminal. It hides the cursor until `done`. */
export function createBar(stream: NodeJS.WritableStream, options: BarOptions = {}): Bar {
  let line = lineOf(0, '');
  let drawn: string | null = null;
  let drawnAt = 0;
  const draw = (): void => {
    if (line === drawn && options.redraws !== true) return;
    stream.write(`\r${line}${CLEAR_TO_END}`);
    drawn = line;
    drawnAt = performance.now();
  };
  let timer: NodeJS.Timeout | null = setInterval(draw, PAUSE_MS);
  const done = (): void => {
    if (timer === null) return;
    clearInterval(timer);
    timer = null;
    process.removeListener('SIGINT', done);
    process.removeListener('SIGTERM', done);
    draw();
    stream.write(`${SHOW_CURSOR}${WRAP_LINES}${options.clears === true ? `\r${CLEAR_TO_END}` : '\n'}`);
  };
  if (options.leavesSignals !== true) {
    process.once('SIGINT', done);
    process.once('SIGTERM', done);
  }
  stream.write(`${HIDE_CURSOR}${CUT_LINES}`);
  draw();
  return {
    show(share, text) {
      line = lineOf(share, text);
      if (timer !== null && performance.now() - drawnAt >= PAUSE_MS) draw();
    },
    done,
  };
}

function lineOf(share: number, text: string): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * WIDTH);
  return `  ${'█'.repeat(full)}${'░'.repeat(WIDTH - full)}  ${text}`;
}
