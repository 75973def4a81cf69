import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { release } from 'node:os';
import { withDeadline } from '../concurrency/deadline.ts';

/** How long a desktop's opener gets to report that it found no program, in milliseconds. */
const OPENER_MS = 2_000;

/**
 * Opens a URL, or a file by its absolute path, with the desktop's program for it. Resolves with null once that program has it,
 * otherwise with the reason why not.
 */
export async function openOnDesktop(target: string): Promise<string | null> {
  try {
    const { command, argument, reports } = openerOf(target);
    const opener = spawn(command, [argument], { stdio: 'ignore', detached: true });
    // An opener that fails exits within this time; one that is still running is the program itself.
    await withDeadline(once(opener, 'exit'), OPENER_MS, () => null);
    opener.unref();
    if (!reports || opener.exitCode === null || opener.exitCode === 0) return null;
    return 'there is no desktop here, or it has no program for it';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

interface Opener {
  readonly command: string;
  readonly argument: string;
  /** Whether its exit code says if it found a program: Explorer exits with 1 always. */
  readonly reports: boolean;
}

/** None of them is a shell, so no character of a name means anything to it. */
function openerOf(target: string): Opener {
  if (process.platform === 'darwin') return { command: 'open', argument: target, reports: true };
  if (process.platform === 'win32') return { command: 'explorer.exe', argument: target, reports: false };
  // Linux in Windows has the desktop of Windows.
  if (process.platform === 'linux' && /microsoft/i.test(release())) {
    const argument = URL.canParse(target) ? target : windowsPath(target);
    return { command: 'explorer.exe', argument, reports: false };
  }
  return { command: 'xdg-open', argument: target, reports: true };
}

function windowsPath(path: string): string {
  return execFileSync('wslpath', ['-w', path], { encoding: 'utf8' }).trim();
}
