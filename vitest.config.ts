import { createRequire } from 'node:module';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: {
    // graphql ships two copies of itself; vite would take one and the libraries the other, and errors of one are
    // strangers to the other. Node takes this one for both.
    alias: [{ find: /^graphql$/, replacement: createRequire(import.meta.url).resolve('graphql') }],
  },
  test: {
    include: ['test/**/*.test.ts'],
    // Brings the servers that the tests talk to, where the machine has none.
    globalSetup: 'test/support/stores/install.ts',
    // Most of what the tests do is wait for processes and sockets: as many workers as a small machine has cores.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 30_000,
    // What a test waits for comes late on a machine that is busy.
    expect: { poll: { timeout: 15_000 } },
    env: { NODE_ENV: 'test' },
  },
});
