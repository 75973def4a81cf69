import { settings } from '../config/settings.ts';
import type { Config } from '../config.ts';

/** SQLite's primary result codes (https://sqlite.org/rescode.html). */
const SQLITE = { READONLY: 8, IOERR: 10, CORRUPT: 11, FULL: 13, CANTOPEN: 14, NOTADB: 26 } as const;

/**
 * Why the gateway could not start, where a setting can change it: one line with the setting, what is wrong and what to do. Null
 * for an error that no setting explains.
 */
export function startFault(error: unknown, config: Config): string | null {
  if (!(error instanceof Error)) return null;
  // Those of REDIS_URL and WORKFLOW name it themselves.
  const [name = ''] = error.message.split(': ', 1);
  if (Object.hasOwn(settings, name)) return error.message;
  if ('syscall' in error && error.syscall === 'listen') return listenFault(error, config);
  const text = fileFault(error);
  return text === null ? null : `DATA_DIR: ${config.DATA_DIR} ${text}`;
}

function listenFault(error: Error & { code?: unknown; port?: unknown }, config: Config): string | null {
  const { HOST, PORT, METRICS_PORT } = config;
  const [name, port] = error.port === METRICS_PORT ? ['METRICS_PORT', METRICS_PORT] : ['PORT', PORT];
  switch (error.code) {
    case 'EADDRINUSE':
      return `${name}: ${port} is in use by another program; set ${name} to another port, or to 0 for a free one`;
    case 'EACCES':
      return `${name}: ${port} may not be used without privileges; set ${name} to 1024 or more`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `HOST: ${HOST} is not an address of this machine; 0.0.0.0 or :: listens on all of them`;
    default:
      return null;
  }
}

function fileFault(error: Error & { code?: unknown; errcode?: unknown }): string | null {
  switch (error.code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return 'cannot be written; give its folder to the user of the gateway, or set DATA_DIR to another one';
    case 'ENOTDIR':
    case 'EEXIST':
      return 'is not a folder; set DATA_DIR to one';
    case 'ENOSPC':
    case 'EDQUOT':
      return 'has no space left; free some, or set DATA_DIR to another disk';
    case 'ERR_SQLITE_ERROR':
      return sqliteFault(Number(error.errcode) & 0xff);
    default:
      return null;
  }
}

function sqliteFault(code: number): string | null {
  switch (code) {
    case SQLITE.CORRUPT:
    case SQLITE.NOTADB:
      return 'has a jobs.sqlite that is damaged; restore a backup, or move jobs.sqlite away to start without its jobs';
    case SQLITE.FULL:
      return 'has no space left; free some, or set DATA_DIR to another disk';
    case SQLITE.READONLY:
    case SQLITE.CANTOPEN:
    case SQLITE.IOERR:
      return 'cannot be written; give its files to the user of the gateway, or set DATA_DIR to another folder';
    default:
      return null;
  }
}
