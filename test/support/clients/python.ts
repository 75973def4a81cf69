import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Ways to get `requests`, in the order in which they are tried. */
const INSTALLS: readonly (readonly [string, ...string[]])[] = [
  ['apt-get', 'install', '-y', '--no-install-recommends', 'python3', 'python3-requests'],
  ['python3', '-m', 'pip', 'install', '--user', 'requests'],
];

/** Makes sure that python3 is there with `requests`; installs it where it may, else says what to install. */
export async function needRequests(): Promise<void> {
  if (await works('python3', '-c', 'import requests')) return;
  for (const [command, ...args] of INSTALLS) {
    await works(command, ...args);
    if (await works('python3', '-c', 'import requests')) return;
  }
  throw new Error('The documented client needs python3 with requests: apt-get install python3-requests');
}

async function works(command: string, ...args: string[]): Promise<boolean> {
  return run(command, args).then(
    () => true,
    () => false,
  );
}

/** Runs a script in a folder; `proxy` is where its HTTP requests go first. Resolves with what it printed. */
export async function runPython(
  args: readonly string[],
  options: { cwd: string; proxy?: string },
): Promise<string> {
  // Nothing of this machine's own proxies.
  const proxies = options.proxy === undefined ? { NO_PROXY: '*' } : { HTTP_PROXY: options.proxy };
  const { PATH, HOME } = process.env;
  const { stdout } = await run('python3', [...args], {
    cwd: options.cwd,
    env: { PATH, HOME, PYTHONDONTWRITEBYTECODE: '1', ...proxies },
  });
  return stdout;
}
