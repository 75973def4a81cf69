import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * Has stack traces of this process name the sources of files that were bundled with a source map beside them. Maps are read
 * when a stack is: with --enable-source-maps Node reads them with the files, a third of the time of a start.
 */
export function showOriginalPositions(): void {
  const maps = new Map<string, SourceMap | null>();
  const mapOf = (url: string): SourceMap | null => {
    const known = maps.get(url);
    if (known !== undefined) return known;
    const map = readMap(url);
    maps.set(url, map);
    return map;
  };
  Error.prepareStackTrace = (error, frames) =>
    [headOf(error), ...frames.map(frame => positioned(frame, mapOf))].join('\n    at ');
}

function positioned(frame: NodeJS.CallSite, mapOf: (url: string) => SourceMap | null): string {
  const url = frame.getScriptNameOrSourceURL();
  const line = frame.getLineNumber();
  const column = frame.getColumnNumber();
  const text = String(frame);
  if (url?.startsWith('file:') !== true || line === null || column === null) return text;
  // Positions in frames start at 1, those of `findEntry` at 0.
  const entry = mapOf(url)?.findEntry(line - 1, column - 1);
  // One of an earlier line belongs to other code: packages have none.
  if (entry === undefined || !('originalSource' in entry) || entry.generatedLine !== line - 1) return text;
  const source = fileURLToPath(new URL(entry.originalSource, url));
  return text.replace(
    `${url}:${line}:${column}`,
    `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`,
  );
}

/** The map of a file; null when there is none that can be read: the stack then names the file itself. */
function readMap(url: string): SourceMap | null {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${fileURLToPath(url)}.map`, 'utf8')));
  } catch {
    return null;
  }
}

/** As in stacks without this: an error whose message cannot be read has none. */
function headOf(error: Error): string {
  try {
    return Error.prototype.toString.call(error);
  } catch {
    return 'Error';
  }
}
