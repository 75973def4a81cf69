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
  // A name to listen on is looked up first.
  if ('hostname' in error && error.hostname === config.HOST) return listenFault(error, config);
  return fileFault(error, config);
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

function fileFault(
  error: Error & { code?: unknown; errcode?: unknown; path?: unknown },
  config: Config,
): string | null {
  const { DATA_DIR, ARTIFACTS_URL } = config;
  const images = ARTIFACTS_URL?.kind === 'files' ? ARTIFACTS_URL.root : null;
  const [name, folder] =
    images !== null && error.path === images ? ['ARTIFACTS_URL', images] : ['DATA_DIR', DATA_DIR];
  const text = typeof error.code === 'string' ? folderFault(error.code, Number(error.errcode), name) : null;
  return text === null ? null : `${name}: ${folder} ${text}`;
}

/** What is wrong with the folder of a setting, and what to do. Null for an error that is not about the folder. */
function folderFault(code: string, sqliteCode: number, name: string): string | null {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return `cannot be written; give the folder and its files to the user of the gateway, or set ${name} to another one`;
    case 'ENOTDIR':
    case 'EEXIST':
      return `is not a folder; set ${name} to one`;
    case 'ENOSPC':
    case 'EDQUOT':
      return `has no space left; free some, or set ${name} to another disk`;
    case 'ERR_SQLITE_ERROR':
      return sqliteFault(sqliteCode & 0xff, name);
    default:
      return null;
  }
}

function sqliteFault(code: number, name: string): string | null {
  switch (code) {
    case SQLITE.CORRUPT:
    case SQLITE.NOTADB:
      return 'has a jobs.sqlite that is damaged; restore a backup, or move jobs.sqlite away to start without its jobs';
    case SQLITE.FULL:
      return folderFault('ENOSPC', code, name);
    case SQLITE.READONLY:
    case SQLITE.CANTOPEN:
    case SQLITE.IOERR:
      return folderFault('EACCES', code, name);
    default:
      return null;
  }
}
