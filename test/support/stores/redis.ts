import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { connectRedis, type RedisOptions, type RedisStore } from '../../../src/adapters/redis/connect.ts';
import { type RecordedLog, recordLog } from '../log.ts';
import { freePort } from '../servers.ts';
import { until } from '../watch.ts';
import { findRedisServer } from './install.ts';

export interface StartOptions {
  /** Keeps an append-only file, synced at each command, so that a restart loses nothing. */
  aof?: boolean;
  port?: number;
  /** More arguments of redis-server. */
  extra?: string[];
}

/** A real Redis that a test can kill and pause. */
export interface TestRedis {
  readonly url: string;
  readonly port: number;
  /** Ends it and removes its files. */
  stop(): Promise<void>;
  /** SIGKILL, like a crash. */
  kill(): Promise<void>;
  /** SIGSTOP: the port still accepts connections, and nothing answers. */
  pause(): void;
  resume(): void;
  /** Starts it again on its port; `empty` without the append-only file. */
  restart(options?: { empty?: boolean }): Promise<void>;
}

/** Starts a Redis on a free port in a folder of its own. Resolves when it accepts connections. */
export async function startRedis({ aof = false, port, extra = [] }: StartOptions = {}): Promise<TestRedis> {
  return startServer(port ?? null, (chosen, dir) => [
    ...['--port', String(chosen), '--bind', '127.0.0.1', '--dir', dir, '--save', ''],
    ...['--appendonly', aof ? 'yes' : 'no', '--appendfsync', 'always', '--repl-diskless-sync-delay', '0'],
    ...extra,
  ]);
}

/** Redis for tests that leave it running: the one of `TEST_REDIS_URL` when set, otherwise a new one. */
export async function sharedRedis(): Promise<{ url: string; stop(): Promise<void> }> {
  const url = process.env.TEST_REDIS_URL;
  return url === undefined || url === '' ? startRedis() : { url, stop: async () => {} };
}

/** A cluster of one node, which serves every slot. */
export async function startCluster(): Promise<TestRedis> {
  const node = await startRedis({
    extra: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
  });
  await withClient(node.url, async client => {
    await client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await until(async () => /cluster_state:ok/.test(await client.cluster('INFO')));
  });
  return { ...node, url: node.url.replace('redis:', 'redis+cluster:') };
}

/** A sentinel that monitors one master as `mymaster`, and fails over half a second after the master's end. */
export async function startSentinel(masterPort: number): Promise<TestRedis> {
  const config = [
    'bind 127.0.0.1',
    `sentinel monitor mymaster 127.0.0.1 ${masterPort} 1`,
    'sentinel down-after-milliseconds mymaster 500',
    'sentinel failover-timeout mymaster 2000',
  ].join('\n');
  const server = await startServer(null, async (port, dir) => {
    const file = join(dir, 'sentinel.conf');
    await writeFile(file, `port ${port}\n${config}\ndir ${dir}\n`);
    return [file, '--sentinel'];
  });
  await withClient(server.url, client =>
    until(async () => {
      const replicas = await client.call('SENTINEL', 'REPLICAS', 'mymaster');
      return (
        Array.isArray(replicas) && replicas.some(replica => String(replica).includes('master-link-status,ok'))
      );
    }),
  );
  return { ...server, url: `redis+sentinel://127.0.0.1:${server.port}/mymaster` };
}

/** Uses a server through a connection of its own. */
export async function withClient<T>(url: string, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url.replace(/^redis\+\w+:/, 'redis:'));
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}

/** A prefix that no other test has, so that tests can share one Redis. */
export function aPrefix(): string {
  return `{test-${crypto.randomUUID()}}`;
}

/** Connects to a store with a log of its own. */
export async function openStore(
  url: string,
  options: Partial<RedisOptions> = {},
): Promise<RedisStore & { readonly log: RecordedLog }> {
  const log = recordLog();
  return { ...(await connectRedis({ url, log, ...options })), log };
}

/** Starts one on this port, or on a free one. */
async function startServer(
  wanted: number | null,
  args: (port: number, dir: string) => string[] | Promise<string[]>,
): Promise<TestRedis> {
  const program = await findRedisServer();
  const dir = await mkdtemp(join(tmpdir(), 'redis-'));
  for (;;) {
    const port = wanted ?? (await freePort());
    const given = await args(port, dir);
    try {
      return serverOf(await launch(program, given), { port, dir, relaunch: () => launch(program, given) });
    } catch (error) {
      // A port that was free a moment ago: connections of other tests take any.
      if (wanted !== null || !String(error).includes('Address already in use')) throw error;
    }
  }
}

function serverOf(
  started: ChildProcess,
  { port, dir, relaunch }: { port: number; dir: string; relaunch: () => Promise<ChildProcess> },
): TestRedis {
  let child = started;
  const end = (): boolean => child.kill('SIGKILL');
  process.once('exit', end);

  async function kill(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise(resolve => child.once('exit', resolve));
    end();
    await exited;
  }

  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    async stop() {
      await kill();
      process.removeListener('exit', end);
      await rm(dir, { recursive: true });
    },
    kill,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async restart({ empty = false } = {}) {
      await kill();
      if (empty) await rm(join(dir, 'appendonlydir'), { recursive: true, force: true });
      child = await relaunch();
    },
  };
}

async function launch(program: string, args: string[]): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  await new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      if (/Ready to accept connections|Sentinel ID is/.test(output)) resolve();
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', reject);
    child.once('exit', code => reject(new Error(`${program} ended with ${code}: ${output}`)));
  });
  child.stdout.removeAllListeners('data').resume();
  child.stderr.removeAllListeners('data').resume();
  return child;
}
