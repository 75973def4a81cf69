import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Installs what `npm ci` in the root does not: the packages of the folders that have a `package-lock.json` of their own, for
 * the commands that need them. `node install.ts test bench` installs those of two folders, without arguments those of all.
 * A folder whose packages are those of its lock file is skipped.
 */

const root = fileURLToPath(new URL('.', import.meta.url));

/** The folders by what they are for. */
export const FOLDERS = {
  test: 'the tests',
  examples: 'the examples',
  bench: 'the benchmarks',
  'tools/check': 'the type checker and the linter',
  'src/adapters/s3': 'artifacts in S3',
  'src/telemetry/otlp': 'traces',
} as const;

export type Folder = keyof typeof FOLDERS;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const names = process.argv.slice(2);
  const unknown = names.filter(name => !isFolder(name));
  if (unknown.length > 0) {
    console.error(`${unknown.join(', ')}: takes ${Object.keys(FOLDERS).join(', ')}`);
    process.exit(2);
  }
  const folders = Object.keys(FOLDERS).filter(isFolder);
  await installPackages(folders.filter(name => names.length === 0 || names.includes(name))).catch(error => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  });
}

function isFolder(name: string): name is Folder {
  return name in FOLDERS;
}

/**
 * Installs the packages of folders whose installed ones are missing or older, side by side: npm's cache is made for that
 * (https://github.com/npm/cacache). Rejects with what npm said, when all have ended.
 */
export async function installPackages(folders: readonly Folder[]): Promise<void> {
  const ended = await Promise.allSettled(folders.map(install));
  const failed = ended.find(result => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

async function install(folder: Folder): Promise<void> {
  const lock = await readFile(join(root, folder, 'package-lock.json'));
  const digest = createHash('sha256').update(lock).digest('hex');
  // npm removes the stamp with the folder that it is in, so an interrupted installation leaves none.
  const stamp = join(root, folder, 'node_modules/.installed');
  if ((await readFile(stamp, 'utf8').catch(() => null)) === digest) return;
  console.log(`Installing the packages of ${FOLDERS[folder]} (npm ci in ${folder})`);
  const failure = await npm(
    ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    folder,
  );
  if (failure !== null) {
    throw new Error(
      `The packages of ${FOLDERS[folder]} could not be installed. ` +
        `That needs the npm registry, once: npm ci --prefix ${folder}\n${failure}`,
    );
  }
  await writeFile(stamp, digest);
}

/** What npm printed when it failed; null when it did not. */
function npm(args: readonly string[], folder: Folder): Promise<string | null> {
  const { npm_execpath: script } = process.env;
  const windows = process.platform === 'win32';
  const child = script?.endsWith('npm-cli.js')
    ? spawn(process.execPath, [script, ...args], { cwd: join(root, folder) })
    : spawn('npm', args, { cwd: join(root, folder), shell: windows });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (said += chunk));
  return new Promise(resolve => {
    child.once('error', error => resolve(error.message));
    child.once('close', code => resolve(code === 0 ? null : said.trim()));
  });
}
