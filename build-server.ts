import http from 'node:http';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildInto } from './build-into.ts';

/**
 * The gateway, `qwen-edit` and the sandbox, their packages included, as a few files of `dist/server`, which start in half the time
 * of the modules that they are made of: 1,280 for the gateway, 50 for a command.
 */

const root = fileURLToPath(new URL('.', import.meta.url));
const outDir = `${root}dist/server`;

/** Has a native part that it looks for beside itself. */
const NATIVE = 'sharp';
/** Modules that import optional packages, which are installed in their folders. They import only types of the gateway. */
const OPTIONAL = ['src/telemetry/otlp/spans.ts', 'src/adapters/s3/client.ts'].map(file => root + file);

/** What `qwen-edit serve` runs of the gateway. */
const SERVE = `${root}src/serve.ts`;
/** Begins the name of a program's entry, which prints errors at their places in the sources. */
const ENTRY = '\0entry:';

/**
 * What undici's index loads and the gateway does not use: its `fetch`, caches, interceptors, mocks and sockets, an eighth of the
 * bundle.
 */
const UNUSED_OF_UNDICI =
  /^\.\/lib\/(mock|cache|interceptor|web\/(cache|cookies|eventsource|websocket)|web\/fetch$)/;
/** Stands for each of them. The index makes a CacheStorage. */
const UNUSED = '\0unused';
const UNUSED_CODE = 'exports.CacheStorage = class {};';

/** Stands for `node:http` while bundling. */
const HTTP = '\0node:http';

/** Bundles them. Rejects when one has errors. */
export async function buildServer(): Promise<void> {
  console.log('Bundling the gateway');
  await buildInto(outDir, async made => {
    await bundle(made, '[name].js', { main: `${ENTRY}src/main.ts`, serve: SERVE });
    // Apart from the gateway, which would start from twice as many files if they shared some.
    await bundle(made, 'program-[name].js', {
      'qwen-edit': `${ENTRY}src/cli/qwen-edit.ts`,
      sandbox: `${ENTRY}src/sandbox/main.ts`,
    });
  });
}

async function bundle(dir: string, chunkFileNames: string, input: Record<string, string>): Promise<void> {
  const { rolldown } = await import('rolldown');
  const { exactRegex, prefixRegex } = await import('rolldown/filter');
  const built = await rolldown({
    input,
    cwd: root,
    platform: 'node',
    external: [NATIVE],
    // Of packages.
    checks: { eval: false },
    // Their filters keep the bundler from asking each about every one of some thousand modules.
    plugins: [
      {
        name: 'entries',
        resolveId: { filter: { id: prefixRegex(ENTRY) }, handler: source => source },
        load: { filter: { id: prefixRegex(ENTRY) }, handler: id => entryCode(id.slice(ENTRY.length)) },
      },
      {
        name: 'gateway',
        resolveId: {
          filter: { id: /\/serve\.ts$/ },
          async handler(source, importer) {
            if ('serve' in input) return null;
            const found = await this.resolve(source, importer, { skipSelf: true });
            return found?.id === SERVE ? { id: './serve.js', external: true } : null;
          },
        },
      },
      {
        name: 'optional-packages',
        resolveId: {
          filter: { id: /(spans|client)\.ts$/ },
          async handler(source, importer) {
            const found = await this.resolve(source, importer, { skipSelf: true });
            if (found === null || !OPTIONAL.includes(found.id)) return null;
            return { id: relative(outDir, found.id), external: true };
          },
        },
      },
      {
        name: 'http-without-fetch',
        resolveId: {
          order: 'pre',
          filter: { id: /^(node:)?http$/ },
          handler: (_source, _importer, { kind }) => (kind === 'import-statement' ? HTTP : null),
        },
        load: {
          filter: { id: exactRegex(HTTP) },
          handler: () => ({ code: httpCode(), moduleSideEffects: false }),
        },
      },
      {
        name: 'without-unused-parts',
        resolveId: {
          order: 'pre',
          filter: { id: UNUSED_OF_UNDICI },
          handler: (_source, importer) => (importer?.endsWith('/undici/index.js') ? UNUSED : null),
        },
        load: { filter: { id: exactRegex(UNUSED) }, handler: () => UNUSED_CODE },
      },
      {
        name: 'ascii',
        // V8 keeps a text with one other character in it as two bytes a character, of which reading takes twice as long. All are in
        // literals, where an escape means the same, or in comments.
        generateBundle(_options, files) {
          for (const file of Object.values(files)) {
            if (file.type === 'chunk') file.code = inAscii(file.code);
          }
        },
      },
      {
        name: 'no-maps-of-packages',
        // Stacks name functions of packages as they are. With all of them, a map takes 40 MB once an error is logged.
        transform: {
          filter: { id: /\/node_modules\// },
          handler: code => ({ code, map: { mappings: '' } }),
        },
      },
      {
        name: 'own-addresses',
        // Files beside a module are found from its place in the sources.
        transform: {
          filter: { id: /\/src\/[^?]*\.ts$/, code: 'import.meta.url' },
          handler(code, id) {
            const place = JSON.stringify(relative(outDir, id));
            return {
              code: code.replaceAll('import.meta.url', `new URL(${place}, import.meta.url).href`),
              map: null,
            };
          },
        },
      },
    ],
  });
  try {
    await built.write({
      dir,
      format: 'esm',
      entryFileNames: '[name].js',
      chunkFileNames,
      sourcemap: true,
      sourcemapExcludeSources: true,
    });
  } finally {
    await built.close();
  }
}

function entryCode(module: string): string {
  return `
    import { printOriginalPositions } from '${root}src/original-positions.ts';
    printOriginalPositions();
    await import('${root}${module}');
  `;
}

function inAscii(code: string): string {
  return code.replace(/[^\0-\x7f]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/**
 * `node:http` without the properties that load something when they are read: an import reads them all, and one of them loads
 * an HTTP client that the gateway does not use.
 */
function httpCode(): string {
  const names = Object.entries(Object.getOwnPropertyDescriptors(http))
    .filter(([name, { get }]) => get === undefined && name !== 'default')
    .map(([name]) => name);
  const lines = names.map((name, at) => `const _${at} = http.${name}; export { _${at} as ${name} };`);
  return ["const http = process.getBuiltinModule('node:http');", 'export default http;', ...lines].join('\n');
}
