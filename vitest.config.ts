import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { configDefaults, defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// Each worker, and each program that inherits its environment, loads the same modules: removing types and compiling them is most
// of that. This process runs before the workers start.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url));

/**
 * Left to `npm test` by `npm run test:fast`: files that took over 3 s, which start processes, browsers or several gateways, or
 * wait for real time to pass.
 */
const SLOW = [
  'test/{chaos,cli,e2e,examples,fuzz}/**',
  'test/adapters/{redis,s3}/**',
  'test/client/{browser,client,failures,keys,leaving,package,reconnecting}.test.ts',
  'test/concurrency/{lookups,slow-images}.test.ts',
  'test/deploy/docker.test.ts',
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
 * Files that run in a process of their own, because they measure its memory or change what all of it shares, as the decoders of
 * images are. To measure memory is to collect garbage first, which takes 20 times as long among all that the others have loaded.
 * All others share the processes of the workers, and in them the modules that are loaded: loading them takes longer than most
 * files do. They leave nothing behind that others see.
 */
const ALONE = [
  'test/adapters/{files,s3}/artifacts.test.ts',
  'test/adapters/small-artifacts.test.ts',
  'test/dispatch/collect.test.ts',
  'test/http/limits/sockets.test.ts',
  'test/http/rest/{download,errors,uploads}.test.ts',
  'test/images/decoders.test.ts',
];

/**
 * Files that take 12 s and more, longest first: a new clone has no durations of earlier runs to sort by. They start among the
 * first, so that none is left when all others have ended, and not at once: most of them wait, and two cores would be idle.
 */
const LONG = [
  'test/dispatch/warm.test.ts',
  'test/chaos/chaos.test.ts',
  'test/adapters/redis/ledger.test.ts',
  'test/dispatch/durations.test.ts',
  'test/dispatch/faults.test.ts',
  'test/dispatch/registrations.test.ts',
  'test/examples/clients.test.ts',
  'test/e2e/backup.test.ts',
  'test/dispatch/habits.test.ts',
  'test/dispatch/fleet.test.ts',
  'test/fuzz/graphql.fuzz.test.ts',
  'test/e2e/restart.test.ts',
  'test/fuzz/rest.fuzz.test.ts',
  'test/workflows/files/reload.test.ts',
  'test/e2e/start.test.ts',
  'test/studio/mask.test.ts',
  'test/dispatch/poison.test.ts',
  'test/e2e/many-gateways.test.ts',
  'test/adapters/embedded/ledger.test.ts',
  'test/cli/connection.test.ts',
  'test/dispatch/names.test.ts',
  'test/studio/accessibility.test.ts',
  'test/e2e/rolling-restart.test.ts',
  'test/studio/live.test.ts',
  'test/conformance/multipart.test.ts',
  'test/cli/terminal.test.ts',
  'test/adapters/redis/away.test.ts',
  'test/dispatch/waking.test.ts',
  'test/e2e/kill.test.ts',
  'test/studio/form.test.ts',
  'test/webhooks/many-gateways.test.ts',
  'test/cli/remote.test.ts',
  'test/studio/history.test.ts',
  'test/mcp/tools.test.ts',
  'test/e2e/own-prompt-ids.test.ts',
  'test/studio/signin.test.ts',
  'test/client/package.test.ts',
];

/** The share of the other files that start before the last of the long ones. */
const BETWEEN = 0.7;

class LongOnesSpread extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    // Files with a process of their own stay first.
    const alone = sorted.filter(({ project }) => project.config.isolate);
    const shared = sorted.filter(({ project }) => !project.config.isolate);
    const long = LONG.flatMap(name => shared.filter(({ moduleId }) => moduleId.endsWith(`/${name}`)));
    const others = shared.filter(file => !long.includes(file));
    const each = Math.ceil((others.length * BETWEEN) / Math.max(1, long.length));
    const mixed = long.flatMap((file, at) => [file, ...others.slice(at * each, (at + 1) * each)]);
    return [...alone, ...mixed, ...others.slice(long.length * each)];
  }
}

const missing = LONG.filter(name => !existsSync(new URL(name, import.meta.url)));
if (missing.length > 0) throw new Error(`LONG names files that are not there: ${missing.join(', ')}`);

export default defineConfig(({ mode }) => ({
  test: {
    sequence: { sequencer: LongOnesSpread },
    // Builds the pages and the bundle of the gateway, and installs the servers that the tests need where they are missing. Then has
    // one temporary folder and one Chromium for all files, the latter started when the first needs it.
    globalSetup: [
      'test/support/stores/install.ts',
      'test/support/temporary-folder.ts',
      'test/support/clients/shared-chromium.ts',
    ],
    // Most tests wait for processes and sockets: three times as many workers as a small machine has cores.
    maxWorkers: 6,
    // On a busy machine what a test waits for arrives late. These end a test that hangs and say nothing of speed.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
    env: { NODE_ENV: 'test' },
    // Node loads the modules, as it does for `npm start`. So `vi.mock` is not supported.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    projects: [
      { extends: true, test: { name: 'alone', include: ALONE, exclude: excluded(mode) } },
      {
        extends: true,
        test: {
          name: 'shared',
          isolate: false,
          // By default V8 marks everything that these processes have loaded each time their heap has grown by some megabytes, which
          // is as often as a job of the sandbox runs.
          execArgv: ['--heap-growing-percent=200', '--min-semi-space-size=16'],
          include: ['test/**/*.test.ts'],
          exclude: [...excluded(mode), ...ALONE],
        },
      },
    ],
  },
}));

function excluded(mode: string): string[] {
  return [...configDefaults.exclude, ...(mode === 'fast' ? SLOW : [])];
}
