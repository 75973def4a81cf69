import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { testEnvironment } from '../../test/support/gateway.ts';
import { ask } from './ipc.ts';
import type { Health } from './probe.ts';

/** A server in a process of its own, and what it uses. */
export interface ServerProcess {
  /** What it said on its output: the first URL. */
  readonly url: string;
  /** For messages beside those of the probe. */
  readonly child: ChildProcess;
  /** Seconds of CPU used since its start, user and system. */
  cpuSeconds(): Promise<number>;
  /** Bytes, after a garbage collection. */
  memory(): Promise<NodeJS.MemoryUsage>;
  /** What it holds, and its event loop's delays since the last call. */
  health(): Promise<Health>;
  /** Ends it with SIGTERM; resolves when it is gone. */
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly args?: readonly string[];
  /** The whole environment apart from PATH. */
  readonly env?: Readonly<Record<string, string>>;
  /** More flags of Node. */
  readonly flags?: readonly string[];
}

const PROBE = new URL('probe.ts', import.meta.url).href;

/**
 * Starts a module that prints its URL when it listens; its standard error is ours. Rejects when it ends before. `BENCH_NODE_FLAGS`
 * is added to Node's flags, e.g. `--cpu-prof`.
 */
export async function startServer(module: URL, options: ServerOptions = {}): Promise<ServerProcess> {
  const { args = [], env = {}, flags = [] } = options;
  const more = process.env.BENCH_NODE_FLAGS?.split(' ') ?? [];
  const child = fork(module, args, {
    env: { PATH: process.env.PATH, ...env },
    execArgv: ['--expose-gc', '--import', PROBE, ...flags, ...more],
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()));
  const url = await urlOf(child, fileURLToPath(module));
  return {
    url,
    child,
    cpuSeconds: async () =>
      (await ask<{ cpuSeconds: number }>(child, { probe: 'cpu' }, 'cpuSeconds')).cpuSeconds,
    memory: async () =>
      (await ask<{ memory: NodeJS.MemoryUsage }>(child, { probe: 'memory' }, 'memory')).memory,
    health: async () => (await ask<{ health: Health }>(child, { probe: 'health' }, 'health')).health,
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

function urlOf(child: ChildProcess, name: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      const found = /\b(?:http|ws):\/\/\S+/.exec(output)?.[0];
      if (found !== undefined) resolve(found);
    };
    child.stdout?.on('data', read);
    child.once('exit', code => reject(new Error(`${name} ended with ${code}`)));
  });
}

/** The sandbox as an engine, with its statistics served. `stepMs`: of a sampling step; port 0: a free one; `flags`: of Node. */
export function startEngine(
  stepMs: number,
  {
    port = 0,
    dir,
    flags = [],
  }: { readonly port?: number; readonly dir?: string; readonly flags?: readonly string[] } = {},
): Promise<ServerProcess> {
  const args = ['--port', String(port), '--control', '--step-ms', String(stepMs)];
  if (dir !== undefined) args.push('--dir', dir);
  return startServer(new URL('../../src/sandbox/main.ts', import.meta.url), { args, flags });
}

/** What `npm start` runs: the bundle, built anew when a source is newer. */
export const START = new URL('../../start.js', import.meta.url);

/** A gateway as shipped, with its own folder, which is removed with it. Watchers are not limited. `flags`: of Node. */
export function startGateway(
  settings: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): Promise<ServerProcess> {
  return startInFolder(START, [], settings, flags);
}

/** `changes-gateway.ts`: how its jobs change, in the ledger or on the feed alone. */
export function startChangesGateway(how: 'commit' | 'announce'): Promise<ServerProcess> {
  const args = how === 'commit' ? ['--commit'] : [];
  return startInFolder(new URL('changes-gateway.ts', import.meta.url), args, { COMFYUI_URL: NO_ENGINE });
}

/** A URL that accepts no connection: a gateway with this engine runs nothing. */
export const NO_ENGINE = 'http://127.0.0.1:9';

async function startInFolder(
  module: URL,
  args: readonly string[],
  settings: Readonly<Record<string, string>>,
  flags: readonly string[] = [],
): Promise<ServerProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), 'bench-'));
  const env = testEnvironment(dataDir, {
    PREVIEW_RATE: '0',
    MAX_SOCKETS: '20000',
    MAX_QUEUE: '20000',
    SUBSCRIPTIONS_PER_CALLER: '100000',
    WATCHDOG: '30s',
    ...settings,
  });
  const remove = (): Promise<void> => rm(dataDir, { recursive: true, force: true });
  try {
    const server = await startServer(module, { args, env, flags });
    return {
      ...server,
      async stop() {
        await server.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
