import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { type CutProxy, startCutProxy } from '../../../test/support/proxies.ts';
import { freePort } from '../../../test/support/servers.ts';
import { startRedis } from '../../../test/support/stores/redis.ts';
import { type ServerProcess, startEngine, startGateway } from '../processes.ts';

/** What strikes during a soak, in this order, again and again. */
export const FAULTS = [
  'engine killed',
  'client sockets cut',
  'gateway killed',
  'engine sockets cut',
  'Redis paused',
  'gateway stopped',
] as const;
export type Fault = (typeof FAULTS)[number];

/** Two gateways that share a Redis and two engines, each a process of its own. */
export interface Stage {
  /** Where clients connect: a proxy in front of each gateway. */
  readonly urls: readonly [string, string];
  /** The gateway that runs from the first job to the last; the other is killed and stopped. */
  readonly steady: ServerProcess;
  /** Stops that took longer than a gateway may take; these were killed. */
  readonly lateStops: number;
  /** Resolves when what was ended runs again. */
  strike(fault: Fault): Promise<void>;
  stop(): Promise<void>;
}

const OUTAGE_MS = 1_000;
/** What docs/deploy.md gives a gateway to stop, and as long again for a machine that is busy with the soak. */
const STOP_MS = 20_000;
const SETTINGS = { WATCHDOG: '2s', ENGINE_GRACE: '3s', ENGINE_PROBE: '1s', LEASE: '3s', JOB_TTL: '2m' };

export async function startStage(): Promise<Stage> {
  const root = await mkdtemp(join(tmpdir(), 'soak-'));
  const redis = await startRedis({ aof: true, extra: ['--appendfsync', 'everysec'] });
  const engines: {
    server: ServerProcess;
    readonly start: () => Promise<ServerProcess>;
    readonly dir: string;
  }[] = [];
  for (const name of ['engine-1', 'engine-2']) {
    const dir = join(root, name);
    const port = await freePort();
    const start = async (): Promise<ServerProcess> => {
      await mkdir(dir, { recursive: true });
      return startEngine(0, { port, dir });
    };
    engines.push({ server: await start(), start, dir });
  }
  const settings = {
    ...SETTINGS,
    COMFYUI_URL: engines.map(({ server }) => server.url).join(','),
    REDIS_URL: redis.url,
    ARTIFACTS_URL: pathToFileURL(join(root, 'artifacts')).href,
  };
  const steady = await startGateway(settings);
  // It comes back at the same port, behind the same proxy.
  const port = String(await freePort());
  let other = await startGateway({ ...settings, PORT: port });
  const proxies: [CutProxy, CutProxy] = [await startCutProxy(steady.url), await startCutProxy(other.url)];
  let turn = 0;
  let lateStops = 0;

  async function stopOther(): Promise<void> {
    const late = setTimeout(() => {
      lateStops += 1;
      other.child.kill('SIGKILL');
    }, STOP_MS);
    await other.stop();
    clearTimeout(late);
  }

  async function restartOther(): Promise<void> {
    await delay(OUTAGE_MS);
    other = await startGateway({ ...settings, PORT: port });
  }

  return {
    urls: [proxies[0].url, proxies[1].url],
    steady,
    get lateStops() {
      return lateStops;
    },
    async strike(fault) {
      turn += 1;
      const engine = engines[turn % engines.length];
      if (engine === undefined) throw new Error('no engine');
      switch (fault) {
        case 'engine killed':
          engine.server.child.kill('SIGKILL');
          await engine.server.stop();
          // An engine's disk would fill in a long soak; this one comes back as a new machine.
          await rm(engine.dir, { recursive: true, force: true });
          await delay(OUTAGE_MS);
          engine.server = await engine.start();
          return;
        case 'engine sockets cut':
          await fetch(`${engine.server.url}/sandbox/faults`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ dropSockets: true }),
          });
          return;
        case 'client sockets cut':
          for (const proxy of proxies) proxy.cut();
          return;
        case 'Redis paused':
          redis.pause();
          await delay(OUTAGE_MS);
          redis.resume();
          return;
        case 'gateway killed':
          other.child.kill('SIGKILL');
          await other.stop();
          await restartOther();
          return;
        case 'gateway stopped':
          await stopOther();
          await restartOther();
          return;
        default:
          fault satisfies never;
      }
    },
    async stop() {
      await Promise.all(proxies.map(proxy => proxy.stop()));
      await Promise.all([steady.stop(), other.stop()]);
      await Promise.all(engines.map(({ server }) => server.stop()));
      await redis.stop();
      await rm(root, { recursive: true, force: true });
    },
  };
}
