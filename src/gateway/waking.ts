import type { Registry } from 'prom-client';
import type { Config } from '../config.ts';
import type { WakeOptions } from '../dispatch/fleet/waking.ts';
import type { Clock } from '../jobs/ports.ts';
import type { Lookup } from '../outbound/vet.ts';
import { countEngineCalls } from '../telemetry/part-metrics.ts';
import { VERSION } from '../version.ts';
import { createEngineCalls } from '../webhooks/engine-calls.ts';

/** Another gateway calls for engines this long after a call had to end. */
const CALL_MARGIN_MS = 5_000;

/** How engines are started and stopped on request, which is counted; null: ENGINE_WAKE_URL is unset. */
export function wakeFrom(config: Config, registry: Registry, lookup: Lookup, now: Clock): WakeOptions | null {
  const { ENGINE_WAKE_URL: url, ENGINE_WAKE_SECRET: secrets, WEBHOOK_TIMEOUT: timeoutMs } = config;
  if (url === undefined || secrets === undefined) return null;
  const userAgent = `qwen-edit-gateway/${VERSION}`;
  const call = createEngineCalls(url, { secrets, timeoutMs, userAgent, now, lookup });
  return {
    call: countEngineCalls(registry, call),
    pauses: {
      repeatMs: config.ENGINE_WAKE_REPEAT,
      retryMs: config.WEBHOOK_RETRY,
      callMs: timeoutMs + CALL_MARGIN_MS,
    },
    idleMs: config.ENGINE_IDLE,
  };
}
