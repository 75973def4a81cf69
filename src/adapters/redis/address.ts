/** The address of Redis, parsed from `REDIS_URL`. */
export interface RedisAddress {
  readonly kind: 'single' | 'sentinel' | 'cluster';
  /** The server, the sentinels, or some nodes of the cluster; at least one. */
  readonly hosts: readonly RedisHost[];
  readonly tls: boolean;
  readonly username: string | null;
  readonly password: string | null;
  readonly db: number;
  /** The sentinels' name of the master; empty without sentinels. */
  readonly masterName: string;
  /** Sentinels have their own credentials. */
  readonly sentinelUsername: string | null;
  readonly sentinelPassword: string | null;
}

export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

const FORM = /^(rediss?)(\+sentinel|\+cluster)?:\/\/(?:([^@/]*)@)?([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/;
const REDIS_PORT = 6379;
const SENTINEL_PORT = 26379;

/**
 * Parses `redis://[user:password@]host[:port][/db]`, `redis+sentinel://host1:port,host2:port/master[/db]` or
 * `redis+cluster://host1:port,host2:port`, each also with `rediss` for TLS. The sentinels' own credentials are the
 * parameters `sentinelUsername` and `sentinelPassword`. Reserved characters in credentials must be percent-encoded.
 *
 * Throws an Error that names the fault without credentials.
 */
export function parseRedisUrl(url: string): RedisAddress {
  const parts = FORM.exec(url);
  if (parts === null) {
    throw new Error('takes redis://, rediss://, redis+sentinel:// or redis+cluster:// with a host');
  }
  const [, scheme, variant, credentials, hosts = '', path = '', query = ''] = parts;
  const kind = variant === '+sentinel' ? 'sentinel' : variant === '+cluster' ? 'cluster' : 'single';
  const found = hosts
    .split(',')
    .map(text => readHost(text, kind === 'sentinel' ? SENTINEL_PORT : REDIS_PORT));
  if (kind === 'single' && found.length > 1) {
    throw new Error('takes one host; use redis+sentinel:// or redis+cluster:// for several');
  }
  return {
    kind,
    hosts: found,
    tls: scheme === 'rediss',
    ...readCredentials(credentials),
    ...readPath(kind, path),
    ...readParameters(kind, query),
  };
}

/** The address without credentials, for logs and errors. */
export function showAddress(address: RedisAddress): string {
  const hosts = address.hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`);
  const suffix = address.kind === 'single' ? '' : `+${address.kind}`;
  const path = address.kind === 'sentinel' ? `/${address.masterName}` : '';
  return `${address.tls ? 'rediss' : 'redis'}${suffix}://${hosts.join(',')}${path}`;
}

function readHost(text: string, defaultPort: number): RedisHost {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = parts?.[3] === undefined ? defaultPort : Number(parts[3]);
  if (host === undefined || port < 1 || port > 65_535) throw new Error('takes hosts as host:port');
  return { host, port };
}

function readCredentials(text: string | undefined): Pick<RedisAddress, 'username' | 'password'> {
  if (text === undefined || text === '') return { username: null, password: null };
  const colon = text.indexOf(':');
  const [username, password] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)];
  return { username: decode(username), password: decode(password) };
}

function readPath(kind: RedisAddress['kind'], path: string): Pick<RedisAddress, 'db' | 'masterName'> {
  const parts = path.split('/').filter(part => part !== '');
  switch (kind) {
    case 'single':
      if (parts.length > 1) throw new Error('takes one number after the host: the database');
      return { masterName: '', db: readDb(parts[0]) };
    case 'sentinel': {
      const [name, db, ...more] = parts;
      if (name === undefined || more.length > 0) {
        throw new Error(
          'takes the name of the master after the sentinels, as in redis+sentinel://host:26379/mymaster',
        );
      }
      return { masterName: decode(name) ?? '', db: readDb(db) };
    }
    case 'cluster':
      if (parts.length > 0) throw new Error('takes nothing after the hosts: a cluster has one database');
      return { masterName: '', db: 0 };
    default:
      return kind satisfies never;
  }
}

function readDb(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!/^\d{1,4}$/.test(text)) throw new Error('takes a number as the database');
  return Number(text);
}

function readParameters(
  kind: RedisAddress['kind'],
  query: string,
): Pick<RedisAddress, 'sentinelUsername' | 'sentinelPassword'> {
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (kind !== 'sentinel' || (name !== 'sentinelUsername' && name !== 'sentinelPassword')) {
      throw new Error(`takes no parameter ${name}`);
    }
  }
  return {
    sentinelUsername: parameters.get('sentinelUsername'),
    sentinelPassword: parameters.get('sentinelPassword'),
  };
}

function decode(text: string): string | null {
  if (text === '') return null;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error('takes credentials and names with reserved characters percent-encoded');
  }
}
