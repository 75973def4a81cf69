import { createSupportsTerminalGraphics } from 'supports-terminal-graphics';

/** How a terminal takes pictures. */
export const PROTOCOLS = ['kitty', 'iterm', 'sixel'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** What `--preview` takes: a protocol is for a terminal that does not say what it can. */
export const PREVIEW_CHOICES = ['auto', ...PROTOCOLS, 'never'] as const;
export type PreviewChoice = (typeof PREVIEW_CHOICES)[number];

/** The standard streams, as far as the choice depends on them; pictures and the bar go to `stderr`. */
export interface Streams {
  readonly stderr: { readonly isTTY?: boolean };
  readonly stdout: { readonly isTTY?: boolean };
}

/**
 * How to show pictures on standard error, by what the environment says of the terminal; null for not at all. Never
 * elsewhere than on a terminal. `auto` also wants standard output to be one, since what reads a pipe may own the screen,
 * and no multiplexer in between: tmux, screen and zellij each draw the screen themselves and pass pictures on in some
 * versions and settings only.
 */
export function chooseProtocol(choice: PreviewChoice, { stderr, stdout }: Streams): Protocol | null {
  if (stderr.isTTY !== true || choice === 'never') return null;
  if (choice !== 'auto') return choice;
  const { TERM = '' } = process.env;
  if (stdout.isTTY !== true || TERM === 'dumb' || isMultiplexed(TERM)) return null;
  const { kitty, iterm2, sixel } = createSupportsTerminalGraphics({ isTTY: true });
  // Where a terminal has several: the one that keeps no pictures of its own apart from the cells.
  if (iterm2) return 'iterm';
  if (kitty) return 'kitty';
  return sixel || isFoot(TERM) ? 'sixel' : null;
}

function isMultiplexed(term: string): boolean {
  const { TMUX, STY, ZELLIJ } = process.env;
  return (
    [TMUX, STY, ZELLIJ].some(value => value !== undefined && value !== '') || /^(screen|tmux)/.test(term)
  );
}

/** foot names itself in TERM alone (foot(1), "Environment"). */
function isFoot(term: string): boolean {
  return /^foot(-|$)/.test(term);
}
