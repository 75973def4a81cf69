import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The Python of the system: the one that Debian's packages are made for. */
export const PYTHON = '/usr/bin/python3';

/** What to do where there is none. */
export const S3_ADVICE =
  'install OpenStack Swift for Python (Debian: apt-get install python3-swift), or set TEST_S3_URL to ' +
  's3://bucket?endpoint=http://host:9000 of an S3 server of yours, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';

/** Vitest's global set-up: installs an S3 server on a Debian where we are root and it is missing. */
export default async function setup(): Promise<void> {
  const { TEST_S3_URL: given = '' } = process.env;
  if (given !== '' || process.getuid?.() !== 0 || (await hasS3Server())) return;
  // At this run level Debian installs a service without starting it.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  try {
    await run('apt-get', ['update'], { env });
    await run('apt-get', ['install', '-y', '--no-install-recommends', 'python3-swift'], { env });
  } catch (error) {
    // The tests that need it fail and say so; the others can run.
    console.warn(`No S3 server could be installed (${String(error)}): ${S3_ADVICE}`);
  }
}

/** Whether the server that the tests start is there. */
export async function hasS3Server(): Promise<boolean> {
  return run(PYTHON, ['-c', 'import swift.common.middleware.s3api.s3api, paste.deploy']).then(
    () => true,
    () => false,
  );
}
