import { createRequire } from 'node:module';
import { configDefaults, defineConfig } from 'vitest/config';

/**
 * Left to `npm test` by `npm run test:fast`: files that took over 3 s, which start processes, browsers or several gateways, or
 * wait for real time to pass.
 */
const SLOW = [
  'test/{chaos,cli,e2e,examples,fuzz}/**',
  'test/adapters/{redis,s3}/**',
  'test/client/{browser,client,failures,keys,leaving,package,reconnecting}.test.ts',
  'test/concurrency/{lookups,slow-images}.test.ts',
  'test/dispatch/faults.test.ts',
  'test/graphql/federation/router.test.ts',
  'test/http/peers.test.ts',
  'test/http/access/{matrix,tokens}.test.ts',
  'test/http/graphql/{jobs,live-results}.test.ts',
  'test/http/limits/{pages,rate,sockets}.test.ts',
  'test/http/rest/{life,live,python-client,uploads}.test.ts',
  'test/studio/**',
  'test/sandbox/{conformance,execution,main}.test.ts',
  'test/telemetry/traces.test.ts',
  'test/webhooks/{many-gateways,webhooks}.test.ts',
  'test/workflows/files/reload.test.ts',
];

/**
 * Files that share a process, and in it the modules that are loaded: half of what these take is loading. They leave nothing
 * behind that others see: they mock no module, and start nothing that goes on.
 */
const SHARED = [
  'test/{comfyui,config,docs,graphql,images,jobs,mcp,operations,workflows}/**/*.test.ts',
  'test/adapters/{embedded,files}/**/*.test.ts',
  'test/http/graphql/**/*.test.ts',
];

export default defineConfig(({ mode }) => ({
  resolve: {
    // graphql ships as CommonJS and as ESM. Vite would load one and the libraries the other, and their classes differ;
    // this makes it the one that Node loads for both.
    alias: [{ find: /^graphql$/, replacement: createRequire(import.meta.url).resolve('graphql') }],
  },
  test: {
    // Builds the pages and installs the servers that the tests need where they are missing.
    globalSetup: 'test/support/stores/install.ts',
    // Most tests wait for processes and sockets: twice as many workers as a small machine has cores.
    maxWorkers: 4,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // On a busy machine what a test waits for arrives late.
    expect: { poll: { timeout: 15_000 } },
    env: { NODE_ENV: 'test' },
    projects: [
      { extends: true, test: { name: 'shared', isolate: false, include: SHARED, exclude: excluded(mode) } },
      {
        extends: true,
        test: { name: 'alone', include: ['test/**/*.test.ts'], exclude: [...excluded(mode), ...SHARED] },
      },
    ],
  },
}));

function excluded(mode: string): string[] {
  return [...configDefaults.exclude, ...(mode === 'fast' ? SLOW : [])];
}
