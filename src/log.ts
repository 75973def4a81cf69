import { type DestinationStream, pino } from 'pino';
import { originalPositions, type Positions } from './original-positions.ts';

/** The part of pino that the project uses. Errors go into the field `err`. Prompts and URLs only at debug, secrets never. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Writes JSON lines to standard error, because commands print their results on standard output. */
export function createLog(level: string, destination: DestinationStream = standardError()): Log {
  const positions = originalPositions();
  return pino(
    { level, base: null, serializers: { err: (error: unknown) => describe(error, positions, 0) } },
    destination,
  );
}

/**
 * Writes lines for reading in a terminal. Resolves with null where the development dependency pino-pretty is not
 * installed.
 */
export async function createPrettyLog(
  level: string,
  destination: 2 | DestinationStream = 2,
): Promise<Log | null> {
  // A variable, so that neither the compiler nor a bundler needs the package.
  const name: string = 'pino-pretty';
  try {
    const { default: pretty }: { default(options: object): DestinationStream } = await import(name);
    return createLog(level, pretty({ destination, sync: true, translateTime: 'SYS:HH:MM:ss.l' }));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return null;
    throw error;
  }
}

function standardError(): DestinationStream {
  return pino.destination({ dest: 2, sync: true });
}

const MAX_CAUSES = 5;

/** Copies named properties only: others may hold secrets, as `command` of ioredis' errors does. */
function describe(error: unknown, positions: Positions, depth: number): object | string {
  if (!(error instanceof Error)) return String(error);
  const { name, message, stack, cause } = error;
  return {
    type: name,
    message,
    stack: stack === undefined ? stack : positions(stack),
    ...('code' in error ? { code: String(error.code) } : {}),
    ...(cause === undefined || depth === MAX_CAUSES ? {} : { cause: describe(cause, positions, depth + 1) }),
  };
}
