import { createEngineClient } from '../comfyui/client.ts';
import type { Config } from '../config.ts';
import { configuredAt } from '../dispatch/fleet/changes.ts';
import type { ConfiguredEngines, FleetOptions } from '../dispatch/fleet/fleet.ts';
import type { Log } from '../log.ts';
import { hostAndPort } from '../outbound/url.ts';
import { startSandbox } from '../sandbox/server.ts';
import type { Stops } from './stops.ts';

/** How long a request to an engine waits for the response, in milliseconds. */
const ENGINE_ANSWER_MS = 60_000;

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
      return allow !== undefined && (allow.allowsHost(host, port) || allow.allowsAddress(host, port));
    },
    clientFor: url =>
      createEngineClient({
        url,
        credentials: config.credentialsOf(url),
        timeoutMs: ENGINE_ANSWER_MS,
        traceparent,
      }),
  };
}

async function configuredEngines(config: Config, log: Log, stops: Stops): Promise<ConfiguredEngines> {
  const urls = [...config.COMFYUI_URL];
  if (usesSandbox(config)) {
    const engine = await startSandbox({ stepMs: config.SANDBOX_STEP });
    stops.add(() => engine.stop());
    log.warn({ engine: engine.url }, 'COMFYUI_URL is not set: the sandbox is used, no model is run');
    urls.push(engine.url);
  }
  const engines = configuredAt(urls);
  return { present: () => engines, onChange: () => () => undefined };
}
