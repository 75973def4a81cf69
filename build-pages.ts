import { existsSync, globSync, statSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { buildInto } from './build-into.ts';

/**
 * Builds the pages that the gateway serves into `dist/pages`, laid out as they are served, with scripts and styles also
 * compressed beside them: Studio from `src/studio`, Swagger UI and GraphiQL from their packages and what `pages` has for them.
 * Without these packages, as in an installation without dev dependencies, it only says so: the gateway runs without the
 * pages. With --if-stale it builds only what is missing or older than its sources.
 */

const root = fileURLToPath(new URL('.', import.meta.url));
const outDir = `${root}dist/pages`;
const SOURCES = [
  'src/studio/**/*',
  'src/client/**/*.ts',
  'pages/**/*',
  'build-into.ts',
  'build-pages.ts',
  'package-lock.json',
];
const PAGES = ['studio', 'docs', 'graphiql'];
const SWAGGER_UI = `${root}node_modules/@fastify/swagger-ui/static`;
/** What /docs needs of Swagger UI. */
const SWAGGER_UI_FILES = [
  'favicon-16x16.png',
  'favicon-32x32.png',
  'index.css',
  'swagger-ui.css',
  'swagger-ui-bundle.js',
  'swagger-ui-standalone-preset.js',
];
/** What is sent compressed: documents are small or kept in memory, and other formats gain nothing. */
const TEXTS = '{studio,docs}/**/*.{js,css,svg}';

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { 'if-stale': { type: 'boolean', default: false } } });
  if (!values['if-stale'] || isStale()) await buildPages();
}

/** Whether a built page is missing, or older than any of the sources. False where there are no sources. */
export function isStale(): boolean {
  if (!existsSync(`${root}src/studio`)) return false;
  const pages = PAGES.map(page => `${outDir}/${page}/index.html`);
  if (!pages.every(page => existsSync(page))) return true;
  const built = Math.min(...pages.map(page => statSync(page).mtimeMs));
  return globSync(SOURCES, { cwd: root }).some(file => statSync(root + file).mtimeMs > built);
}

/** Builds the pages, or says why not. Rejects when one has errors. */
export async function buildPages(): Promise<void> {
  const [vite, graphiql] = await Promise.all([
    import('vite').catch(() => null),
    import('@graphql-yoga/render-graphiql').catch(() => null),
  ]);
  if (vite === null || graphiql === null || !existsSync(`${root}src/studio`)) {
    console.log('The pages for browsers are not built: that needs the dev dependencies (npm ci)');
    return;
  }
  console.log('Building the pages for browsers');
  await buildInto(outDir, async made => {
    await buildStudio(vite, made);
    await copySwaggerUi(made);
    await mkdir(`${made}/graphiql`);
    await Promise.all(globSync(TEXTS, { cwd: made }).map(file => compress(`${made}/${file}`)));
    const html = graphiql.renderGraphiQL({
      title: 'Qwen Edit',
      endpoint: '/graphql',
      subscriptionsProtocol: 'WS',
      defaultQuery: await readFile(`${root}pages/graphiql/welcome.graphql`, 'utf8'),
    });
    await writeFile(`${made}/graphiql/index.html`, html);
  });
}

async function buildStudio(vite: typeof import('vite'), dir: string): Promise<void> {
  await vite.build({
    configFile: false,
    root: `${root}src/studio`,
    // Relative, so that the page works below any path of a reverse proxy.
    base: './',
    logLevel: 'warn',
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: {
      outDir: `${dir}/studio`,
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
}

async function copySwaggerUi(dir: string): Promise<void> {
  const assets = `${dir}/docs/docs/static`;
  await mkdir(assets, { recursive: true });
  await cp(`${root}pages/docs/index.html`, `${dir}/docs/index.html`);
  await cp(`${root}pages/docs/start.js`, `${assets}/start.js`);
  for (const file of SWAGGER_UI_FILES) await cp(`${SWAGGER_UI}/${file}`, `${assets}/${file}`);
}

async function compress(file: string): Promise<void> {
  const bytes = await readFile(file);
  // The best quality, 11, takes over twice as long for 2 % less.
  const params = { [constants.BROTLI_PARAM_QUALITY]: 10 };
  await writeFile(`${file}.br`, await promisify(brotliCompress)(bytes, { params }));
  await writeFile(`${file}.gz`, await promisify(gzip)(bytes, { level: constants.Z_BEST_COMPRESSION }));
}
