import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { listen } from '../listen.ts';
import { findRedisServer } from './redis-server.ts';

export interface StartOptions {
  /** Keeps an append-only file, written at each command: a restart has everything again. */
  aof?: boolean;
  port?: number;
  /** More arguments of redis-server. */
  extra?: string[];
}

/** A real Redis of our own, to be killed and paused. */
export interface TestRedis {
  readonly url: string;
  readonly port: number;
  /** Ends it and removes what it wrote. */
  stop(): Promise<void>;
  /** SIGKILL: as a crash. */
  kill(): Promise<void>;
  /** SIGSTOP: the port still takes connections and nobody answers. */
  pause(): void;
  resume(): void;
  /** Starts it again on its port, with its file or without. */
  restart(options?: { empty?: boolean }): Promise<void>;
}

/** Starts a Redis on a free port in a folder of its own; resolves when it takes connections. */
export async function startRedis({ aof = false, port, extra = [] }: StartOptions = {}): Promise<TestRedis> {
  const chosen = port ?? (await freePort());
  return startServer(chosen, dir => [
    ...['--port', String(chosen), '--bind', '127.0.0.1', '--dir', dir, '--save', ''],
    ...['--appendonly', aof ? 'yes' : 'no', '--appendfsync', 'always', '--repl-diskless-sync-delay', '0'],
    ...extra,
  ]);
}

/** Redis for tests that leave it running: `TEST_REDIS_URL` when set, otherwise one of our own. */
export async function sharedRedis(): Promise<{ url: string; stop(): Promise<void> }> {
  const url = process.env.TEST_REDIS_URL;
  return url === undefined || url === '' ? startRedis() : { url, stop: async () => {} };
}

/** A cluster of one node that serves every slot. */
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

/** A sentinel that watches one master by the name `mymaster`, and replaces it half a second after its end. */
export async function startSentinel(masterPort: number): Promise<TestRedis> {
  const port = await freePort();
  const config = [
    `port ${port}`,
    'bind 127.0.0.1',
    `sentinel monitor mymaster 127.0.0.1 ${masterPort} 1`,
    'sentinel down-after-milliseconds mymaster 500',
    'sentinel failover-timeout mymaster 2000',
  ].join('\n');
  const server = await startServer(port, async dir => {
    const file = join(dir, 'sentinel.conf');
    await writeFile(file, `${config}\ndir ${dir}\n`);
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
  return { ...server, url: `redis+sentinel://127.0.0.1:${port}/mymaster` };
}

/** Asks a server something through a connection of its own. */
export async function withClient<T>(url: string, ask: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url.replace(/^redis\+\w+:/, 'redis:'));
  try {
    return await ask(client);
  } finally {
    client.disconnect();
  }
}

/** Asks again every 20 ms until the answer is yes; rejects after `ms`. */
export async function until(ask: () => boolean | Promise<boolean>, ms = 15_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`It did not come true within ${ms} ms: ${ask.toString()}`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

/** A port that nobody listened to a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise(resolve => server.close(resolve));
  return port;
}

async function startServer(
  port: number,
  args: (dir: string) => string[] | Promise<string[]>,
): Promise<TestRedis> {
  const program = await findRedisServer();
  const dir = await mkdtemp(join(tmpdir(), 'redis-'));
  const given = await args(dir);
  let child = await launch(program, given);
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
      child = await launch(program, given);
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
