import type { Log } from '../../src/log.ts';

export interface LogLine {
  readonly level: keyof Log;
  readonly message: string;
  readonly fields: object;
}

/** A log that is kept to be looked at. */
export function collectLog(): { log: Log; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: keyof Log) => (fields: object, message: string) => {
    lines.push({ level, message, fields });
  };
  return { log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }, lines };
}
