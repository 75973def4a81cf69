import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** A disk with a job file. What was not flushed is in the kernel's memory only. */
export interface Disk {
  readonly path: string;
  /** For the ledger: the disk has what was written before. */
  sync(): Promise<void>;
  syncNow(): void;
  /** How often it was flushed. */
  readonly syncs: number;
  /** While true, it cannot be flushed. */
  fails: boolean;
  /** The file as it is after the power was cut. The file of steps is never flushed, so it may have any of its contents. */
  cut(path: string, steps?: CutSteps): Disk;
  /** The file as it is after its process was killed. */
  kill(path: string): Disk;
}

/** What a power cut leaves of the file of steps: nothing, what it had at the last flush, or all that was written. */
export const CUT_STEPS = ['none', 'earlier', 'all'] as const;
export type CutSteps = (typeof CUT_STEPS)[number];

/** The endings of the database's file, of its write-ahead log and of the file of steps. */
const FILES = ['', '-wal', '-steps'];

/** Begins with what is there. */
export function createDisk(path: string): Disk {
  const read = () => FILES.map(end => (existsSync(path + end) ? readFileSync(path + end) : null));
  let flushed = read();

  function copy(contents: ReturnType<typeof read>, to: string): Disk {
    mkdirSync(dirname(to), { recursive: true });
    for (const [index, content] of contents.entries()) {
      if (content !== null) writeFileSync(to + FILES[index], content);
    }
    return createDisk(to);
  }

  const disk = {
    path,
    syncs: 0,
    fails: false,
    async sync() {
      if (disk.fails) throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
      const written = read();
      await new Promise(setImmediate);
      flushed = written;
      disk.syncs += 1;
    },
    syncNow() {
      flushed = read();
      disk.syncs += 1;
    },
    cut(to: string, steps: CutSteps = 'none') {
      const kept = { none: null, earlier: flushed[2] ?? null, all: read()[2] ?? null }[steps];
      return copy([...flushed.slice(0, 2), kept], to);
    },
    kill: (to: string) => copy(read(), to),
  };
  return disk;
}
