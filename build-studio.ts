import { existsSync, globSync, statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

/**
 * Builds the page in `src/studio` into `dist/studio`, laid out as it is served, with each text file also compressed
 * beside it. Without Vite, as in an installation without dev dependencies, it only says so: the gateway runs without
 * the page. With --if-stale it builds only what is missing or older than its sources.
 */

const root = fileURLToPath(new URL('.', import.meta.url));
const outDir = `${root}dist/studio`;
const SOURCES = ['src/studio/**/*', 'src/client/**/*.ts', 'build-studio.ts', 'package-lock.json'];
/** Formats that are compressed already gain nothing. */
const TEXTS = '**/*.{html,js,css,svg}';

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { 'if-stale': { type: 'boolean', default: false } } });
  if (!values['if-stale'] || isStale()) await buildStudio();
}

/** Whether the built page is missing or older than any of its sources. False where there are no sources. */
export function isStale(): boolean {
  const page = `${outDir}/index.html`;
  if (!existsSync(`${root}src/studio`)) return false;
  if (!existsSync(page)) return true;
  const built = statSync(page).mtimeMs;
  return globSync(SOURCES, { cwd: root }).some(file => statSync(root + file).mtimeMs > built);
}

/** Builds the page, or says why not. Rejects when it has errors. */
export async function buildStudio(): Promise<void> {
  const vite = await import('vite').catch(() => null);
  if (vite === null || !existsSync(`${root}src/studio`)) {
    console.log('The Studio page is not built: that needs the dev dependencies (npm ci)');
    return;
  }
  console.log('Building the Studio page');
  await vite.build({
    configFile: false,
    root: `${root}src/studio`,
    // Relative, so that the page works below any path of a reverse proxy.
    base: './',
    logLevel: 'warn',
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: {
      outDir,
      emptyOutDir: true,
      assetsDir: 'studio/assets',
      target: 'es2022',
      // Browsers that know light-dark(), which would otherwise be replaced by something larger.
      cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
      // A data URI would need a wider content security policy, and images in the script delay it.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
  });
  await Promise.all(globSync(TEXTS, { cwd: outDir }).map(file => compress(`${outDir}/${file}`)));
}

async function compress(file: string): Promise<void> {
  const bytes = await readFile(file);
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  await writeFile(`${file}.br`, await promisify(brotliCompress)(bytes, { params }));
  await writeFile(`${file}.gz`, await promisify(gzip)(bytes, { level: constants.Z_BEST_COMPRESSION }));
}
