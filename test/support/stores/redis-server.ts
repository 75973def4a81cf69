import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const NAMES = ['redis-server', 'valkey-server'];
const ADVICE =
  'install redis-server 7 or newer, or valkey-server, on the PATH (Debian: apt-get install redis-server)';

/** The program that the tests start as Redis. Rejects with what to install when there is none. */
export async function findRedisServer(): Promise<string> {
  const found = await lookForRedisServer();
  if (found === null) throw new Error(`These tests need a real Redis: ${ADVICE}`);
  return found;
}

/** Vitest's global set-up: installs Redis on a Debian where we are root and it is missing. */
export default async function setup(): Promise<void> {
  if ((await lookForRedisServer()) !== null || process.getuid?.() !== 0) return;
  // At this run level Debian installs a service without starting it.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  try {
    await run('apt-get', ['update'], { env });
    await run('apt-get', ['install', '-y', '--no-install-recommends', 'redis-server'], { env });
  } catch (error) {
    // The tests that need it fail and say so; the others can run.
    console.warn(`Redis could not be installed (${String(error)}): ${ADVICE}`);
  }
}

async function lookForRedisServer(): Promise<string | null> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of NAMES) {
      const path = join(folder, name);
      if (await isExecutable(path)) return path;
    }
  }
  return null;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
