import dns from 'node:dns/promises';
import { createEngineClient } from '../comfyui/client.ts';
import { withDeadline } from '../concurrency/deadline.ts';
import type { Config } from '../config.ts';
import type { ConfiguredEngines, FleetOptions } from '../dispatch/fleet/fleet.ts';
import { type Resolver, watchNames } from '../dispatch/fleet/names.ts';
import type { Log } from '../log.ts';
import type { AllowList } from '../outbound/allow-list.ts';
import { hostAndPort } from '../outbound/url.ts';
import { startSandbox } from '../sandbox/server.ts';
import type { Stops } from './stops.ts';

/** How long a request to an engine waits for the response, in milliseconds. */
const ENGINE_ANSWER_MS = 60_000;

/** How long a start waits for the names in `COMFYUI_URL`, in milliseconds. */
const FIRST_LOOKUP_MS = 3_000;

/** Whether the sandbox stands in, because no setting brings an engine. */
export function usesSandbox({ COMFYUI_URL, ENGINE_ALLOW }: Config): boolean {
  return COMFYUI_URL.length === 0 && ENGINE_ALLOW === undefined;
}

/** What the fleet is built from: the engines that settings name, and how to connect to any. */
export async function engineSources(
  config: Config,
  log: Log,
  stops: Stops,
  traceparent: (() => string | null) | undefined,
): Promise<Pick<FleetOptions, 'configured' | 'allows' | 'clientFor'>> {
  const allow = config.ENGINE_ALLOW;
  return {
    configured: await configuredEngines(config, log, stops),
    allows(url) {
      const { host, port } = hostAndPort(new URL(url));
      return allow !== undefined && listed(allow, host, port);
    },
    clientFor: (url, name) =>
      createEngineClient({
        url,
        credentials: config.credentialsOf(url, name),
        timeoutMs: ENGINE_ANSWER_MS,
        traceparent,
      }),
  };
}

function listed(allow: AllowList, host: string, port: number): boolean {
  return allow.allowsHost(host, port) || allow.allowsAddress(host, port);
}

async function configuredEngines(config: Config, log: Log, stops: Stops): Promise<ConfiguredEngines> {
  const urls = [...config.COMFYUI_URL];
  if (usesSandbox(config)) {
    const engine = await startSandbox({ stepMs: config.SANDBOX_STEP });
    stops.add(() => engine.stop());
    log.warn({ engine: engine.url }, 'COMFYUI_URL is not set: the sandbox is used, no model is run');
    urls.push(engine.url);
  }
  const allow = config.ENGINE_ALLOW ?? null;
  const named = watchNames({
    urls,
    resolver: SYSTEM_RESOLVER,
    // Without a list, the name in the setting says enough.
    permits(name, url) {
      const { host, port } = hostAndPort(new URL(url));
      return allow === null || allow.allowsHost(name.host, port) || listed(allow, host, port);
    },
    log,
  });
  stops.add(() => named.stop());
  await withDeadline(named.ready, FIRST_LOOKUP_MS, () => undefined);
  return named;
}

/** The name servers of the system, without its hosts file, and without the threads that `getaddrinfo` would block. */
export const SYSTEM_RESOLVER: Resolver = {
  ipv4: host => dns.resolve4(host),
  ipv6: host => dns.resolve6(host),
  services: host => dns.resolveSrv(host),
};
