import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { installPackages } from '../../../install.ts';

const run = promisify(execFile);
/** Builds the pages, and the bundle that gateways of their own process run, where they are missing or older than a source. */
const BUILD = fileURLToPath(new URL('../../../build-start.ts', import.meta.url));
const REDIS_NAMES = ['redis-server', 'valkey-server'];
const REDIS_ADVICE =
  'install redis-server 7 or newer, or valkey-server, on the PATH (Debian: apt-get install redis-server)';

const PROMTOOL_ADVICE = 'install promtool on the PATH (Debian: apt-get install prometheus)';

/** The system's Python, for which Debian's packages are built. */
export const PYTHON = '/usr/bin/python3';

/** How to get an S3 server where none is installed. */
export const S3_ADVICE =
  'install OpenStack Swift for Python (Debian: apt-get install python3-swift), or set TEST_S3_URL to ' +
  's3://bucket?endpoint=http://host:9000 of an S3 server, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';

/**
 * Vitest's global setup: installs the packages of the tests, builds what they start, and as root on Debian installs the stores that
 * the tests start, all where missing.
 */
export default async function setup(): Promise<void> {
  await installPackages(['test', 'examples', 'tools/check', 'src/adapters/s3', 'src/telemetry/otlp']);
  await run(process.execPath, [BUILD]);
  if (process.getuid?.() !== 0) return;
  if ((await lookFor(REDIS_NAMES)) === null) await install('redis-server', REDIS_ADVICE);
  if ((await lookFor(['promtool'])) === null) await install('prometheus', PROMTOOL_ADVICE);
  const { TEST_S3_URL: given = '' } = process.env;
  if (given === '' && !(await hasS3Server())) await install('python3-swift', S3_ADVICE);
}

/** The program that the tests start as Redis. Rejects with what to install when there is none. */
export async function findRedisServer(): Promise<string> {
  const found = await lookFor(REDIS_NAMES);
  if (found === null) throw new Error(`These tests need a real Redis: ${REDIS_ADVICE}`);
  return found;
}

/** The program that checks Prometheus' files. Rejects with what to install when there is none. */
export async function findPromtool(): Promise<string> {
  const found = await lookFor(['promtool']);
  if (found === null) throw new Error(`These tests need Prometheus' own tool: ${PROMTOOL_ADVICE}`);
  return found;
}

/** Whether the S3 server that the tests start is installed. */
export async function hasS3Server(): Promise<boolean> {
  return succeeds(run(PYTHON, ['-c', 'import swift.common.middleware.s3api.s3api, paste.deploy']));
}

async function install(name: string, advice: string): Promise<void> {
  // At this run level Debian installs a service without starting it.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  try {
    await run('apt-get', ['update'], { env });
    await run('apt-get', ['install', '-y', '--no-install-recommends', name], { env });
  } catch (error) {
    // The tests that need it fail with the same advice; the others can run.
    console.warn(`${name} could not be installed (${String(error)}): ${advice}`);
  }
}

/** The first of these programs that is on the PATH; null when none is. */
export async function lookFor(names: readonly string[]): Promise<string | null> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of names) {
      const path = join(folder, name);
      if (await succeeds(access(path, constants.X_OK))) return path;
    }
  }
  return null;
}

function succeeds(attempt: Promise<unknown>): Promise<boolean> {
  return attempt.then(
    () => true,
    () => false,
  );
}
