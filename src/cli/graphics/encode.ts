import { type Thumbnail, toJpeg, toPng } from './picture.ts';
import type { Protocol } from './protocol.ts';

/** A chunk's largest payload in kitty's protocol (kitty documentation, "The terminal graphics protocol": 4096 bytes). */
const KITTY_CHUNK = 4096;

/**
 * The escape sequences that draw a picture from the cursor's cell on, `rows` cells high. The picture's bytes are in them
 * as base64 or as sixels, never as they are. `id` (1 to 2^32-1) names the picture in kitty's protocol: a later one of
 * the same id takes the place of the former.
 */
export async function encodePicture(
  protocol: Protocol,
  picture: Thumbnail,
  rows: number,
  id: number,
): Promise<string> {
  switch (protocol) {
    case 'kitty':
      return kitty((await toPng(picture)).toString('base64'), rows, id);
    case 'iterm':
      return iterm(await toJpeg(picture), rows);
    case 'sixel': {
      const { image2sixel } = await import('sixel');
      return image2sixel(picture.rgba, picture.width, picture.height);
    }
    default:
      return protocol satisfies never;
  }
}

/** Transmit and show (a=T) a PNG (f=100) without an answer (q=2) and without moving the cursor (C=1). */
function kitty(payload: string, rows: number, id: number): string {
  let text = '';
  for (let at = 0; at < payload.length; at += KITTY_CHUNK) {
    const more = at + KITTY_CHUNK < payload.length ? 1 : 0;
    const control = at === 0 ? `a=T,f=100,i=${id},p=1,r=${rows},C=1,q=2,m=${more}` : `m=${more},q=2`;
    text += `\x1b_G${control};${payload.slice(at, at + KITTY_CHUNK)}\x1b\\`;
  }
  return text;
}

/** OSC 1337 ; File (iTerm2 documentation, "Inline Images Protocol"), which WezTerm, Konsole, mintty and others take. */
function iterm(file: Buffer, rows: number): string {
  const settings = `inline=1;size=${file.length};height=${rows};width=auto;preserveAspectRatio=1`;
  return `\x1b]1337;File=${settings}:${file.toString('base64')}\x07`;
}
