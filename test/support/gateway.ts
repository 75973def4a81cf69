import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openStore } from '../../src/adapters/store.ts';
import { readConfig } from '../../src/config.ts';
import { type Gateway, startGateway } from '../../src/gateway.ts';
import { createLog, type Log } from '../../src/log.ts';
import { type ImageServer, startImageServer } from './image-server.ts';
import { inherited } from './temporary-folder.ts';

/** What `npm start` runs: it starts in half of the time that the sources take. */
const START = fileURLToPath(new URL('../../start.js', import.meta.url));

/** A gateway in this process with an image server beside it. */
export interface Rig {
  readonly url: string;
  readonly dataDir: string;
  readonly images: ImageServer;
  graphql<T>(
    query: string,
    variables?: Record<string, unknown>,
  ): Promise<{ data: T | null; errors?: { message: string }[] }>;
  /** Once, however often it is called. */
  close(): Promise<void>;
}

/** The environment of a gateway under test: a free port, a folder of its own, images from loopback allowed. */
export function testEnvironment(
  dataDir: string,
  overrides: Record<string, string> = {},
): Record<string, string> {
  return {
    PORT: '0',
    DATA_DIR: dataDir,
    FETCH_ALLOW: '127.0.0.1',
    LOG_LEVEL: 'silent',
    SANDBOX_STEP: '5ms',
    WATCHDOG: '300ms',
    ...overrides,
  };
}

/**
 * Starts a gateway in this process, on the sandbox unless `COMFYUI_URL` is set. Its log is silent unless one is given. `open`
 * opens its store.
 */
export async function startRig(
  overrides: Record<string, string> = {},
  log: Log = createLog('silent'),
  open = openStore,
): Promise<Rig> {
  const dataDir = overrides.DATA_DIR ?? (await mkdtemp(join(tmpdir(), 'gateway-')));
  const images = await startImageServer();
  const clean = async (): Promise<void> => {
    await images.close();
    if (overrides.DATA_DIR === undefined) await rm(dataDir, { recursive: true, force: true });
  };
  const gateway = await start(testEnvironment(dataDir, overrides), log, open).catch(async error => {
    await clean();
    throw error;
  });
  let closing: Promise<void> | null = null;
  return {
    url: gateway.url,
    dataDir,
    images,
    async graphql(query, variables = {}) {
      const answer = await fetch(`${gateway.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ query, variables }),
      });
      return answer.json();
    },
    close() {
      closing ??= gateway.stop().then(clean);
      return closing;
    },
  };
}

async function start(
  environment: Record<string, string>,
  log: Log,
  open: typeof openStore,
): Promise<Gateway> {
  const config = readConfig(environment);
  if (!config.ok) throw new Error(config.faults.join('; '));
  return startGateway(config.config, log, open);
}

/** A gateway as a process of its own, which a test can send signals. */
export interface GatewayProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** Sends the signal and resolves with the exit code, null when the signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/**
 * Starts `start.js` and resolves when it listens. Rejects with its output when it exits before. `by` is a program with
 * arguments that executes the command that follows them.
 */
export async function startGatewayProcess(
  dataDir: string,
  overrides: Record<string, string>,
  by: readonly string[] = [],
): Promise<GatewayProcess> {
  const [program = '', ...words] = [...by, process.execPath, START];
  const child = spawn(program, words, {
    env: { ...inherited(), ...testEnvironment(dataDir, overrides) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // A test that times out does not end it.
  const abandon = (): boolean => child.kill('SIGKILL');
  process.once('exit', abandon);
  const exited = new Promise<number | null>(resolve => child.once('exit', resolve));
  void exited.then(() => process.removeListener('exit', abandon));
  let output = '';
  const url = await new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      const found = /on (http:\/\/\S+)/.exec(output)?.[1];
      if (found !== undefined) resolve(found);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', code => reject(new Error(`the gateway ended with ${code}: ${output}`)));
  });
  return {
    url,
    child,
    end(signal) {
      child.kill(signal);
      return exited;
    },
  };
}

/** Gateways that succeed each other, as processes. */
export interface Succession {
  /** Starts the next, and ends the last before if it still runs, which it does after a test that failed. */
  start(overrides?: Record<string, string>): Promise<GatewayProcess>;
  /** The one that runs, which saves a start, else a new one. */
  running(overrides?: Record<string, string>): Promise<GatewayProcess>;
  /** Sends the signal to the one that runs, and resolves with its exit code, null when the signal ended it or none ran. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

/** `startOne` starts a gateway with the overrides that it is called with. */
export function succeedEachOther(
  startOne: (overrides: Record<string, string>) => Promise<GatewayProcess>,
): Succession {
  let current: GatewayProcess | null = null;
  async function end(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
    const ended = (await current?.end(signal)) ?? null;
    current = null;
    return ended;
  }
  async function start(overrides: Record<string, string> = {}): Promise<GatewayProcess> {
    await end();
    current = await startOne(overrides);
    return current;
  }
  return { start, running: async overrides => current ?? start(overrides), end };
}
