import { createRequire } from 'node:module';
import { configDefaults, defineConfig } from 'vitest/config';

/** Tests that `npm run test:fast` leaves to `npm test`: they kill, guess, build, install, or start browsers and routers. */
const SLOW = [
  'test/{chaos,e2e,examples,fuzz}/**',
  'test/adapters/{redis,s3}/**',
  'test/cli/{connection,interruption,open,previews,remote,terminal}.test.ts',
  'test/client/{browser,leaving,package,reconnecting}.test.ts',
  'test/concurrency/**',
  'test/graphql/federation/router.test.ts',
  'test/http/limits/{pages,rate,sockets}.test.ts',
  'test/http/rest/python-client.test.ts',
  'test/webhooks/{many-gateways,webhooks}.test.ts',
];

export default defineConfig(({ mode }) => ({
  resolve: {
    // graphql ships as CommonJS and as ESM. Vite would load one and the libraries the other, and their classes differ;
    // this makes it the one that Node loads for both.
    alias: [{ find: /^graphql$/, replacement: createRequire(import.meta.url).resolve('graphql') }],
  },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...(mode === 'fast' ? SLOW : [])],
    // Installs the servers that the tests need where they are missing.
    globalSetup: 'test/support/stores/install.ts',
    // Most tests wait for processes and sockets: as many workers as a small machine has cores.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // On a busy machine what a test waits for arrives late.
    expect: { poll: { timeout: 15_000 } },
    env: { NODE_ENV: 'test' },
  },
}));
