import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parseRedisUrl, showAddress } from '../../../src/adapters/redis/address.ts';
import { StoreUnavailable } from '../../../src/jobs/errors.ts';
import { aJob } from '../../support/jobs.ts';
import { freePort } from '../../support/servers.ts';
import { openStore, startRedis, withClient } from '../../support/stores/redis.ts';
import { until } from '../../support/watch.ts';

const run = promisify(execFile);

describe('the address of Redis', () => {
  it.each([
    ['redis://localhost', { kind: 'single', hosts: [{ host: 'localhost', port: 6379 }], tls: false, db: 0 }],
    [
      'rediss://r.example:7000/3',
      { kind: 'single', hosts: [{ host: 'r.example', port: 7000 }], tls: true, db: 3 },
    ],
    ['redis://[::1]:6380', { hosts: [{ host: '::1', port: 6380 }] }],
    ['redis://:p%40ss%2F@h', { username: null, password: 'p@ss/' }],
    ['redis://me:a:b@h', { username: 'me', password: 'a:b' }],
    [
      'redis+sentinel://u:p@a:1,b/mymaster/2?sentinelPassword=x%26y',
      {
        kind: 'sentinel',
        hosts: [
          { host: 'a', port: 1 },
          { host: 'b', port: 26379 },
        ],
        masterName: 'mymaster',
        db: 2,
        username: 'u',
        password: 'p',
        sentinelUsername: null,
        sentinelPassword: 'x&y',
      },
    ],
    [
      'rediss+cluster://a:1,b:2',
      {
        kind: 'cluster',
        tls: true,
        hosts: [
          { host: 'a', port: 1 },
          { host: 'b', port: 2 },
        ],
      },
    ],
  ])('reads %s', (url, expected) => {
    expect(parseRedisUrl(url)).toMatchObject(expected);
  });

  it.each([
    ['http://h', 'takes redis://'],
    ['redis://', 'takes hosts'],
    ['redis://h:0', 'takes hosts'],
    ['redis://h:70000', 'takes hosts'],
    ['redis://a,b', 'takes one host'],
    ['redis://h/one', 'takes a number'],
    ['redis://h/1/2', 'takes one number'],
    ['redis://:%zz@h', 'percent-encoded'],
    ['redis://h?timeout=1', 'takes no parameter timeout'],
    ['redis+sentinel://h', 'takes the name of the master'],
    ['redis+cluster://h/1', 'takes nothing after the hosts'],
  ])('refuses %s', (url, message) => {
    expect(() => parseRedisUrl(url)).toThrow(message);
  });

  it('is shown without credentials', () => {
    const url = 'rediss+sentinel://user:secret@a:1,[::1]:2/m?sentinelPassword=hidden';
    expect(showAddress(parseRedisUrl(url))).toBe('rediss+sentinel://a:1,[::1]:2/m');
  });
});

describe('connecting to Redis', () => {
  it('reports the error when Redis is unreachable, and leaves nothing open', async () => {
    const port = await freePort();
    // The clients of clusters and sentinels keep the reason of each node to themselves.
    for (const [scheme, reason] of [
      ['redis', 'ECONNREFUSED'],
      ['redis+cluster', 'no answer'],
      ['redis+sentinel', 'All sentinels are unreachable.'],
    ] as const) {
      const url = `${scheme}://:secret@127.0.0.1:${port}${scheme === 'redis+sentinel' ? '/m' : ''}`;
      const refusal = await openStore(url, { startTimeoutMs: 300 }).catch(String);
      expect(refusal).toContain(`${scheme}://127.0.0.1:${port}`);
      expect(refusal).toContain(reason);
      expect(refusal).not.toContain('secret');
    }
    await expect(openStore('nonsense')).rejects.toThrow('REDIS_URL: takes');
    await expect(openStore('redis://h', { prefix: 'plain' })).rejects.toThrow('hash tag');
    await expect(openStore('redis://h', { caFile: 'ca.pem' })).rejects.toThrow('rediss://');
  });

  it('sends the password, and rejects at once when it is wrong', async () => {
    const redis = await startRedis({ extra: ['--requirepass', 'p@ss'] });
    try {
      const url = (password: string): string => redis.url.replace('//', `//:${password}@`);
      const store = await openStore(url('p%40ss'));
      expect(await store.ledger.count()).toEqual({ waiting: 0, running: 0 });
      await store.close();
      await expect(openStore(url('wrong'))).rejects.toThrow('WRONGPASS');
      await expect(openStore(redis.url)).rejects.toThrow('NOAUTH');
    } finally {
      await redis.stop();
    }
  });

  it('never uses another database than the one of the address, also after it was lost', async () => {
    const redis = await startRedis();
    const acl = (...rule: string[]) => withClient(redis.url, client => client.acl('SETUSER', 'app', ...rule));
    try {
      await expect(openStore(`${redis.url}/16`)).rejects.toThrow(
        `REDIS_URL: database 16 of ${redis.url} cannot be used: ERR DB index is out of range; name a database`,
      );
      await acl('on', '>pw', 'allkeys', 'allchannels', 'allcommands', '-select');
      const url = `${redis.url.replace('//', '//app:pw@')}/3`;
      await expect(openStore(url)).rejects.toThrow(/^REDIS_URL: database 3 of .*: NOPERM /);

      await acl('+select');
      const store = await openStore(url);
      await acl('-select');
      await withClient(redis.url, client => client.client('KILL', 'USER', 'app'));
      await until(() => store.log.has('error', 'Redis rejects the database of REDIS_URL'));
      for (let round = 0; round < 20; round += 1) {
        await expect(store.ledger.submit(aJob(), { maxQueue: 9, idempotency: null })).rejects.toThrow(
          StoreUnavailable,
        );
      }
      expect(store.log.lines.filter(({ level }) => level === 'error')).toMatchObject([
        { fields: { redis: redis.url, database: 3, reason: expect.stringContaining('NOPERM') } },
      ]);
      expect(await withClient(redis.url, client => client.dbsize())).toBe(0);

      await acl('+select');
      await until(() => store.log.has('info', 'Redis is back'));
      await until(() => store.log.has('info', 'live updates from Redis continue'));
      await store.close();
      expect(await withClient(redis.url, client => client.dbsize())).toBe(0);
    } finally {
      await redis.stop();
    }
  });

  it('warns of settings that can lose accepted jobs', async () => {
    const redis = await startRedis({ extra: ['--maxmemory', '50mb', '--maxmemory-policy', 'allkeys-lru'] });
    const careful = await startRedis({ aof: true });
    try {
      const store = await openStore(redis.url);
      expect(store.log.has('warn', 'appendonly yes')).toBe(true);
      expect(store.log.has('warn', 'noeviction')).toBe(true);
      await store.close();
      const quiet = await openStore(careful.url);
      expect(quiet.log.lines.filter(line => line.level === 'warn')).toEqual([]);
      await quiet.close();
    } finally {
      await Promise.all([redis.stop(), careful.stop()]);
    }
  });

  it('uses TLS and verifies the certificate with the given file', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'tls-'));
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    await run('openssl', [
      ...[
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-days',
        '2',
      ],
      ...['-keyout', key, '-out', cert, '-subj', '/CN=redis', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ]);
    const tlsPort = await freePort();
    const redis = await startRedis({
      extra: [
        ...['--tls-port', String(tlsPort), '--tls-cert-file', cert, '--tls-key-file', key],
        ...['--tls-ca-cert-file', cert, '--tls-auth-clients', 'no'],
      ],
    });
    try {
      const url = `rediss://127.0.0.1:${tlsPort}`;
      const store = await openStore(url, { caFile: cert });
      const job = aJob();
      await store.ledger.submit(job, { maxQueue: 1, idempotency: null });
      expect(await store.ledger.get(job.id)).toEqual(job);
      await store.close();
      await expect(openStore(url)).rejects.toThrow('certificate');
      await expect(openStore(url, { caFile: join(dir, 'none.pem') })).rejects.toThrow('none.pem');
    } finally {
      await redis.stop();
      await rm(dir, { recursive: true });
    }
  });
});
