import { pino } from 'pino';

/** The part of pino that the project uses. Prompts and URLs are logged at debug only, secrets never. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** JSON lines on standard error, so that standard output stays free for what a command prints. */
export function createLog(level: string): Log {
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }));
}
