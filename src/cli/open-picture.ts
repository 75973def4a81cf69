import { once } from 'node:events';
import { extname, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { CommandFailure } from './outcome.ts';
import { tell } from './output.ts';

/** How long a desktop's opener has to say that it found no program, in milliseconds. */
const OPENER_MS = 2_000;

const EXTENSIONS = ['.png', '.jpg', '.jpeg', '.webp'];

/** Whether the desktop takes a file of this name for a picture, and not for a program to run. */
function isPictureName(file: string): boolean {
  return EXTENSIONS.includes(extname(file).toLowerCase());
}

/**
 * Refuses `--open` where no file is written that is a picture by its name: the desktop chooses the program by that, and
 * the bytes come from elsewhere.
 */
export function checkOpens(open: boolean | undefined, out: string | undefined): void {
  if (open !== true || out === undefined) return;
  if (out === '-') throw new CommandFailure('--open needs a file: --out <file>', 2);
  if (!isPictureName(out)) {
    throw new CommandFailure(`--open needs a name that ends in ${EXTENSIONS.join(', ')}: ${out} does not`, 2);
  }
}

/**
 * Hands the file to the desktop's own program for pictures. Where there is none, or the file is not named as a picture,
 * it says so on standard error: the picture is there all the same.
 */
export async function openPicture(file: string): Promise<void> {
  const path = resolve(file);
  if (!isPictureName(path)) {
    tell(`${path} is not named as a picture: it was not opened`);
    return;
  }
  const problem = await launch(path);
  if (problem !== null) tell(`${path} was not opened: ${problem}`);
}

/** Null once a program has it; else what kept it from that. */
async function launch(path: string): Promise<string | null> {
  const { default: open } = await import('open');
  try {
    const opener = await open(path);
    if (opener.exitCode === null) {
      opener.ref();
      // Waited for as long as an opener takes that fails: one which is still there then is the viewer itself.
      await Promise.race([once(opener, 'exit'), setTimeout(OPENER_MS, null, { ref: false })]);
      opener.unref();
    }
    if (opener.exitCode === null || opener.exitCode === 0) return null;
    return 'there is no desktop here, or it has no program for pictures';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
