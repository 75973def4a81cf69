import { existsSync, renameSync, rmSync } from 'node:fs';

/**
 * Calls `build` with a folder to write, and only then puts it in the place of `dir`, from which gateways may be starting. Of
 * processes that build at the same time the last one stays. Rejects when `build` does, and leaves `dir` as it was.
 */
export async function buildInto(dir: string, build: (made: string) => Promise<void>): Promise<void> {
  const made = `${dir}-${process.pid}`;
  const old = `${made}-old`;
  try {
    await build(made);
    while (existsSync(made)) {
      move(dir, old, 'ENOENT');
      // Another process may have put its own there since.
      move(made, dir, 'ENOTEMPTY', 'EEXIST');
      rmSync(old, { recursive: true, force: true });
    }
  } finally {
    for (const left of [made, old]) rmSync(left, { recursive: true, force: true });
  }
}

function move(from: string, to: string, ...ignored: readonly string[]): void {
  try {
    renameSync(from, to);
  } catch (error) {
    const isIgnored = error instanceof Error && 'code' in error && ignored.some(code => code === error.code);
    if (!isIgnored) throw error;
  }
}
