import type { Log } from '../../src/log.ts';

export interface LogLine {
  readonly level: keyof Log;
  readonly message: string;
  readonly fields: object;
}

/** A log that keeps its lines, of every level. */
export interface RecordedLog extends Log {
  readonly lines: LogLine[];
  /** Whether a line of this level has this text in its message. */
  has(level: keyof Log, text: string): boolean;
}

/** Makes an empty one. */
export function recordLog(): RecordedLog {
  const lines: LogLine[] = [];
  const at = (level: keyof Log) => (fields: object, message: string) => {
    lines.push({ level, message, fields });
  };
  return {
    lines,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    has: (level, text) => lines.some(line => line.level === level && line.message.includes(text)),
  };
}
