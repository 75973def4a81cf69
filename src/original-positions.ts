import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Replaces positions in a stack by those in the sources. */
export type Positions = (stack: string) => string;

/** A position in a bundle of the gateway. */
const BUNDLED = /(file:\/\/[^\s()]+\/dist\/server\/[^\s():/]+\.js):(\d+):(\d+)/g;

/**
 * Positions by the source maps beside the bundle; a stack of the sources stays as it is. Maps are read when a stack is printed:
 * with --enable-source-maps Node reads them with the code, a third of the time of a start, and a hook for stacks runs for each
 * stream that ends with an error.
 */
export function originalPositions(): Positions {
  const maps = new Map<string, SourceMap | null>();
  const mapOf = (url: string): SourceMap | null => {
    const known = maps.get(url);
    if (known !== undefined) return known;
    const map = readMap(url);
    maps.set(url, map);
    return map;
  };
  return stack =>
    stack.replace(BUNDLED, (text, url: string, line: string, column: string) => {
      // Positions in stacks start at 1, those of a map at 0.
      const entry = mapOf(url)?.findEntry(Number(line) - 1, Number(column) - 1);
      // One of an earlier line belongs to other code: packages have none.
      if (entry === undefined || !('originalSource' in entry) || entry.generatedLine !== Number(line) - 1) {
        return text;
      }
      const source = fileURLToPath(new URL(entry.originalSource, url));
      return `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
    });
}

/** Has Node print the error that ends this process with the positions in the sources. */
export function printOriginalPositions(): void {
  process.on('uncaughtExceptionMonitor', error => {
    if (error instanceof Error && error.stack !== undefined) error.stack = originalPositions()(error.stack);
  });
}

/** The map of a file; null when none can be read: the stack then names the file itself. */
function readMap(url: string): SourceMap | null {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${fileURLToPath(url)}.map`, 'utf8')));
  } catch {
    return null;
  }
}
