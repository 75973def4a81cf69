import type { Protocol } from '../../../src/cli/graphics.ts';

/** An image that was sent to a terminal. */
export interface Shown {
  readonly protocol: Protocol;
  /** Base64 for kitty and iterm; the sequence without its ends for sixel. */
  readonly payload: string;
  readonly settings: Readonly<Record<string, string>>;
}

// biome-ignore-start lint/suspicious/noControlCharactersInRegex: this module parses escape sequences
const KITTY = /(?:\x1b_G[^;\x1b]*;[A-Za-z0-9+/=]{1,4096}\x1b\\)+/;
const ITERM = /\x1b\]1337;File=[^:\x1b\x07]*:[A-Za-z0-9+/=]+\x07/;
const SIXEL = /\x1bP[0-9;]*q[\x20-\x7e\r\n]*\x1b\\/;
const IMAGE = new RegExp(`${KITTY.source}|${ITERM.source}|${SIXEL.source}`, 'g');

/** The images that a terminal got, matched by the strict form of each protocol. */
export function shownImages(text: string): Shown[] {
  return (text.match(IMAGE) ?? []).map(sequence => {
    if (sequence.startsWith('\x1bP'))
      return { protocol: 'sixel', payload: sequence.slice(2, -2), settings: {} };
    if (sequence.startsWith('\x1b]')) {
      const [, settings = '', payload = ''] = /File=([^:]*):(.*)\x07/.exec(sequence) ?? [];
      return { protocol: 'iterm', payload, settings: readSettings(settings.split(';')) };
    }
    const chunks = [...sequence.matchAll(/\x1b_G([^;]*);([^\x1b]*)/g)];
    return {
      protocol: 'kitty',
      payload: chunks.map(chunk => chunk[2] ?? '').join(''),
      settings: readSettings((chunks[0]?.[1] ?? '').split(',')),
    };
  });
}
// biome-ignore-end lint/suspicious/noControlCharactersInRegex: this module parses escape sequences

/** The same text with each image replaced by `<image>`. */
export function withoutImages(text: string): string {
  return text.replace(IMAGE, '<image>');
}

function readSettings(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map(word => word.split('=', 2)));
}
